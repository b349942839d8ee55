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

// pick returns the member whose turn it is, those that are online first; nil if there is none. Members in tried are passed over.
func (g *group) pick(c chooser, tried []*subscription) *subscription {
	if c.strategy == SharedLeastLoaded {
		return g.leastLoaded(c, tried)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.members)
	if n == 0 {
		return nil
	}
	start := c.from(n, g.turn)
	var away *subscription
	for i := range n {
		m := g.members[(start+i)%n]
		if slices.Contains(tried, m) {
			continue
		}
		if m.online() {
			g.turn = uint64(start + i + 1)
			return m
		}
		if away == nil {
			away = m
		}
	}
	if away != nil {
		g.turn++
	}
	return away
}

// leastLoaded returns the member for which least waits, any of them where several are alike. It takes the sessions' locks, which come before
// the group's.
func (g *group) leastLoaded(c chooser, tried []*subscription) *subscription {
	g.mu.Lock()
	members := slices.Clone(g.members)
	g.mu.Unlock()
	members = slices.DeleteFunc(members, func(m *subscription) bool { return slices.Contains(tried, m) })
	if slices.ContainsFunc(members, (*subscription).online) {
		members = slices.DeleteFunc(members, func(m *subscription) bool { return !m.online() })
	}
	if len(members) == 0 {
		return nil
	}
	start := c.from(len(members), 0)
	best := members[start]
	least := best.load()
	for i := 1; i < len(members); i++ {
		m := members[(start+i)%len(members)]
		if l := m.load(); l.less(least) {
			best, least = m, l
		}
	}
	return best
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
