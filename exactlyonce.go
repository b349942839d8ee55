package shoal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// The exchange of a QoS 2 message with a publisher whose session lasts, on a node of a cluster; see origins.go for what others do with its origin.

// origin returns the origin of a message that is received on c, or nil if it needs none: what is acknowledged before others have heard of it may come
// twice. The caller holds s.mu.
func (c *conn) origin(p *packets.Publish) *core.Origin {
	if !c.reserves(p) {
		return nil
	}
	o := &core.Origin{PacketID: p.PacketID, At: c.b.cluster.moments.next()}
	if p.Dup {
		o.Again = c.since
	}
	return o
}

// reserves reports whether the identifier of a message that is received on c is kept only when everybody who must have the message has it. A store that all
// nodes share may hear of it though the nodes have not heard of the message: this one may be cut off from them alone. The caller holds s.mu.
func (c *conn) reserves(p *packets.Publish) bool {
	return p.QoS == 2 && c.b.cluster != nil && c.s.isLasting() && c.b.cfg.durabilities.ofMessage(p.TopicName, c.durability) != DurabilityMemory
}

// origin returns the origin of a will. Whoever publishes the will of a lost node's client cannot know whether that node had, nor who has taken what not all have.
func (w *will) origin() *core.Origin {
	cl := w.b.cluster
	if cl == nil {
		return nil
	}
	o := &core.Origin{Will: w.epoch, At: cl.moments.next()}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.again {
		o.Again = math.MaxUint64
	}
	return o
}

// catchUp returns when all nodes know what was agreed before this connection began, if p may be one that another node has received before: they
// tell repetitions from new messages by it. It reports false if that could not be had in time.
func (c *conn) catchUp(sc *scratch, p *packets.Publish) bool {
	cl := c.b.cluster
	if c.caughtUp || !p.Dup || p.QoS != 2 || cl == nil || !c.s.lasts() {
		return true
	}
	sc.flush()
	ctx, cancel := context.WithTimeout(c.context(), servingPatience)
	defer cancel()
	c.caughtUp = cl.c.Barrier(ctx) == nil
	return c.caughtUp
}

// routed has the identifier of a message kept, once everybody who must have the message has it, and then answers. Before, the identifier is
// merely reserved: if this node is lost, nobody may take the message for one that was published.
func (s *session) routed(p *pendingAnswer, slot ackSlot, d Durability, code packets.ReasonCode) {
	s.mu.Lock()
	token, _ := s.core.Pending(slot.id)
	switch {
	case token != any(p): // released meanwhile
	case code == packets.ServerUnavailable || code == packets.ServerShuttingDown || code == errCannotKeep.ReasonCode:
		// Some may have the message, and others not. If the client heard of an error, and missed it, it would send the message again as another one.
		s.mu.Unlock()
		s.forsake(p, slot)
		return
	case code.IsError():
		s.core.Release(slot.id) // all nodes hear of it: what comes with the identifier is another message
	default:
		s.core.Receive(slot.id)
	}
	s.stirExchanges()
	s.mu.Unlock()
	s.b.journal.later(func(kept packets.ReasonCode) {
		if kept.IsError() && !code.IsError() {
			s.answerAgain(p, slot, d)
			return
		}
		s.resolve(p, slot, code)
	}, d)
}

// forsake ends the connection, if there is one, on which a message waits for its answer: whether it is with everybody who must have it is not for this
// node to say. The client sends it again.
func (s *session) forsake(p *pendingAnswer, slot ackSlot) {
	s.mu.Lock()
	if token, _ := s.core.Pending(slot.id); token == any(p) {
		s.core.Unreserve(slot.id)
	}
	s.stirExchanges()
	s.mu.Unlock()
	p.silent = true
	s.resolve(p, slot, packets.ServerUnavailable)
}

// answerAgain ends the connection on which a message waits for its answer that everybody has, and whose identifier is not kept in time: the store fails. The
// identifier stays taken, so that the exchange is not over, and what the client sends again is answered when the store has it.
func (s *session) answerAgain(p *pendingAnswer, slot ackSlot, d Durability) {
	again, later := new(pendingAnswer), slot
	later.pending = again
	s.mu.Lock()
	token, _ := s.core.Pending(slot.id)
	mine := token == any(p)
	if mine {
		s.core.SetToken(slot.id, again)
	}
	p.silent = true
	s.mu.Unlock()
	s.resolve(p, slot, packets.ServerUnavailable)
	if !mine { // released meanwhile
		return
	}
	a := newAcceptance()
	s.b.journal.awaitPatient(a, d)
	a.begin(func(packets.ReasonCode) { s.resolve(again, later, packets.Success) }) // if it is still not kept, everybody has the message all the same
}

// stirExchanges wakes whoever waits in awaitExchanges, if there is nothing to wait for. The caller holds s.mu.
func (s *session) stirExchanges() {
	if s.core.Open() == 0 && s.core.Lent() == 0 && s.exchanged != nil {
		close(s.exchanged)
		s.exchanged = nil
	}
}

// awaitExchanges returns when every message the client has sent is with everybody who must have it, or is not going to be. Until then its session
// cannot go to another node: the client would send the message again there, and both might arrive.
func (s *session) awaitExchanges(ctx context.Context) error {
	s.mu.Lock()
	if s.core.Open() == 0 && s.core.Lent() == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.exchanged == nil {
		s.exchanged = make(chan struct{})
	}
	exchanged := s.exchanged
	s.mu.Unlock()
	select {
	case <-exchanged:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteArrival notes that a message is being given to all sessions of this node.
func (n *clusterNode) noteArrival(r *routing) {
	if r.origin != nil && r.inherited == 0 && !r.groupsOnly {
		m := r.message()
		if w := m.Origin.Will; w != 0 && !n.state.hasWill(m.Publisher, w) {
			// It comes late, and nobody will publish it again; but two may have, if a node was lost.
			r.origin, r.stale = nil, n.state.origins.wills.has(willKey{m.Publisher, w})
			return
		}
		r.seen = !n.state.origins.arrive(m.Publisher, m.Origin)
	}
}

// tookForGroup notes that a shared group has a message.
func (a *agreed) tookForGroup(r *routing, group string) {
	if r.origin != nil {
		m := r.message()
		a.origins.take(m.Publisher, m.Origin, holder{kind: holderGroup, name: group}, true)
	}
}

// takesFirst notes that the session gets a message that may come again, and reports false if this is the repetition. The caller holds s.mu.
func (s *session) takesFirst(sc *scratch, e *core.Entry, filter string) bool {
	lasts := s.keeps(e) || s.phase.arrives() || s.phase.collects()
	switch {
	case e.Share != "": // the group has it; see tookForGroup
	case !lasts:
		return !sc.r.seen
	case !s.b.cluster.state.origins.take(e.Msg.Publisher, e.Msg.Origin, holder{kind: holderSession, name: s.clientID, filter: filter}, sc.r.inherited != 0):
		return false
	}
	if e.Fresh = lasts; s.doubtful && sc.r.origin.Again != 0 {
		e.Doubtful = e.QoS == 1 // QoS 1 does not wait until it is kept: the lost node may have sent it, and nobody else knows
	}
	return true
}

// askGroups is clusterNode.askGroups, for a limited time.
func (c *conn) askGroups(sc *scratch) error {
	sc.flush()
	ctx, cancel := context.WithTimeout(c.context(), servingPatience)
	defer cancel()
	return c.b.cluster.askGroups(ctx, sc)
}

// askGroups finds out, for a message that its publisher sends again, which of the shared groups that it is for have had it. Only the node that gave
// it to a member knows that for sure, until the exchange is over.
func (n *clusterNode) askGroups(ctx context.Context, sc *scratch) error {
	r := &sc.r
	var groups []string
	add := func(name string) {
		if !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
	}
	for _, rt := range n.state.routes.Load().AppendMatches(nil, r.p.TopicName) {
		if rt.group != "" {
			add(rt.group)
		}
	}
	for _, t := range n.b.index.AppendMatches(nil, r.p.TopicName) {
		if g, ok := t.(*group); ok {
			add(g.name)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	m := r.message()
	for _, name := range groups {
		has, err := n.anyoneHas(ctx, m, name)
		if err != nil {
			return err
		}
		if has {
			r.had = append(r.had, name)
		}
	}
	return nil
}

// anyoneHas reports whether any node has given a message to a member of a group.
func (n *clusterNode) anyoneHas(ctx context.Context, m *core.Message, group string) (bool, error) {
	for _, node := range n.members() {
		for {
			if n.state.origins.has(m.Publisher, m.Origin, holder{kind: holderGroup, name: group}) {
				return true, nil
			}
			has, err := n.askHas(ctx, node, m, group)
			if has {
				return true, nil
			}
			if err == nil || !n.isMember(node) { // what a lost node gave to sessions that last, all know
				break
			}
			select {
			case <-time.After(homePause):
			case <-ctx.Done():
				return false, fmt.Errorf("ask node %s who has a message: %w", node, ctx.Err())
			}
		}
	}
	return n.state.origins.has(m.Publisher, m.Origin, holder{kind: holderGroup, name: group}), nil
}

// hasTimeout is how long one node may take to say whether it has a message.
const hasTimeout = time.Second

func (n *clusterNode) askHas(ctx context.Context, node string, m *core.Message, group string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, hasTimeout)
	defer cancel()
	req := appendOrigin(codec.AppendString(codec.AppendString(request(callHas), m.Publisher), group), m.Origin)
	b, err := n.c.Call(ctx, node, req)
	if err != nil {
		return false, err
	}
	r, err := openRecord(b)
	if err != nil {
		return false, err
	}
	return r.Bool(), r.Err()
}

// serveHas answers callHas.
func (n *clusterNode) serveHas(ctx context.Context, r *codec.Reader) ([]byte, error) {
	publisher, group, o := r.String(), r.String(), readOrigin(r)
	if r.Err() != nil {
		return nil, r.Err()
	}
	if err := n.gate.pass(ctx); err != nil { // what came from a node that was lost since is with its sessions
		return nil, err
	}
	if err := n.adoptions.await(ctx); err != nil { // and those say what they had, where a store has them
		return nil, err
	}
	return codec.AppendBool(newRecord(), n.state.origins.has(publisher, o, holder{kind: holderGroup, name: group})), nil
}

// members returns the other nodes that take part, as all agree.
func (n *clusterNode) members() (names []string) {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	for name := range n.state.up {
		if name != n.self.Name {
			names = append(names, name)
		}
	}
	return names
}

func (n *clusterNode) isMember(node string) bool {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	return n.state.isUp(node)
}
