package shoal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/shoalmq/shoal/topics"
)

// SharedStrategy says which member of a shared subscription gets a message. Whatever it says, members that are connected come before those
// that are not, and each message goes to exactly one.
type SharedStrategy byte

// The strategies.
const (
	// SharedLocalFirst takes the members in turn that are connected to the node on which the message was published, and those of other nodes
	// only if there is none. It is the default, and the fastest: a message crosses the network only if it must.
	SharedLocalFirst SharedStrategy = iota
	// SharedRoundRobin takes all members of the cluster in turn. Each node counts by itself, so that messages published on several nodes may go to the
	// same member one after another.
	SharedRoundRobin
	// SharedRandom takes any member of the cluster.
	SharedRandom
	// SharedSticky takes the same member of the cluster as long as it is connected.
	SharedSticky
	// SharedByClient takes the same member for all messages of one publisher, by its ClientID, as long as the members stay the same: what one
	// publisher sends is worked on in order.
	SharedByClient
	// SharedLeastLoaded takes the member for which the fewest messages wait. In a cluster it chooses the node by chance, weighted by its members, and
	// among those the one.
	SharedLeastLoaded
)

// String returns the name of the strategy, such as "round robin".
func (s SharedStrategy) String() string {
	if !s.valid() {
		return fmt.Sprintf("SharedStrategy(%d)", byte(s))
	}
	return [...]string{"local first", "round robin", "random", "sticky", "by client", "least loaded"}[s]
}

func (s SharedStrategy) valid() bool { return s <= SharedLeastLoaded }

// WithSharedStrategy sets how the members of shared subscriptions are chosen: of those with the given ShareNames, or, without any, of all
// others. All nodes of a cluster should be told the same.
func WithSharedStrategy(s SharedStrategy, shareNames ...string) Option {
	return func(c *config) {
		if c.strategies == nil {
			c.strategies = make(map[string]SharedStrategy)
		}
		if len(shareNames) == 0 {
			c.strategies[""] = s
		}
		for _, name := range shareNames {
			c.strategies[name] = s
		}
	}
}

func validateStrategies(m map[string]SharedStrategy) error {
	for name, s := range m {
		if !s.valid() {
			return fmt.Errorf("shoal: WithSharedStrategy: there is no strategy %d; use one of the constants", byte(s))
		}
		if err := topics.ValidateFilter("$share/" + name + "/t"); name != "" && err != nil {
			return fmt.Errorf("shoal: WithSharedStrategy: ShareName %q: %w", name, err)
		}
	}
	return nil
}

// strategyOf returns the strategy of a group, by its name "$share/name/filter".
func (b *Broker) strategyOf(group string) SharedStrategy {
	m := b.cfg.strategies
	if len(m) == 0 {
		return SharedLocalFirst
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(group, "$share/"), "/")
	if s, ok := m[name]; ok {
		return s
	}
	return m[""]
}

// chooser chooses one out of several with one strategy, for one message.
type chooser struct {
	strategy  SharedStrategy
	publisher string // ClientID
}

// from returns a number below n > 0 at which to begin; turn counts the messages so far.
func (c chooser) from(n int, turn uint64) int {
	switch c.strategy {
	case SharedRandom, SharedLeastLoaded:
		return rand.IntN(n)
	case SharedSticky:
		return 0
	case SharedByClient:
		return int(hashOf(c.publisher) % uint64(n))
	}
	return int(turn % uint64(n))
}

// hashOf is FNV-1a: every node must come to the same.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// pick returns the member whose turn it is, those that are online first; nil if there is none.
func (g *group) pick(c chooser) *subscription {
	if c.strategy == SharedLeastLoaded {
		list := g.candidates()
		if len(list) == 0 {
			return nil
		}
		return list[leastLoaded(list, c.from(len(list), 0))]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		return nil
	}
	if c.strategy == SharedByClient {
		// As long as it is connected, others that come and go change nothing.
		if m := g.members[c.from(len(g.members), 0)]; m.place.online != 0 {
			return m
		}
	}
	list := g.online
	if len(list) == 0 {
		list = g.members
	}
	at := c.from(len(list), g.turn)
	g.turn = uint64(at + 1)
	return list[at]
}

// candidates returns a copy of the members that are online, or, if there are none, of all.
func (g *group) candidates() []*subscription {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.online) > 0 {
		return slices.Clone(g.online)
	}
	return slices.Clone(g.members)
}

// others returns the members that get a message which first, the one that was picked, does not take, one after another: those that are online come first.
func (g *group) others(c chooser, first *subscription) []*subscription {
	g.mu.Lock()
	list := make([]*subscription, 0, len(g.members))
	turn := func(from []*subscription) {
		if n := len(from); n > 0 {
			at := int(g.turn % uint64(n))
			list = append(append(list, from[at:]...), from[:at]...)
		}
	}
	turn(g.online)
	online := len(list)
	if online < len(g.members) {
		turn(g.members)
		list = append(list[:online], slices.DeleteFunc(list[online:], func(m *subscription) bool { return m.place.online != 0 })...)
	}
	g.mu.Unlock()
	list = slices.DeleteFunc(list, func(m *subscription) bool { return m == first })
	if c.strategy == SharedLeastLoaded {
		if first.connected() && online > 0 {
			online--
		}
		sortByLoad(list[:min(online, len(list))])
		sortByLoad(list[min(online, len(list)):])
	}
	return list
}

// leastLoaded returns the place of the member for which least waits, the first from start on where several are alike. It takes the sessions' locks, which
// come before the group's.
func leastLoaded(list []*subscription, start int) (best int) {
	best = start
	least := list[start].load()
	for i := 1; i < len(list); i++ {
		at := (start + i) % len(list)
		if l := list[at].load(); l.less(least) {
			best, least = at, l
		}
	}
	return best
}

func sortByLoad(list []*subscription) {
	loads := make(map[*subscription]load, len(list))
	for _, m := range list {
		loads[m] = m.load()
	}
	slices.SortStableFunc(list, func(x, y *subscription) int {
		switch lx, ly := loads[x], loads[y]; {
		case lx.less(ly):
			return -1
		case ly.less(lx):
			return 1
		}
		return 0
	})
}

// load is what waits for a subscriber: messages that are not acknowledged, and, where those are as many, bytes that were not taken yet.
type load struct{ messages, bytes int }

func (l load) less(m load) bool {
	return l.messages < m.messages || l.messages == m.messages && l.bytes < m.bytes
}

func (sub *subscription) load() load {
	if l := sub.local; l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return load{len(l.queue), l.bytes}
	}
	s := sub.s
	s.mu.Lock()
	defer s.mu.Unlock()
	l := load{messages: s.core.Len()}
	if c := s.conn; c != nil {
		c.mu.Lock()
		l.bytes = c.out.Len()
		c.mu.Unlock()
	}
	return l
}

// shareNode is one node's part of a shared group.
type shareNode struct {
	rt      *route // nil for this node
	name    string
	members members
}

// pickShareNode chooses the node whose members get the next message of a group; rt is nil for this node. It reports whether there is one
// with a member that can take the message.
func (n *clusterNode) pickShareNode(sc *scratch, c chooser, name string, here members) (rt *route, ok bool) {
	nodes := sc.shares[:0]
	if here.all > 0 {
		nodes = append(nodes, shareNode{name: n.self.Name, members: here})
	}
	nodes = n.state.appendShareNodes(nodes, name, n.self.Name)
	sc.shares = nodes
	slices.SortFunc(nodes, func(x, y shareNode) int { return strings.Compare(x.name, y.name) })
	weight := func(s *shareNode) int { return s.members.online }
	total := 0
	for i := range nodes {
		total += nodes[i].members.online
	}
	if total == 0 && sc.r.qos() > 0 {
		weight = func(s *shareNode) int { return s.members.keep }
		for i := range nodes {
			total += nodes[i].members.keep
		}
	}
	if total == 0 {
		return nil, false
	}
	at := c.from(total, n.turns[hashOf(name)%uint64(len(n.turns))].Add(1))
	for i := range nodes {
		if at -= weight(&nodes[i]); at < 0 {
			return nodes[i].rt, true
		}
	}
	return nil, false
}

// appendShareNodes appends the other nodes' parts of a group.
func (a *agreed) appendShareNodes(nodes []shareNode, name, self string) []shareNode {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for node, rt := range a.shares[name] {
		if node != self {
			nodes = append(nodes, shareNode{rt: rt, name: node, members: rt.members})
		}
	}
	return nodes
}
