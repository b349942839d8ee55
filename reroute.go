package shoal

import (
	"slices"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Messages that were on their way to a node when it was lost.

// held reports whether a route leads to sessions that this node is adopting.
func (rt *route) held() bool { return rt.peer == nil && rt.group == "" }

// reroute sends what a lost node has not accepted to its heirs, for the sessions adopted from it. If the node is its own heir, it pauses for the link to it to
// open, unless it has done so before; it returns whether it has.
func (n *clusterNode) reroute(lost string, o *outgoing, paused bool) bool {
	stamp := stepOfBatch(o.buf)
	heirs, step := n.state.heirsOf(lost, stamp)
	if slices.Contains(heirs, lost) && !paused {
		paused = true
		select {
		case <-time.After(reroutePause):
		case <-n.life.Done():
		}
		heirs, step = n.state.heirsOf(lost, stamp)
	}
	if len(heirs) == 0 {
		for _, a := range o.waits {
			a.finish(packets.ServerUnavailable)
		}
		return paused
	}
	rd, err := openRecord(o.buf)
	if err != nil || n.life.Err() != nil { // it was made here
		for _, a := range o.waits {
			a.finish(packets.ServerShuttingDown)
		}
		return paused
	}
	rd.Fixed64()
	next := make([]outgoing, len(heirs))
	sc := n.b.scratch()
	defer sc.release()
	for i := 0; rd.More(); {
		f := readForwarded(rd, sc.nano)
		if rd.Err() != nil {
			break
		}
		if f.p.QoS == 0 {
			continue
		}
		wait := o.waits[i]
		i++
		if f.flags&forwardGroupsOnly != 0 { // nobody but another member of the group is to have it; see repick
			wait.finish(packets.Success)
			continue
		}
		r := &sc.r
		r.reset()
		r.p, r.publisher, r.borrowed, r.nano, r.id, r.expires = &f.p, f.publisher, true, sc.nano, f.id, f.expires
		r.durability = f.durability
		r.origin = f.origin
		lostAt, sent := step, stamp
		if f.inherited != 0 {
			lostAt, sent = f.inherited, f.sent
		}
		for range len(heirs) - 1 {
			wait.add()
		}
		for i, to := range heirs {
			if to == n.self.Name {
				n.adoptions.hold(heldMessage{msg: r.message(), lost: lostAt, sent: sent, wait: wait, returned: true})
				continue
			}
			r.inherited, r.sent = lostAt, sent
			if next[i].buf == nil {
				next[i].buf = newBatch()
			}
			next[i].buf = appendForward(next[i].buf, r, nil)
			next[i].waits = append(next[i].waits, wait)
		}
	}
	for i, to := range heirs {
		if len(next[i].waits) > 0 {
			n.peer(to).forward(&next[i])
		}
	}
	return paused
}

// reroutePause is the pause before messages are sent to a node that has just come back.
const reroutePause = 20 * time.Millisecond

// deliverInherited delivers a message that was on its way to a lost node to the sessions that were adopted from it.
func (n *clusterNode) deliverInherited(h heldMessage) {
	sc := n.b.scratch()
	defer sc.release()
	p := publishOfMessage(h.msg)
	r := &sc.r
	r.again(&p, h.msg, sc.nano)
	r.origin, r.doubtful = h.msg.Origin, h.doubtful
	if h.group != "" {
		if !n.routeGroup(sc, h.group) {
			n.b.drop(DroppedEvent{TopicName: h.msg.TopicName, QoS: h.msg.QoS, Reason: DropSessionEnded})
		}
	} else {
		r.inherited, r.sent, r.heldBack = h.lost, h.sent, !h.returned
		sc.matches = n.b.index.AppendMatches(sc.matches[:0], p.TopicName)
		n.b.routeLocal(sc, nil)
	}
	n.b.awaitStored(r)
	if a := r.wait; a != nil {
		a.then = h.wait.finish
		a.finish(packets.Success)
		return
	}
	h.wait.finish(packets.Success)
}
