package shoal

import (
	"slices"
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
	sc.leaving = false
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

// dropOffline tells that a message for a shared group was dropped because nobody of it is connected, or keeps messages of its QoS.
func (b *Broker) dropOffline(r *routing) {
	b.drop(DroppedEvent{TopicName: strings.Clone(r.p.TopicName), QoS: r.qos(), Reason: DropOffline})
}

// takeLeft empties the core of a session that ends. It returns what other members of shared groups may still get: everything but
// QoS 2 messages whose delivery has begun [MQTT-4.8.2-5]. The caller holds s.mu.
func (s *session) takeLeft() []core.Entry {
	var left []core.Entry
	s.core.Entries(func(e *core.Entry) {
		if e.Share != "" && shareable(e) {
			left = append(left, *e)
			return
		}
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropSessionEnded})
	})
	return left
}

// hasShared reports whether a message is in the session by a shared group. The caller holds s.mu.
func (s *session) hasShared(id msgID, share string) (has bool) {
	s.core.Entries(func(e *core.Entry) { has = has || (e.Msg.ID == id && e.Share == share) })
	return has
}

func shareable(e *core.Entry) bool {
	return e.State == core.Queued || (e.State == core.Sent && e.QoS == 1)
}

// redispatch gives what a member that went away has not acknowledged to other members that are online. What nobody else can take
// stays for its return, and what the cluster does not know of yet until it does.
func (s *session) redispatch() {
	s.mu.Lock()
	if s.shares == 0 || s.phase != phaseHome || s.conn != nil || !s.handsOn() {
		s.mu.Unlock()
		return
	}
	waits := false
	left := s.core.Withdraw(func(e *core.Entry) bool {
		if e.Share == "" || !shareable(e) || !s.b.othersOnline(e.Share) {
			return false
		}
		if s.b.knownHereAlone(e) {
			waits = true
			return false
		}
		return true
	})
	if waits {
		s.b.whenAgreed(s.redispatch)
	}
	s.mu.Unlock()
	s.b.redispatch(left)
}

// knownHereAlone reports whether this node is the only one that knows that a group has had a message, which may come again. If it was lost now, and another
// member had the message from it, nobody would.
func (b *Broker) knownHereAlone(e *core.Entry) bool {
	return b.cluster != nil && e.Fresh && e.Msg.Origin != nil &&
		b.cluster.state.origins.isOwn(e.Msg.Publisher, e.Msg.Origin, holder{kind: holderGroup, name: e.Share})
}

// whenAgreed calls fn when all nodes know what has happened so far, and not if this node is given up before. The caller may hold a lock that fn takes.
func (b *Broker) whenAgreed(fn func()) {
	b.journal.later(func(code packets.ReasonCode) {
		if !code.IsError() {
			b.cluster.wg.Go(fn)
		}
	}, DurabilityQuorum)
}

// giveLeft gives what a session that has ended had left to other members of its groups.
func (b *Broker) giveLeft(left []core.Entry) {
	if slices.ContainsFunc(left, func(e core.Entry) bool { return b.knownHereAlone(&e) }) {
		b.whenAgreed(func() { b.redispatch(left) })
		return
	}
	b.redispatch(left)
}

// handsOn reports whether it is for this node to say what others get of the session: it is at home here. When the cluster has given this node up, that is
// for the heir.
func (s *session) handsOn() bool {
	cl := s.b.cluster
	return cl == nil || (cl.up.Load() && cl.state.isHome(cl.self.Name, s.clientID))
}

// othersOnline reports whether a group has a member that is online, anywhere.
func (b *Broker) othersOnline(name string) bool {
	if b.groups.get(name).count().online > 0 {
		return true
	}
	return b.cluster != nil && b.cluster.groupOnline(name)
}

// redispatch routes entries to their groups again.
func (b *Broker) redispatch(left []core.Entry) {
	if len(left) == 0 {
		return
	}
	sc := b.scratch()
	defer sc.release()
	for i := range left {
		// It may come to the same client, which has come back elsewhere.
		b.redispatchOne(sc, &left[i], left[i].Doubtful || left[i].State == core.Sent)
	}
}

// redispatchOne routes one entry. doubtful: somebody of the group may have had it.
func (b *Broker) redispatchOne(sc *scratch, e *core.Entry, doubtful bool) {
	r := &sc.r
	p := publishOfMessage(e.Msg)
	r.again(&p, e.Msg, sc.nano)
	r.doubtful = doubtful
	if b.cluster != nil {
		b.cluster.routeGroup(sc, e.Share)
		return
	}
	if g := b.groups.get(e.Share); g != nil {
		if !b.deliverShared(sc, g) {
			b.dropOffline(r)
		}
		return
	}
	b.drop(DroppedEvent{TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropSessionEnded})
}
