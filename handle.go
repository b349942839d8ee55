package shoal

import (
	"errors"

	"github.com/shoalmq/shoal/packets"
)

// handle deals with one packet after CONNECT. It returns false when the connection is to end.
func (c *conn) handle(sc *scratch, h packets.FixedHeader, body []byte) (ended, bool) {
	if len(c.subscribing) > 0 && h.Type != packets.TypeSubscribe {
		if end, ok := c.finishSubscribes(sc); !ok {
			return end, false
		}
	}
	switch h.Type {
	case packets.TypePublish, packets.TypeSubscribe, packets.TypeUnsubscribe:
		sc.gives = true
	}
	if h.Type == packets.TypePublish {
		return c.handlePublish(sc, h, body)
	}
	if len(body) == 2 && h.Type >= packets.TypePubAck && h.Type <= packets.TypePubComp {
		if id := uint16(body[0])<<8 | uint16(body[1]); id != 0 {
			c.handleAck(sc, h.Type, id, packets.Success) // the short form, which is the hot path
			return ended{}, true
		}
	}
	p, err := c.decode(h, body)
	if err != nil {
		return c.protocolEnd(err), false
	}
	switch p := p.(type) {
	case *packets.PubAck:
		c.handleAck(sc, h.Type, p.PacketID, p.ReasonCode)
	case *packets.PubRec:
		c.handleAck(sc, h.Type, p.PacketID, p.ReasonCode)
	case *packets.PubRel:
		c.handleAck(sc, h.Type, p.PacketID, p.ReasonCode)
	case *packets.PubComp:
		c.handleAck(sc, h.Type, p.PacketID, p.ReasonCode)
	case *packets.Subscribe:
		return c.handleSubscribe(p)
	case *packets.Unsubscribe:
		return c.handleUnsubscribe(sc, p)
	case *packets.PingReq:
		return c.handlePing(sc)
	case *packets.Disconnect:
		return c.handleDisconnect(p)
	case *packets.Auth:
		return c.handleAuth(sc, p)
	default:
		return c.protocolEnd(unexpected(h.Type)), false
	}
	return ended{}, true
}

// handlePing answers a PINGREQ [MQTT-3.12.4-1], unless this node has no lease: the client may be connected to another one by now, and
// should be if it is not.
func (c *conn) handlePing(sc *scratch) (ended, bool) {
	if !c.b.serving() && !c.awaitServing(sc) {
		return c.kickedEnd(new(c.b.cluster.goElsewhere("this node has no contact with the majority of its cluster"))), false
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conn != c { // the client has another connection, which may have been answered
		return ended{code: packets.SessionTakenOver, err: errGone}, false
	}
	c.mu.Lock()
	c.out.Append(pingResp[:])
	c.mu.Unlock()
	sc.soil(c)
	return ended{}, true
}

var pingResp = [2]byte{byte(packets.TypePingResp) << 4, 0}

// handleAck deals with the four packets that carry a message's exchange on.
func (c *conn) handleAck(sc *scratch, t packets.Type, id uint16, code packets.ReasonCode) {
	switch t {
	case packets.TypePubAck:
		c.s.acknowledged(sc, func() { c.s.core.PubAck(id, code) })
	case packets.TypePubRec:
		c.handlePubRec(sc, id, code)
	case packets.TypePubRel:
		c.handlePubRel(sc, id)
	case packets.TypePubComp:
		c.s.acknowledged(sc, func() { c.s.core.PubComp(id) })
	}
}

// decode reads packets off the hot path. Acknowledgements in their short form, which are on it, are read without it.
func (c *conn) decode(h packets.FixedHeader, body []byte) (packets.Packet, error) {
	switch h.Type {
	case packets.TypeConnect:
		return nil, &packets.Error{
			Code: packets.ProtocolError, Packet: h.Type, Field: "Packet Type", Problem: "a second CONNECT", Clause: "MQTT-3.1.0-2",
		}
	case packets.TypePubAck, packets.TypePubRec, packets.TypePubRel, packets.TypePubComp, packets.TypeSubscribe,
		packets.TypeUnsubscribe, packets.TypePingReq, packets.TypeDisconnect, packets.TypeAuth:
	default:
		return nil, unexpected(h.Type)
	}
	p := packets.New(h.Type)
	if err := p.Decode(h, body, c.version); err != nil {
		return nil, err
	}
	return p, nil
}

func unexpected(t packets.Type) error {
	return &packets.Error{
		Code: packets.ProtocolError, Packet: t, Field: "Packet Type", Problem: "must not be sent by this client at this point",
		Clause: "MQTT-4.13.1-1",
	}
}

// acknowledged runs fn, which takes an acknowledgement of the client's, and sends what there is room for now.
func (s *session) acknowledged(sc *scratch, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != sc.own {
		return // taken over meanwhile: this connection acknowledges nothing any more
	}
	fn()
	s.pump(sc.nano)
	sc.soil(sc.own)
}

// handlePubRel releases a QoS 2 message of the client's [MQTT-4.3.3-11].
func (c *conn) handlePubRel(sc *scratch, id uint16) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return
	}
	slot := ackSlot{id: id, typ: packets.TypePubComp}
	if s.core.Release(id) {
		s.core.Finish()
	} else {
		if c.version >= packets.V5 { // before, PUBCOMP has no way to say it
			slot.code = packets.PacketIdentifierNotFound
		}
		if !s.isLasting() || c.b.journal.common == nil {
			c.answer(slot)
			sc.soil(c)
			return
		}
		c.b.journal.completed(s, id) // a node that was lost may have freed it in the store, and not have said so
	}
	if !s.isLasting() || c.durability == DurabilityMemory {
		c.answer(slot)
		sc.soil(c)
		return
	}
	// The client uses the identifier for another message once it has PUBCOMP: by then it must be free in what is kept, too.
	p := new(pendingAnswer)
	slot.pending = p
	c.answer(slot)
	c.b.journal.later(func(packets.ReasonCode) {
		s.mu.Lock()
		lives := s.phase.lives()
		s.mu.Unlock()
		if lives { // else its next home does not know that the identifier is free
			s.resolve(p, slot, packets.Success) // PUBCOMP cannot fail; the journal tries again
		}
	}, c.durability)
}

// handleDisconnect takes the client's leave.
func (c *conn) handleDisconnect(p *packets.Disconnect) (ended, bool) {
	if v, ok := p.Properties.SessionExpiryInterval.Get(); ok {
		c.s.mu.Lock()
		if c.s.expiry == 0 && v != 0 {
			c.s.mu.Unlock()
			return c.protocolEnd(&packets.Error{
				Code: packets.ProtocolError, Packet: packets.TypeDisconnect, Field: "Session Expiry Interval",
				Problem: "must not be set when it was 0 in CONNECT", Clause: "section 3.14.2.2.2",
			}), false
		}
		if c.s.conn == c {
			c.s.expiry = min(v, c.b.limits.SessionExpiryMaximum)
		}
		c.s.mu.Unlock()
	}
	if p.ReasonCode == packets.NormalDisconnection {
		c.will = false // [MQTT-3.1.2-10]
		return ended{code: p.ReasonCode}, false
	}
	if p.ReasonCode == packets.DisconnectWithWillMessage {
		return ended{code: p.ReasonCode}, false
	}
	return ended{code: p.ReasonCode, err: errors.New("the client disconnected with " + p.ReasonCode.String())}, false
}
