package shoal

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Messages from node to node. A message goes once to each node that has a subscriber, with the names of the shared groups that
// this node has picked it for; there it is matched again. Everything that one batch of a client's packets sends to a node
// leaves in one Forward, and its acceptance completes all of them.

// peerQueue gathers what is to go to one node.
type peerQueue struct {
	n    *clusterNode
	node string

	mu          sync.Mutex
	batch       *outgoing
	outstanding int           // bytes that were forwarded and are not accepted
	settled     chan struct{} // closed, and made anew, when outstanding falls; nil when nobody waits
	sent, done  uint64        // batches
}

// outgoing is one batch on its way.
type outgoing struct {
	buf   []byte
	waits []*acceptance
	// picks are the messages that were sent for the sake of shared groups: if the node is lost, others get them.
	picks []pick
}

type pick struct {
	groups []string
	msg    *core.Message
}

// Bounds of what may be outstanding towards one node, in bytes: messages of QoS 0 are dropped beyond the first, publishers of QoS 1 and 2 are
// not read from beyond the second.
const (
	peerDropQoS0 = 16 << 20
	peerPause    = 32 << 20
)

// peer returns the queue to a node.
func (n *clusterNode) peer(node string) *peerQueue {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[node]
	if p == nil {
		p = &peerQueue{n: n, node: node}
		n.peers[node] = p
	}
	return p
}

// route hands the message in sc.r to the other nodes that have subscribers, and to one member of each shared group that matches,
// wherever it is. It reports whether there was anybody.
func (n *clusterNode) route(sc *scratch) (matched bool) {
	a := &n.state
	sc.remote = a.routes.Load().AppendMatches(sc.remote[:0], sc.r.p.TopicName)
	sc.sends = sc.sends[:0]
	var groups []string
	for _, rt := range sc.remote {
		if rt.group == "" {
			sc.sendTo(rt.peer)
		} else if !slices.Contains(groups, rt.group) {
			groups = append(groups, rt.group)
		}
	}
	for _, t := range sc.matches {
		if g, ok := t.(*group); ok && !slices.Contains(groups, g.name) {
			groups = append(groups, g.name)
		}
	}
	for _, name := range groups {
		matched = n.pickGroup(sc, name) || matched
	}
	for i := range sc.sends {
		matched = true
		sc.sends[i].peer.send(sc, sc.sends[i].groups)
	}
	return matched
}

// send is one node that the message goes to, and for which groups.
type send struct {
	peer   *peerQueue
	groups []string
}

func (sc *scratch) sendTo(p *peerQueue) *send {
	for i := range sc.sends {
		if sc.sends[i].peer == p {
			return &sc.sends[i]
		}
	}
	sc.sends = append(sc.sends, send{peer: p})
	return &sc.sends[len(sc.sends)-1]
}

// pickGroup chooses who of a shared group gets the message: a member of this node that is online; else one of another node;
// else one that is away, here or there (guarantee 7). A choice of another node is added to sc.sends.
func (n *clusterNode) pickGroup(sc *scratch, name string) bool {
	local := n.b.groups.get(name)
	online, all := 0, 0
	if local != nil {
		online, all = local.count()
	}
	if online > 0 {
		if n.b.deliverShared(sc, local) {
			return true
		}
	}
	rt := n.state.pickNode(name, n.self.Name)
	if rt != nil && (rt.online > 0 || all == 0) {
		s := sc.sendTo(rt.peer)
		s.groups = append(s.groups, name)
		return true
	}
	if all > 0 {
		n.b.deliverShared(sc, local)
		return true
	}
	return false
}

// pickNode returns another node's route of a group, by chance, weighted by the members that are online, or, if there are none,
// by all; nil if there is none.
func (a *agreed) pickNode(name, self string) *route {
	a.mu.RLock()
	defer a.mu.RUnlock()
	online, all := 0, 0
	for node, rt := range a.shares[name] {
		if node != self {
			online += rt.online
			all += rt.all
		}
	}
	if all == 0 {
		return nil
	}
	weight := func(rt *route) int { return rt.online }
	total := online
	if online == 0 {
		weight, total = func(rt *route) int { return rt.all }, all
	}
	at := rand.IntN(total)
	for node, rt := range a.shares[name] {
		if node == self {
			continue
		}
		if at -= weight(rt); at < 0 {
			return rt
		}
	}
	return nil
}

// routeGroup routes the message in sc.r to a group alone.
func (n *clusterNode) routeGroup(sc *scratch, name string) bool {
	sc.sends = sc.sends[:0]
	found := n.pickGroup(sc, name)
	for i := range sc.sends {
		sc.sends[i].peer.send(sc, sc.sends[i].groups)
	}
	if !found {
		n.b.drop(DroppedEvent{TopicName: strings.Clone(sc.r.p.TopicName), QoS: sc.r.qos(), Reason: DropSessionEnded})
	}
	return found
}

// groupOnline reports whether another node has a member of a group that is online.
func (n *clusterNode) groupOnline(name string) bool {
	rt := n.state.pickNode(name, n.self.Name)
	return rt != nil && rt.online > 0
}

const (
	forwardProperties = 1 << 3
	forwardExpires    = 1 << 4
	forwardGroups     = 1 << 5
	forwardAgain      = 1 << 6 // the node that was picked for a group had nobody online
)

// send appends the message to what is going to the node.
func (p *peerQueue) send(sc *scratch, groups []string) {
	r := &sc.r
	qos := r.qos()
	p.mu.Lock()
	if qos == 0 && p.outstanding > peerDropQoS0 {
		p.mu.Unlock()
		p.n.b.drop(DroppedEvent{TopicName: strings.Clone(r.p.TopicName), Reason: DropPeerQueueFull})
		return
	}
	first := p.batch == nil
	if first {
		p.batch = &outgoing{buf: versioned(nil)}
	}
	o := p.batch
	o.buf = appendForward(o.buf, r, groups)
	if qos > 0 {
		a := r.acceptance()
		a.add()
		o.waits = append(o.waits, a)
		if len(groups) > 0 {
			o.picks = append(o.picks, pick{groups: slices.Clone(groups), msg: r.message()})
		}
	}
	p.mu.Unlock()
	p.n.b.metrics.forwarded.Add(1)
	if first || !slices.Contains(sc.peers, p) {
		sc.peers = append(sc.peers, p)
	}
}

func appendForward(b []byte, r *routing, groups []string) []byte {
	p := &r.p.Properties
	flags := byte(r.qos())
	if r.p.Retain {
		flags |= flagRetain
	}
	has := p.PayloadFormatIndicator.Set || p.ContentType.Set || p.ResponseTopic.Set || p.CorrelationData != nil || len(p.UserProperties) > 0
	if has {
		flags |= forwardProperties
	}
	if r.expires != 0 {
		flags |= forwardExpires
	}
	if len(groups) > 0 {
		flags |= forwardGroups
	}
	if r.again {
		flags |= forwardAgain
	}
	b = append(b, flags)
	b = codec.AppendUint(b, r.id.Origin)
	b = codec.AppendUint(b, r.id.Number)
	b = codec.AppendString(b, r.p.TopicName)
	b = codec.AppendString(b, r.publisher)
	if r.expires != 0 {
		b = codec.AppendUint(b, uint64(r.expires))
	}
	if has {
		b = appendProperties(b, p)
	}
	if len(groups) > 0 {
		b = codec.AppendUint(b, uint64(len(groups)))
		for _, g := range groups {
			b = codec.AppendString(b, g)
		}
	}
	return codec.AppendBytes(b, r.p.Payload)
}

// flush hands the batch to the Replicator, in order with all others.
func (p *peerQueue) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.batch
	if o == nil {
		return
	}
	p.batch = nil
	p.count(len(o.buf))
	p.sent++
	p.n.c.Forward(p.node, o.buf, func(err error) { p.accepted(o, err) })
}

// accepted completes a batch.
func (p *peerQueue) accepted(o *outgoing, err error) {
	p.mu.Lock()
	p.count(-len(o.buf))
	p.done++
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
	p.mu.Unlock()
	code := packets.Success
	switch {
	case err == nil:
	case errors.Is(err, ErrNodeLost):
		// The node's own sessions went with it. What it was to hand to a shared group goes to another member.
		p.n.repick(o.picks)
	case errors.Is(err, ErrClosed):
		code = packets.ServerShuttingDown
	default:
		code = packets.ImplementationSpecificError
	}
	for _, a := range o.waits {
		a.finish(code)
	}
}

// repick gives messages for shared groups to others than the node that was lost.
func (n *clusterNode) repick(picks []pick) {
	if len(picks) == 0 {
		return
	}
	sc := n.b.scratch()
	defer sc.release()
	for i := range picks {
		for _, g := range picks[i].groups {
			e := core.Entry{Msg: picks[i].msg, QoS: picks[i].msg.QoS, Share: g}
			n.b.redispatchOne(sc, &e)
		}
	}
}

// pause keeps a publisher from being read from while too much is outstanding towards another node.
func (n *clusterNode) pause(ctx context.Context) {
	if n.congested.Load() == 0 {
		return
	}
	for _, p := range n.allPeers() {
		_ = p.await(ctx, func() bool { return p.outstanding < peerPause }) // it fails only at the end
	}
}

func (n *clusterNode) allPeers() []*peerQueue {
	n.mu.Lock()
	defer n.mu.Unlock()
	peers := make([]*peerQueue, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	return peers
}

// count changes what is outstanding. The caller holds p.mu.
func (p *peerQueue) count(delta int) {
	before := p.outstanding >= peerPause
	p.outstanding += delta
	switch after := p.outstanding >= peerPause; {
	case after && !before:
		p.n.congested.Add(1)
	case before && !after:
		p.n.congested.Add(-1)
	}
}

// drain returns when everything that was flushed before the call has been accepted.
func (p *peerQueue) drain(ctx context.Context) error {
	p.mu.Lock()
	want := p.sent
	p.mu.Unlock()
	return p.await(ctx, func() bool { return p.done >= want })
}

func (p *peerQueue) await(ctx context.Context, enough func() bool) error {
	for {
		p.mu.Lock()
		if enough() {
			p.mu.Unlock()
			return nil
		}
		if p.settled == nil {
			p.settled = make(chan struct{})
		}
		settled := p.settled
		p.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flushPeers sends what gathered and waits for it to be accepted.
func (n *clusterNode) flushPeers(ctx context.Context) {
	peers := n.allPeers()
	for _, p := range peers {
		p.flush()
	}
	for _, p := range peers {
		if p.drain(ctx) != nil {
			return
		}
	}
}

// Receive implements StateMachine.
func (sm *stateMachine) Receive(node string, batch []byte, accepted func(error)) {
	n := (*clusterNode)(sm)
	r, err := openRecord(batch)
	if err != nil {
		n.b.log.Error("messages from another node cannot be read; do the nodes run versions that fit together?", "node", node, "error", err)
		accepted(err)
		return
	}
	whole := newAcceptance()
	whole.then = func(code packets.ReasonCode) {
		if code.IsError() {
			accepted(&Error{ReasonCode: code})
			return
		}
		accepted(nil)
	}
	sc := n.b.scratch()
	gate := n.gate.enter()
	for r.More() {
		n.receiveOne(sc, r, whole)
	}
	n.gate.leave(gate)
	if r.Err() != nil {
		n.b.log.Error("messages from another node are damaged", "node", node, "error", r.Err())
	}
	sc.release()
	whole.finish(packets.Success)
}

// receiveOne routes one forwarded message to the sessions of this node.
func (n *clusterNode) receiveOne(sc *scratch, rd *codec.Reader, whole *acceptance) {
	flags := rd.Byte()
	p := packets.Publish{QoS: packets.QoS(flags & 3), Retain: flags&flagRetain != 0}
	id := msgID{Origin: rd.Uint(), Number: rd.Uint()}
	p.TopicName = rd.StringRef()
	publisher := rd.StringRef()
	var expires int64
	if flags&forwardExpires != 0 {
		expires = int64(rd.Uint())
		left := max(0, expires-sc.nano)
		p.Properties.MessageExpiryInterval = packets.Some(uint32((left + 999_999_999) / 1_000_000_000))
	}
	if flags&forwardProperties != 0 {
		props := readProperties(rd)
		props.MessageExpiryInterval = p.Properties.MessageExpiryInterval
		p.Properties = *props
	}
	var groups []string
	if flags&forwardGroups != 0 {
		for range rd.Count() {
			groups = append(groups, rd.String())
		}
	}
	p.Payload = rd.Bytes()
	if rd.Err() != nil {
		return
	}
	r := &sc.r
	r.reset()
	r.p, r.publisher, r.borrowed, r.nano, r.id, r.expires = &p, publisher, true, sc.nano, id, expires
	var others []string
	if len(groups) > 0 {
		again := flags&forwardAgain != 0
		others = n.notHere(groups, again)
		groups = slices.DeleteFunc(groups, func(g string) bool { return slices.Contains(others, g) })
		r.again = true // whoever gets it from here keeps it
	}
	n.b.metrics.fromNodes.Add(1)
	sc.matches = n.b.index.AppendMatches(sc.matches[:0], p.TopicName)
	n.b.routeLocal(sc, groups)
	for _, g := range others {
		n.routeGroup(sc, g)
	}
	if r.store && p.QoS > 0 {
		n.b.journal.await(r.acceptance())
	}
	if a := r.wait; a != nil {
		whole.add()
		a.then = whole.finish
		a.finish(packets.Success)
	}
	r.p = nil
}

// notHere returns the groups that this node was picked for and should not serve: their last member has left while the message was on its way,
// or is away while another node has one online. A message that was passed on for that reason is not passed on again.
func (n *clusterNode) notHere(groups []string, again bool) (others []string) {
	for _, name := range groups {
		g := n.b.groups.get(name)
		if g == nil {
			others = append(others, name)
			continue
		}
		if online, _ := g.count(); online == 0 && !again && n.groupOnline(name) {
			others = append(others, name)
		}
	}
	return others
}

// retain proposes a retained message. Its publisher is answered when every node that serves has it.
func (n *clusterNode) retain(r *routing) {
	m := r.message()
	cmd := appendMessage(command(cmdRetain), m)
	if r.qos() == 0 {
		n.c.ProposeAsync(cmd, nil)
		return
	}
	a := r.acceptance()
	a.add()
	n.c.ProposeAsync(cmd, func(_ any, err error) {
		if err != nil {
			a.finish(packets.ImplementationSpecificError)
			return
		}
		n.barriers.add(func(err error) {
			if err != nil {
				a.finish(packets.ImplementationSpecificError)
				return
			}
			a.finish(packets.Success)
		})
	})
}
