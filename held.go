package shoal

import (
	"slices"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Messages that wait for the sessions of a lost node, which are being adopted.

// heldMessage waits for the sessions it may be for.
type heldMessage struct {
	msg  *core.Message
	lost uint64 // sessions that were adopted at this step, or, unless it was returned, later
	sent uint64 // of a message that was returned; see routing
	wait *acceptance
	// group is the shared group the message is for, "" for plain subscriptions.
	group string
	// returned: it had been sent to the lost node, and so goes in front of what this node has routed since.
	returned bool
	// doubtful: somebody of the group may have had it.
	doubtful bool
}

// inOrder puts what had been sent to lost nodes in front.
func inOrder(held []heldMessage) []heldMessage {
	slices.SortStableFunc(held, func(a, b heldMessage) int {
		switch {
		case a.returned == b.returned:
			return 0
		case a.returned:
			return -1
		default:
			return 1
		}
	})
	return held
}

// release returns the messages held for sessions that were adopted up to a step. Those for later steps stay; and what was returned, while there is more to adopt:
// the session it is for may have come to yet another node that was lost.
func (q *adoptions) release(index uint64) (held []heldMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var later []heldMessage
	for _, h := range q.held {
		if h.lost > index {
			later = append(later, h)
			continue
		}
		held = append(held, h)
		if h.returned && len(q.queue) > 0 {
			h.wait.add()
			later = append(later, h)
		}
	}
	q.held = later
	return inOrder(held)
}

// abandon tells the publishers of what is held that it went nowhere.
func (q *adoptions) abandon(code packets.ReasonCode) {
	q.mu.Lock()
	held := q.held
	q.held = nil
	q.mu.Unlock()
	for _, h := range held {
		h.wait.finish(code)
	}
}

// hold keeps a message for sessions that are being adopted; or delivers it, when they are there already. wait is finished when it is theirs.
func (q *adoptions) hold(h heldMessage) {
	q.mu.Lock()
	if q.pending() {
		q.held = append(q.held, h)
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	q.n.deliverInherited(h)
}

// holdForGroup keeps the message in sc.r, which found nobody in a shared group, while sessions are being adopted; it finds its way anew when they are
// there. It reports false if there is nothing to wait for.
func (q *adoptions) holdForGroup(sc *scratch, group string) bool {
	r := &sc.r
	if r.qos() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.pending() || (q.ending && len(q.queue) == 0) {
		return false
	}
	a := r.acceptance()
	a.add()
	q.held = append(q.held, heldMessage{msg: r.message(), lost: q.taken.Load(), wait: a, group: group, doubtful: r.doubtful})
	return true
}
