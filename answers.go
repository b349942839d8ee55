package shoal

import (
	"time"

	"github.com/shoalmq/shoal/packets"
)

// ackSlot is an answer to a packet of the client's. Answers leave in the order of the packets [MQTT-4.6.0-2, -3], also when
// a later one is ready before an earlier one.
type ackSlot struct {
	id      uint16
	typ     packets.Type
	code    packets.ReasonCode
	pending *pendingAnswer // nil: ready
	reason  string         // Reason String of a refusal
}

// pendingAnswer is the wait for the acceptance of one message. It outlives the connection, so that a client that sends a QoS 2
// message again on its next connection gets the answer to the first. Its fields are guarded by the session's lock.
type pendingAnswer struct {
	done bool
	code packets.ReasonCode
	// silent: there is no answer; the connection ends, and the client sends the message again.
	silent bool
}

// answer queues an answer. The caller holds s.mu, and flushes c afterwards.
func (c *conn) answer(slot ackSlot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, slot)
	c.releaseAcks()
}

// releaseAcks appends the answers at the front that are ready to the outbox. The caller holds s.mu and c.mu.
func (c *conn) releaseAcks() {
	n := 0
	for ; n < len(c.acks); n++ {
		slot := &c.acks[n]
		if slot.pending != nil {
			if !slot.pending.done {
				break
			}
			if slot.pending.code.IsError() {
				slot.code = slot.pending.code
			}
		}
		c.appendAck(slot)
	}
	c.acks = c.acks[:copy(c.acks, c.acks[n:])]
	if len(c.acks) == 0 && cap(c.acks) > 256 {
		c.acks = nil
	}
}

func (c *conn) appendAck(slot *ackSlot) {
	if slot.code.IsError() && slot.pending != nil && (c.version < packets.V5 || slot.pending.silent) {
		// 3.1.1 cannot say that a message was not accepted, and it must not be acknowledged: the connection ends.
		c.kick(kicked{code: slot.code, silent: true})
		return
	}
	if slot.typ == packets.TypePubAck || (slot.typ == packets.TypePubRec && slot.code.IsError()) {
		c.s.core.Finish()
	}
	if slot.code != packets.Success {
		slot.code = fit(slot.code, slot.typ)
		if slot.reason != "" && c.version >= packets.V5 && !c.quiet {
			c.appendRefusal(slot)
			return
		}
	}
	c.out.Commit(packets.AppendAck(c.out.Reserve(8), slot.typ, c.version, slot.id, slot.code))
}

// appendRefusal appends an answer with a Reason String, unless the client does not take a packet that large. The caller holds c.mu.
func (c *conn) appendRefusal(slot *ackSlot) {
	var p packets.Packet
	props := packets.Properties{ReasonString: packets.Some(slot.reason)}
	if slot.typ == packets.TypePubAck {
		p = &packets.PubAck{PacketID: slot.id, ReasonCode: slot.code, Properties: props}
	} else {
		p = &packets.PubRec{PacketID: slot.id, ReasonCode: slot.code, Properties: props}
	}
	b, err := c.encodeAnswer(p)
	if err != nil {
		c.cannotSay(err)
		return
	}
	c.out.Append(b)
}

// answerPublish answers a PUBLISH that was routed: at once, or when its acceptance is complete.
func (c *conn) answerPublish(sc *scratch, slot ackSlot, a *acceptance) {
	s := c.s
	if a == nil {
		s.mu.Lock()
		if s.conn == c {
			c.answer(slot)
			sc.soil(c)
		}
		s.mu.Unlock()
		return
	}
	p := new(pendingAnswer)
	slot.pending = p
	s.mu.Lock()
	switch {
	case sc.r.reserves:
		s.core.Reserve(slot.id, p)
		d := sc.r.durability
		a.then = func(code packets.ReasonCode) { s.routed(p, slot, d, code) }
	case slot.typ == packets.TypePubRec:
		s.core.SetToken(slot.id, p)
		fallthrough
	default:
		a.then = func(code packets.ReasonCode) { s.resolve(p, slot, code) }
	}
	if s.conn == c {
		c.answer(slot)
	}
	s.mu.Unlock()
	a.finish(packets.Success)
}

// resolve completes a pending answer and sends it on the connection the session has now.
func (s *session) resolve(p *pendingAnswer, slot ackSlot, code packets.ReasonCode) {
	s.mu.Lock()
	if !s.phase.lives() { // the client sends it again, to the session's next home
		s.mu.Unlock()
		return
	}
	p.done, p.code = true, code
	if slot.typ == packets.TypePubRec {
		s.settleExchange(p, slot, code)
	}
	c := s.conn
	if c != nil {
		c.mu.Lock()
		c.releaseAcks()
		c.mu.Unlock()
	}
	s.mu.Unlock()
	if c != nil {
		s.b.late.add(c)
		c.wakeReader()
	}
}

// settleExchange notes what became of a QoS 2 message. What could not be kept may have gone out: it is not answered. The caller holds s.mu.
func (s *session) settleExchange(p *pendingAnswer, slot ackSlot, code packets.ReasonCode) {
	if token, _ := s.core.Pending(slot.id); token != any(p) {
		return // it is another's to answer, or released
	}
	switch {
	case !code.IsError():
		s.core.SetToken(slot.id, nil)
		return
	case code == errCannotKeep.ReasonCode:
		if p.silent = true; s.isLasting() && s.b.journal.own != nil {
			s.answerWhenKept(slot)
			return
		}
	}
	s.core.Release(slot.id)
}

// repeatPubRec answers a QoS 2 PUBLISH that was received before. The caller holds s.mu.
func (c *conn) repeatPubRec(id uint16, token any) {
	slot := ackSlot{id: id, typ: packets.TypePubRec}
	if p, ok := token.(*pendingAnswer); ok {
		c.mu.Lock()
		for i := range c.acks {
			if c.acks[i].pending == p {
				c.mu.Unlock()
				return // its answer is on the way
			}
		}
		c.mu.Unlock()
		slot.pending = p
	}
	c.answer(slot)
}

// awaitAcks keeps the reader from reading on while more answers are outstanding than the client may have. It is what bounds a client
// of MQTT 3, which has not been told of the Receive Maximum, and one that sends PUBRECs for nothing.
func (c *conn) awaitAcks() {
	for {
		c.mu.Lock()
		waiting := max(len(c.acks), len(c.rels))
		if waiting <= int(c.b.limits.ReceiveMaximum) || c.broken != nil {
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if c.order.Load() != nil || (waiting <= crowdedAcks*int(c.b.limits.ReceiveMaximum) && c.isCrowded()) {
			return
		}
		<-c.wake // at the latest by a kick
	}
}

// longestDrain is the longest that a publisher is read no further at a time because a queue is full.
const longestDrain = 100 * time.Millisecond

// manyAcks is how many answers a publisher may wait for before it is read no further when it fills a queue that is full.
const manyAcks = 64

// awaitDrain keeps the reader from reading on while it fills a queue that is full, if that has far more than its limits, or the
// client has many messages without an answer: it would fill the queue without an end, and, with others like it, leave no
// time to those who empty it. A client whose own queue is as full is read: what it sends may be what
// empties that.
func (c *conn) awaitDrain(sc *scratch) {
	limit := min(sc.drain/2, longestDrain)
	far := sc.far
	sc.drain, sc.far = 0, false
	c.mu.Lock()
	far = far || len(c.acks) > manyAcks
	c.mu.Unlock()
	if !far {
		return
	}
	if c.order.Load() != nil || c.isCrowded() {
		return
	}
	sc.flush()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	defer sc.lookAtClock()
	for {
		select {
		case <-c.wake:
			if c.order.Load() != nil {
				return
			}
		case <-timer.C:
			return
		}
	}
}

// crowdedAcks is how many times as many answers may wait for a client whose own queue is more than full, before it is read no
// further: others may be held back for its sake, and it be held back for theirs.
const crowdedAcks = 16

// isCrowded reports whether the queue of the client itself is more than full.
func (c *conn) isCrowded() bool {
	if c.s == nil {
		return false
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.s.core.Crowded()
}

// finishAcks waits, for a moment, for the answers to what the client sent before its DISCONNECT.
func (c *conn) finishAcks() {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		c.mu.Lock()
		waiting := len(c.acks) > 0 && c.broken == nil
		c.mu.Unlock()
		if !waiting || c.order.Load() != nil {
			return
		}
		select {
		case <-c.wake:
		case <-timer.C:
			return
		}
	}
}

// wakeReader lets a reader that waits in awaitAcks look again.
func (c *conn) wakeReader() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// dropAcks forgets the answers that wait, at the end of the connection.
func (c *conn) dropAcks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks, c.rels = nil, nil
}
