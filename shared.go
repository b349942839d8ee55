package shoal

import (
	"strings"
	"sync"

	"github.com/shoalmq/shoal/packets"
)

// group is a shared subscription on this node: a share name, a filter and the members here.
type group struct {
	name   string // "$share/name/filter"
	filter string

	mu      sync.Mutex
	members []*subscription // all, in no order
	online  []*subscription // those that are connected; the first stays there as long as it is
	keep    int             // those that are away, and keep messages of QoS 1 and 2
	turn    uint64
}

func (*group) isTarget() {}

// groups is the table of the groups of this node.
type groups struct {
	mu     sync.Mutex
	byName map[string]*group
}

func (g *groups) init() { g.byName = make(map[string]*group) }

func (g *groups) get(name string) *group {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byName[name]
}

// join adds a member to its group, or puts it in the place of an earlier subscription of its session.
func (b *Broker) join(sub *subscription, old *subscription) {
	b.groups.mu.Lock()
	defer b.groups.mu.Unlock()
	g := b.groups.byName[sub.filter]
	if g == nil {
		g = &group{name: sub.filter, filter: sub.match}
		b.groups.byName[sub.filter] = g
		b.index.Add(g.filter, g)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if old != nil && old.place.member != 0 {
		g.replace(old, sub)
		return
	}
	g.add(sub)
}

// leave removes a member.
func (b *Broker) leave(sub *subscription) {
	b.groups.mu.Lock()
	defer b.groups.mu.Unlock()
	g := b.groups.byName[sub.filter]
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(sub)
	if len(g.members) == 0 {
		delete(b.groups.byName, g.name)
		b.index.Remove(g.filter, g)
	}
}

// membership is where a subscription stands in its group; the zero value: nowhere. The group's lock guards it.
type membership struct {
	member int // its place among the members, from 1 on
	online int // among those that are connected, from 1 on; 0 for one that is away
}

// add adds a member. The caller holds g.mu.
func (g *group) add(sub *subscription) {
	g.members = append(g.members, sub)
	sub.place = membership{member: len(g.members)}
	if sub.qos > 0 {
		g.keep++
	}
	g.refresh(sub)
}

// replace puts a member in the place of another. The caller holds g.mu.
func (g *group) replace(old, sub *subscription) {
	g.setOnline(old, true) // so that QoS does not count
	sub.place, old.place = old.place, membership{}
	g.members[sub.place.member-1], g.online[sub.place.online-1] = sub, sub
	g.refresh(sub)
}

// remove removes a member, if sub is one. The caller holds g.mu.
func (g *group) remove(sub *subscription) {
	if sub.place.member == 0 {
		return
	}
	g.setOnline(sub, false)
	if sub.qos > 0 {
		g.keep--
	}
	last := g.members[len(g.members)-1]
	g.members[sub.place.member-1], last.place.member = last, sub.place.member
	g.members = shorten(g.members)
	sub.place = membership{}
}

// refresh notes whether a member is connected. The caller holds g.mu.
func (g *group) refresh(sub *subscription) {
	if sub.place.member != 0 {
		g.setOnline(sub, sub.connected())
	}
}

// setOnline is called with g.mu held.
func (g *group) setOnline(sub *subscription, online bool) {
	if online == (sub.place.online != 0) {
		return
	}
	away := 0
	if sub.qos > 0 {
		away = 1
	}
	if online {
		g.online = append(g.online, sub)
		sub.place.online = len(g.online)
		g.keep -= away
		return
	}
	last := g.online[len(g.online)-1]
	g.online[sub.place.online-1], last.place.online = last, sub.place.online
	g.online = shorten(g.online)
	sub.place.online = 0
	g.keep += away
}

// shorten takes the last off a list, and does not keep what it takes off.
func shorten(list []*subscription) []*subscription {
	last := len(list) - 1
	list[last] = nil
	return list[:last]
}

// refreshMember notes in its group whether the session of a member is connected.
func (b *Broker) refreshMember(sub *subscription) {
	if g := b.groups.get(sub.filter); g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.refresh(sub)
	}
}

// members are those that a node has of a shared group.
type members struct {
	all    int
	online int
	keep   int // that are away, and whose sessions keep messages of QoS 1 and 2 for them
}

// anyFor reports whether one of them could take a message.
func (m members) anyFor(qos packets.QoS) bool { return m.online > 0 || (qos > 0 && m.keep > 0) }

// count counts the group's members on this node. A nil group has none.
func (g *group) count() (m members) {
	if g == nil {
		return m
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return members{all: len(g.members), online: len(g.online), keep: g.keep}
}

// deliverShared delivers to exactly one member [MQTT-4.8.2-4]. It reports whether one took the message; if not, sc.leaving says that one would have,
// and is on its way to another node.
func (b *Broker) deliverShared(sc *scratch, g *group) bool {
	sc.leaving, sc.full = false, ""
	c := chooser{b.strategyOf(g.name), sc.r.publisher}
	first := g.pick(c)
	if first == nil {
		return false
	}
	if b.deliver(sc, first, first.qos, first.retainAsPublished, first.ids, g.name) {
		return true
	}
	others := g.others(c, first)
	for _, m := range others {
		if b.deliver(sc, m, m.qos, m.retainAsPublished, m.ids, g.name) {
			return true
		}
	}
	if sc.full != DropQueueFull || b.limits.WhenFull != QueueWait || sc.r.qos() == 0 {
		return false
	}
	// All that could take it are full. One of them gets on, perhaps.
	sc.crowd = true
	defer func() { sc.crowd = false }()
	for _, m := range append(others, first) {
		if b.deliver(sc, m, m.qos, m.retainAsPublished, m.ids, g.name) {
			return true
		}
	}
	return false
}

// dropForGroup tells that a message for a shared group was dropped: because nobody of it is connected, or keeps messages of its QoS, or because those who do
// have no room.
func (b *Broker) dropForGroup(sc *scratch) {
	reason := DropOffline
	if sc.full != "" {
		reason = sc.full
	}
	b.drop(DroppedEvent{TopicName: strings.Clone(sc.r.p.TopicName), QoS: sc.r.qos(), Reason: reason})
}
