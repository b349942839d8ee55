package shoal

import (
	"encoding/binary"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// How sessions and retained messages are laid out in a Storage:
//
//	Space "sessions"          key ClientID           → Session Expiry Interval, when the client went away
//	Space "session/ClientID"  key "q" + number       → an entry of the queue
//	                          key "p" + number       → its packet identifier and state, once it was sent
//	                          key "r" + identifier   → a QoS 2 message received and not released
//	                          key "s" + filter       → a subscription
//	Space "retained"          key TopicName          → the message
//	Space "wills"             see willstore.go

const (
	spaceSessions = "sessions"
	spaceRetained = "retained"
)

func sessionSpace(id string) string { return sessionPrefix + id }

func numberKey(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, n) }

func receivedKey(id uint16) []byte { return binary.BigEndian.AppendUint16([]byte{'r'}, id) }

func entryOp(client string, e *core.Entry) Op {
	return Op{Space: sessionSpace(client), Key: numberKey('q', e.Seq), Value: appendEntry(newRecord(), e)}
}

func stateOp(client string, e *core.Entry) Op {
	v := codec.AppendUint(newRecord(), uint64(e.PacketID))
	return Op{Space: sessionSpace(client), Key: numberKey('p', e.Seq), Value: append(v, byte(e.State))}
}

func endOps(client string, e *core.Entry) []Op {
	ops := []Op{{Space: sessionSpace(client), Key: numberKey('q', e.Seq)}}
	if e.PacketID != 0 {
		ops = append(ops, Op{Space: sessionSpace(client), Key: numberKey('p', e.Seq)})
	}
	return ops
}

func receivedOp(client string, packetID uint16, taken bool) Op {
	op := Op{Space: sessionSpace(client), Key: receivedKey(packetID)}
	if taken {
		op.Value = []byte{}
	}
	return op
}

// wholeOps returns what puts subscriptions, messages and received identifiers into an empty Space. The caller holds s.mu.
func (s *session) wholeOps() (ops []Op) {
	for _, sub := range s.subs {
		ops = append(ops, subscriptionOp(s.clientID, sub))
	}
	s.core.Kept(func(e *core.Entry) {
		if !s.keeps(e) {
			return
		}
		ops = append(ops, entryOp(s.clientID, e))
		if e.PacketID != 0 {
			ops = append(ops, stateOp(s.clientID, e))
		}
	})
	if s.expiry > 0 {
		for _, id := range s.core.Unreleased() {
			ops = append(ops, receivedOp(s.clientID, id, true))
		}
	}
	return ops
}

// logMeta records that the session is to be kept, and for how long; or, when it is not, forgets what was kept. The caller holds s.mu.
func (s *session) logMeta() {
	switch {
	case s.b.journal == nil || !s.phase.lives():
	case s.durable:
		s.b.journal.meta(s)
	default:
		s.b.journal.forget(s)
	}
}

// appendMeta appends the Session Expiry Interval, and when the client went away, in Unix seconds, 0 while it is there. The caller holds s.mu.
func appendMeta(b []byte, s *session) []byte {
	var away int64
	if s.conn == nil && !s.away.IsZero() {
		away = s.away.Add(time.Second - 1).Unix() // what is due a while after that never comes early
	}
	return codec.AppendUint(codec.AppendUint(b, uint64(s.expiry)), uint64(away))
}

// A session is durable, which is to say that the journal keeps something of it, if it outlives its connection, or if it is a member of a
// shared group: then what it got of the group is kept until its client has acknowledged it, so that another member gets it if this node
// is lost (guarantee 7). The rest of a session that ends with its connection is not kept.

// isLasting reports whether the journal keeps the session beyond its connection. The caller holds s.mu.
func (s *session) isLasting() bool { return s.durable && s.expiry > 0 }

// lasts is isLasting for a caller that does not hold s.mu.
func (s *session) lasts() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isLasting()
}

// keeps reports whether the journal keeps an entry. The caller holds s.mu.
func (s *session) keeps(e *core.Entry) bool { return s.durable && (s.expiry > 0 || e.Share != "") }

// keepShares has what comes by shared groups kept from here on. The caller holds s.mu.
func (s *session) keepShares() {
	if s.b.journal != nil && !s.durable && s.phase == phaseHome {
		if s.b.journal.common != nil {
			s.fence = s.b.cluster.fenceOf(s.clientID)
		}
		s.setDurable(true)
		s.b.journal.whole(s)
	}
}

// setDurable says whether the journal keeps the session. The caller holds s.mu.
func (s *session) setDurable(durable bool) {
	s.durable = durable
	s.core.Hold(durable)
}

// awaitKept lets QoS 2 messages go when the journal has them. The caller holds s.mu.
func (s *session) awaitKept() {
	seq, waiting := s.core.Unstored()
	if !waiting || s.storing {
		return
	}
	s.storing = true
	s.b.journal.later(func(code packets.ReasonCode) {
		if code.IsError() {
			s.keepAgain()
			return
		}
		s.mu.Lock()
		s.storing = false
		if !s.phase.lives() {
			s.mu.Unlock()
			return
		}
		s.core.Stored(seq)
		s.pump(s.b.nano())
		c := s.conn
		s.mu.Unlock()
		if c != nil {
			c.flush()
		}
	}, DurabilityQuorum)
}

// keepAgain waits anew, after a while, for what the journal could not keep: it tries again, too. If that is because the cluster has given
// this node up, the session is another node's, which has not heard of these messages and may give their identifiers to others.
func (s *session) keepAgain() {
	time.AfterFunc(replicationRetry, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.storing = false
		if s.phase.lives() && s.b.life.Err() == nil {
			s.awaitKept()
		}
	})
}

func (s *session) logSubscription(sub *subscription) {
	if s.durable {
		s.b.journal.subscribed(s, sub)
	}
}

func (s *session) logUnsubscribed(filter string) {
	if s.durable {
		s.b.journal.unsubscribed(s, filter)
	}
}

func unsubscribedOp(client, filter string) Op {
	return Op{Space: sessionSpace(client), Key: append([]byte{'s'}, filter...)}
}

func subscriptionOp(client string, sub *subscription) Op {
	return Op{Space: sessionSpace(client), Key: append([]byte{'s'}, sub.filter...), Value: appendSubscription(newRecord(), sub)}
}

const (
	subNoLocal = 1 << (2 + iota) // the lower two bits are the QoS
	subRetainAsPublished
	subHandlingShift = 4
)

func appendSubscription(b []byte, sub *subscription) []byte {
	flags := byte(sub.qos) | sub.retainHandling<<subHandlingShift
	if sub.noLocal {
		flags |= subNoLocal
	}
	if sub.retainAsPublished {
		flags |= subRetainAsPublished
	}
	b = append(b, flags)
	b = codec.AppendString(b, sub.filter)
	b = codec.AppendUint(b, uint64(len(sub.ids)))
	for _, id := range sub.ids {
		b = codec.AppendUint(b, uint64(id))
	}
	return b
}

// readSubscription reads what appendSubscription wrote. It returns nil without an error for a subscription that this broker does not
// allow.
func (b *Broker) readSubscription(r *codec.Reader) (*subscription, error) {
	flags := r.Byte()
	p := packets.Subscription{
		QoS: packets.QoS(flags & 3), NoLocal: flags&subNoLocal != 0, RetainAsPublished: flags&subRetainAsPublished != 0,
		RetainHandling: flags >> subHandlingShift & 3, TopicFilter: r.String(),
	}
	var ids []uint32
	for range r.Count() {
		ids = append(ids, r.Uint32())
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	sub, err := b.parseSubscription(&p, ids)
	if err != nil {
		// The broker offers less than it did when the subscription was made.
		b.log.Warn("a kept subscription is not possible any more and is dropped", "topic", p.TopicFilter, "error", err)
		return nil, nil
	}
	return sub, nil
}
