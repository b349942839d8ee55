package shoal

import (
	"strings"
	"sync"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// group is a shared subscription on this node: a share name, a filter and the members here.
type group struct {
	name   string // "$share/name/filter"
	filter string

	mu      sync.Mutex
	members []*subscription
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
	for i, m := range g.members {
		if m == old && old != nil {
			g.members[i] = sub
			return
		}
	}
	g.members = append(g.members, sub)
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
	for i, m := range g.members {
		if m == sub {
			g.members = append(g.members[:i:i], g.members[i+1:]...)
			break
		}
	}
	if len(g.members) == 0 {
		delete(b.groups.byName, g.name)
		b.index.Remove(g.filter, g)
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
	m.all = len(g.members)
	for _, sub := range g.members {
		if sub.online() {
			m.online++
		} else if sub.qos > 0 {
			m.keep++
		}
	}
	return m
}

// deliverShared delivers to exactly one member [MQTT-4.8.2-4]. It reports whether one took the message; if not, sc.leaving says that one would have,
// and is on its way to another node.
func (b *Broker) deliverShared(sc *scratch, g *group) bool {
	sc.leaving, sc.full = false, ""
	var buf [4]*subscription
	tried := buf[:0]
	c := chooser{b.strategyOf(g.name), sc.r.publisher}
	for {
		m := g.pick(c, tried)
		if m == nil {
			break
		}
		if b.deliver(sc, m, m.qos, m.retainAsPublished, m.ids, g.name) {
			return true
		}
		tried = append(tried, m)
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

// hasShared reports whether a message is in the session by a shared group. The caller holds s.mu.
func (s *session) hasShared(id msgID, share string) (has bool) {
	s.core.Entries(func(e *core.Entry) { has = has || (e.Msg.ID == id && e.Share == share) })
	return has
}
