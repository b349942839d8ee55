package shoal

import (
	"context"

	core "github.com/shoalmq/shoal/internal/session"
)

// commonStore keeps sessions in a store that all nodes share (commonlog.go, commonsession.go). The replicated log has of
// each only that it is kept, and what commonnotes.go tells.
type commonStore struct {
	log    *commonLog
	agreed *replication
}

var _ sessionStore = (*commonStore)(nil)

// write adds changes of a session's Space.
func (c *commonStore) write(s *session, note []byte, ops ...Op) {
	c.log.write(sessionSpace(s.clientID), s.fence, note, ops...)
}

func (c *commonStore) meta(s *session) { c.write(s, nil, s.metaOp()) }

func (c *commonStore) whole(s *session) {
	c.agreed.whole(s)
	c.log.writeWhole(s)
}

func (c *commonStore) forget(s *session) {
	c.write(s, nil, Op{Space: sessionSpace(s.clientID)})
	c.agreed.forget(s)
}

func (c *commonStore) subscribed(s *session, sub *subscription) {
	c.write(s, nil, subscriptionOp(s.clientID, sub))
}

func (c *commonStore) unsubscribed(s *session, filter string) {
	c.write(s, nil, unsubscribedOp(s.clientID, filter))
}

func (c *commonStore) enqueued(s *session, e *core.Entry) {
	note := s.noteEntry(e)
	if note == nil && e.QoS == 2 {
		note = []byte{noteHere}
	}
	c.write(s, note, entryOp(s.clientID, e))
}

func (c *commonStore) sent(s *session, e *core.Entry) { c.write(s, nil, stateOp(s.clientID, e)) }

func (c *commonStore) pubRecReceived(s *session, e *core.Entry) {
	c.write(s, []byte{noteHere}, stateOp(s.clientID, e))
}

func (c *commonStore) entryEnded(s *session, e *core.Entry) {
	c.write(s, nil, endOps(s.clientID, e)...)
}

func (c *commonStore) received(s *session, packetID uint16) {
	c.write(s, nil, receivedOp(s.clientID, packetID, true))
}

func (c *commonStore) completed(s *session, packetID uint16) {
	c.write(s, s.noteOver(packetID), receivedOp(s.clientID, packetID, false))
}

func (c *commonStore) await(a *acceptance, d Durability) {
	if d == DurabilityMemory {
		return
	}
	c.log.await(a)
	c.agreed.await(a, d)
}

func (c *commonStore) awaitPatient(a *acceptance, d Durability) {
	if d == DurabilityMemory {
		return
	}
	c.log.awaitPatient(a)
	c.agreed.await(a, d)
}

func (c *commonStore) enqueue(a *acceptance, d Durability) {
	a.add()
	c.log.enqueue(a)
	c.agreed.enqueue(a, d)
}

func (c *commonStore) admit(ctx context.Context) {
	c.agreed.admit(ctx)
	c.log.admit(ctx)
}

func (c *commonStore) enter(ctx context.Context, bytes int) error {
	if err := c.agreed.enter(ctx, bytes); err != nil {
		return err
	}
	err := c.log.enter(ctx, bytes)
	if err != nil {
		c.agreed.giveBack(bytes)
	}
	return err
}

func (c *commonStore) giveBack(bytes int) {
	c.agreed.giveBack(bytes)
	c.log.giveBack(bytes)
}

func (c *commonStore) refuses() bool { return c.log.refuses() }
