package shoal

import (
	"slices"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

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
	step := r.Fixed64()
	whole.then = func(code packets.ReasonCode) {
		if code.IsError() && (n.leaving.Load() || n.wasGivenUpSince(step)) {
			return
		}
		if code.IsError() {
			accepted(&Error{ReasonCode: code})
			return
		}
		if whole.delay > 0 {
			accepted(&HeldBack{whole.delay})
			return
		}
		accepted(nil)
	}
	// The sender may know of sessions that this node has been given and has not made yet.
	if err := n.adoptions.awaitStep(n.life, step); err != nil {
		if n.leaving.Load() {
			return
		}
		accepted(err)
		return
	}
	if n.wasGivenUpSince(step) {
		return
	}
	if !n.state.current(node, step) {
		accepted(errGivenUp)
		return
	}
	sc := n.b.scratch()
	tenure := n.tenure.Load()
	gate := n.gate.enter()
	for r.More() {
		n.receiveOne(sc, r, whole, step)
	}
	n.gate.leave(gate)
	n.awaitDrain(sc)
	if n.tenure.Load() != tenure && n.wasGivenUpSince(step) {
		whole.add() // what has been given to sessions here may not be theirs any more
		whole.finish(packets.ServerUnavailable)
	}
	if r.Err() != nil {
		n.b.log.Error("messages from another node are damaged", "node", node, "error", r.Err())
	}
	sc.release()
	whole.finish(packets.Success)
}

// wasGivenUpSince reports whether the cluster has given this node up since another one had taken
// a step. What that one sent here until then, and this node has not accepted, is not answered. Its
// sender, too, hears of the loss, perhaps later, and sends everything without an answer to this
// node's heirs, in order. A refusal would take one message out of that order: its publisher would
// send it again behind those that went to the heirs.
func (n *clusterNode) wasGivenUpSince(step uint64) bool {
	return !n.up.Load() || !n.state.current(n.self.Name, step)
}

// awaitDrain keeps what follows from the other node waiting for a moment, when a queue that it fills has far more than its limits: its
// publishers are held back, and may have very many messages on their way nevertheless.
func (n *clusterNode) awaitDrain(sc *scratch) {
	limit := min(sc.drain, longestDrain)
	if sc.drain = 0; limit == 0 {
		return
	}
	sc.flush()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.life.Done():
	}
}

// errGivenUp refuses what a node sent before the cluster gave it up.
var errGivenUp = &Error{ReasonCode: packets.ServerUnavailable, Reason: "the node was given up by its cluster", Err: ErrNotServing}

// forwarded is one message from another node. It refers to the batch.
type forwarded struct {
	flags      uint64
	durability Durability
	p          packets.Publish
	id         msgID
	publisher  string
	expires    int64
	groups     []string
	inherited  uint64
	sent       uint64 // see routing
	origin     *core.Origin
}

func readForwarded(rd *codec.Reader, now int64) (f forwarded) {
	f.flags, f.durability = rd.Uint(), Durability(rd.Byte())
	f.p.QoS, f.p.Retain = packets.QoS(f.flags&3), f.flags&flagRetain != 0
	if f.flags&forwardInherited != 0 {
		f.inherited, f.sent = rd.Uint(), rd.Uint()
	}
	f.id = msgID{Origin: rd.Uint(), Number: rd.Uint()}
	f.p.TopicName = rd.StringRef()
	f.publisher = rd.StringRef()
	var interval packets.Optional[uint32]
	if f.flags&forwardExpires != 0 {
		f.expires = int64(rd.Uint())
		interval = packets.Some(uint32((max(0, f.expires-now) + 999_999_999) / 1_000_000_000))
	}
	if f.flags&forwardOrigin != 0 {
		f.origin = readOrigin(rd)
	}
	if f.flags&forwardProperties != 0 {
		f.p.Properties = *readProperties(rd)
	}
	f.p.Properties.MessageExpiryInterval = interval
	if f.flags&forwardGroups != 0 {
		for range rd.Count() {
			f.groups = append(f.groups, rd.String())
		}
	}
	f.p.Payload = rd.Bytes()
	return f
}

// receiveOne routes one forwarded message to the sessions of this node. step is that of its batch.
func (n *clusterNode) receiveOne(sc *scratch, rd *codec.Reader, whole *acceptance, step uint64) {
	f := readForwarded(rd, sc.nano)
	if rd.Err() != nil {
		return
	}
	p, groups := &f.p, f.groups
	r := &sc.r
	r.reset()
	r.p, r.publisher, r.borrowed, r.nano, r.id, r.expires = p, f.publisher, true, sc.nano, f.id, f.expires
	r.durability, r.step = f.durability, step
	r.inherited, r.sent = f.inherited, f.sent
	r.groupsOnly, r.origin = f.flags&forwardGroupsOnly != 0, f.origin
	r.doubtful = f.flags&forwardDoubtful != 0
	n.noteArrival(r)
	var others []string
	if len(groups) > 0 && r.doubtful { // a lost node had been sent it, and may have passed it on to this one
		groups = slices.DeleteFunc(groups, func(g string) bool { return n.passed.has(passedKey{f.id, g}) })
	}
	if len(groups) > 0 {
		others = n.notHere(groups, r.qos())
		groups = slices.DeleteFunc(groups, func(g string) bool { return slices.Contains(others, g) })
	}
	n.b.metrics.fromNodes.Add(1)
	sc.matches = n.b.index.AppendMatches(sc.matches[:0], p.TopicName)
	n.b.routeLocal(sc, groups)
	for _, g := range append(others, sc.untaken...) {
		n.passLater(r, g)
		n.state.tookForGroup(r, g)
	}
	n.b.awaitStored(r)
	if whole.delay = max(whole.delay, r.delay); r.far {
		sc.drain = max(sc.drain, r.delay)
	}
	if a := r.wait; a != nil {
		whole.add()
		a.then = whole.finish
		a.finish(packets.Success)
	}
	r.p = nil
}
