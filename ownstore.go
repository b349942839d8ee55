package shoal

import (
	"context"

	core "github.com/shoalmq/shoal/internal/session"
)

// ownStore keeps the sessions of a broker that is alone in its Storage; durable.go says how they are laid out there.
type ownStore struct{ log *storeLog }

var _ sessionStore = (*ownStore)(nil)

func (o *ownStore) meta(s *session) {
	o.log.write(Op{Space: spaceSessions, Key: []byte(s.clientID), Value: s.maker.append(appendMeta(newRecord(), s))})
}

func (o *ownStore) whole(s *session) {
	ops := append([]Op{{Space: sessionSpace(s.clientID)}}, s.wholeOps()...)
	o.log.write(ops...)
	o.meta(s)
}

func (o *ownStore) forget(s *session) {
	o.log.write(Op{Space: sessionSpace(s.clientID)}, Op{Space: spaceSessions, Key: []byte(s.clientID)})
}

func (o *ownStore) subscribed(s *session, sub *subscription) {
	o.log.write(subscriptionOp(s.clientID, sub))
}

func (o *ownStore) unsubscribed(s *session, filter string) {
	o.log.write(unsubscribedOp(s.clientID, filter))
}

func (o *ownStore) enqueued(s *session, e *core.Entry) { o.log.write(entryOp(s.clientID, e)) }

func (o *ownStore) sent(s *session, e *core.Entry) { o.log.write(stateOp(s.clientID, e)) }

func (o *ownStore) pubRecReceived(s *session, e *core.Entry) { o.log.write(stateOp(s.clientID, e)) }

func (o *ownStore) entryEnded(s *session, e *core.Entry) { o.log.write(endOps(s.clientID, e)...) }

func (o *ownStore) received(s *session, packetID uint16) {
	o.log.write(receivedOp(s.clientID, packetID, true))
}

func (o *ownStore) completed(s *session, packetID uint16) {
	o.log.write(receivedOp(s.clientID, packetID, false))
}

func (o *ownStore) await(a *acceptance, d Durability) {
	if d != DurabilityMemory {
		o.log.await(a)
	}
}

func (o *ownStore) awaitPatient(a *acceptance, d Durability) {
	if d != DurabilityMemory {
		o.log.awaitPatient(a)
	}
}

func (o *ownStore) enqueue(a *acceptance, _ Durability) { o.log.enqueue(a) }

func (o *ownStore) admit(ctx context.Context) { o.log.admit(ctx) }

func (o *ownStore) enter(ctx context.Context, bytes int) error { return o.log.enter(ctx, bytes) }
func (o *ownStore) giveBack(bytes int)                         { o.log.giveBack(bytes) }

// refuses reports false: what would have to be kept is refused before it is routed, and what is on its way to a session is kept when the store works again.
func (o *ownStore) refuses() bool { return false }
