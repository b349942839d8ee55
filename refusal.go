package shoal

import (
	"strings"

	"github.com/shoalmq/shoal/packets"
)

// What cannot be kept must not go out. While the store is known to fail, a message that would have to be kept is refused before anybody gets it: its
// publisher would send it again, and those who need not keep it would have it again each time.
//
// The message on which the failure is found out may have gone out. One of QoS 2 is not answered then: the connection ends, and its identifier stays taken
// in the publisher's session, so that what the client sends again goes to nobody, and is answered when the store works.

// errCannotKeep refuses a message that would have to be kept while the store fails.
var errCannotKeep = &Error{
	ReasonCode: packets.ImplementationSpecificError,
	Reason:     "the broker's store fails, and the message would have to be kept; publish it again later",
}

// errSubscriptionUnkept refuses a subscription of a session that lasts while the store fails.
var errSubscriptionUnkept = &Error{
	ReasonCode: packets.ImplementationSpecificError,
	Reason:     "the broker's store fails, and the subscription would have to be kept; subscribe again later",
}

// storeLog returns what the journal writes to a store with; nil if it does not.
func (j *journal) storeLog() *storeLog {
	switch {
	case j == nil:
		return nil
	case j.own != nil:
		return j.own
	case j.common != nil:
		return &j.common.storeLog
	}
	return nil
}

// cannotKeep reports whether the store fails and the message in sc.r would have to be kept.
func (b *Broker) cannotKeep(sc *scratch) bool {
	log := b.journal.storeLog()
	if log == nil || !log.refuses() {
		return false
	}
	r := &sc.r
	switch {
	case r.p.Retain && (r.p.QoS > 0 || log.full()):
		return true
	case r.p.QoS == 2 && r.from != nil && r.from.lasts(): // its identifier would have to be
		return true
	case r.qos() == 0:
		return false
	}
	sc.matches = b.index.AppendMatches(sc.matches[:0], r.p.TopicName)
	for _, t := range sc.matches {
		if lastsFor(t, r) {
			return true
		}
	}
	return false
}

// lastsFor reports whether the message would have to be kept for a target.
func lastsFor(t target, r *routing) bool {
	keeps := func(sub *subscription) bool {
		return sub.s != nil && sub.qos > 0 && (!sub.noLocal || sub.s != r.from) && sub.s.lasts()
	}
	switch t := t.(type) {
	case *subscription:
		return keeps(t)
	case *group:
		t.mu.Lock()
		members := t.members
		t.mu.Unlock()
		for _, m := range members {
			if keeps(m) {
				return true
			}
		}
	}
	return false
}

// refuseUnkept answers a PUBLISH that cannot be kept. In MQTT 3, which has no way to say no, the connection ends; and so it does if another node may have
// given the message to somebody, since the client may not take that for a refusal.
func (c *conn) refuseUnkept(sc *scratch, p *packets.Publish) (ended, bool) {
	c.dropPublish(p, DropStoreAway, errCannotKeep.ReasonCode)
	mayBeOut := p.QoS == 2 && p.Dup && c.b.cluster != nil && c.s.lasts()
	if p.QoS > 0 && (c.version < packets.V5 || mayBeOut) {
		return ended{code: errCannotKeep.ReasonCode, err: errCannotKeep}, false
	}
	sc.reason = errCannotKeep.Reason
	return c.refusedPublish(sc, p, errCannotKeep.ReasonCode)
}

// answerWhenKept answers what comes again with the identifier of a QoS 2 message that could not be kept, when the store works. The caller holds s.mu.
func (s *session) answerWhenKept(slot ackSlot) {
	again := new(pendingAnswer)
	slot.pending = again
	s.core.SetToken(slot.id, again)
	a := newAcceptance()
	a.then = func(code packets.ReasonCode) {
		s.mu.Lock()
		token, _ := s.core.Pending(slot.id)
		s.mu.Unlock()
		if token == any(again) && !code.IsError() { // else the client goes on without it, or the broker ends
			s.resolve(again, slot, code)
		}
	}
	s.b.journal.own.enqueuePatient(a)
}

// dropUnkept is dropPublish for a message of the program, or a will.
func (b *Broker) dropUnkept(m *Message, publisher string) {
	b.drop(DroppedEvent{ClientID: publisher, TopicName: strings.Clone(m.TopicName), QoS: m.QoS, Reason: DropStoreAway})
}
