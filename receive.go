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
