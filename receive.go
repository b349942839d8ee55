package shoal

import (
	"slices"

	"github.com/shoalmq/shoal/internal/codec"
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
	whole.then = func(code packets.ReasonCode) {
		if code.IsError() {
			accepted(&Error{ReasonCode: code})
			return
		}
		accepted(nil)
	}
	// The sender may know of sessions that this node has been given and has not made yet.
	if err := n.adoptions.awaitStep(n.life, r.Fixed64()); err != nil {
		accepted(err)
		return
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

// forwarded is one message from another node. It refers to the batch.
type forwarded struct {
	flags     byte
	p         packets.Publish
	id        msgID
	publisher string
	expires   int64
	groups    []string
	inherited uint64
}

func readForwarded(rd *codec.Reader, now int64) (f forwarded) {
	f.flags = rd.Byte()
	f.p.QoS, f.p.Retain = packets.QoS(f.flags&3), f.flags&flagRetain != 0
	if f.flags&forwardInherited != 0 {
		f.inherited = rd.Uint()
	}
	f.id = msgID{Origin: rd.Uint(), Number: rd.Uint()}
	f.p.TopicName = rd.StringRef()
	f.publisher = rd.StringRef()
	var interval packets.Optional[uint32]
	if f.flags&forwardExpires != 0 {
		f.expires = int64(rd.Uint())
		interval = packets.Some(uint32((max(0, f.expires-now) + 999_999_999) / 1_000_000_000))
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

// receiveOne routes one forwarded message to the sessions of this node.
func (n *clusterNode) receiveOne(sc *scratch, rd *codec.Reader, whole *acceptance) {
	f := readForwarded(rd, sc.nano)
	if rd.Err() != nil {
		return
	}
	p, groups := &f.p, f.groups
	r := &sc.r
	r.reset()
	r.p, r.publisher, r.borrowed, r.nano, r.id, r.expires = p, f.publisher, true, sc.nano, f.id, f.expires
	r.inherited = f.inherited
	var others []string
	if len(groups) > 0 {
		again := f.flags&forwardAgain != 0
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
