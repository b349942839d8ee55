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
	if h.Type == packets.TypePublish {
		return c.handlePublish(sc, h, body)
	}
	p, err := c.decode(h, body)
	if err != nil {
		return c.protocolEnd(err), false
	}
	switch p := p.(type) {
	case *packets.PubAck:
		c.s.acknowledged(sc, func() { c.s.core.PubAck(p.PacketID, p.ReasonCode) })
	case *packets.PubRec:
		c.s.acknowledged(sc, func() { c.withOut(func() { c.s.core.PubRec(&c.out, p.PacketID, p.ReasonCode) }) })
		sc.soil(c)
	case *packets.PubComp:
		c.s.acknowledged(sc, func() { c.s.core.PubComp(p.PacketID) })
	case *packets.PubRel:
		c.handlePubRel(sc, p)
	case *packets.Subscribe:
		return c.handleSubscribe(p)
	case *packets.Unsubscribe:
		return c.handleUnsubscribe(sc, p)
	case *packets.PingReq:
		c.mu.Lock()
		c.out.Append(pingResp[:]) // [MQTT-3.12.4-1]
		c.mu.Unlock()
		sc.soil(c)
	case *packets.Disconnect:
		return c.handleDisconnect(p)
	default:
		return c.protocolEnd(unexpected(h.Type)), false
	}
	return ended{}, true
}

var pingResp = [2]byte{byte(packets.TypePingResp) << 4, 0}

// decode reads packets off the hot path. Acknowledgements in their short form, which are on it, are read without it.
func (c *conn) decode(h packets.FixedHeader, body []byte) (packets.Packet, error) {
	switch h.Type {
	case packets.TypeConnect:
		return nil, &packets.Error{
			Code: packets.ProtocolError, Packet: h.Type, Field: "packet", Problem: "a second CONNECT", Clause: "MQTT-3.1.0-2",
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
		Code: packets.ProtocolError, Packet: t, Field: "packet", Problem: "must not be sent by this client at this point",
		Clause: "MQTT-4.13.1-1",
	}
}

func (c *conn) withOut(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
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
func (c *conn) handlePubRel(sc *scratch, p *packets.PubRel) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return
	}
	code := packets.Success
	if s.core.Release(p.PacketID) {
		s.core.Finish()
	} else {
		code = packets.PacketIdentifierNotFound
	}
	c.answer(ackSlot{id: p.PacketID, typ: packets.TypePubComp, code: code})
	sc.soil(c)
}

// handleDisconnect takes the client's leave.
func (c *conn) handleDisconnect(p *packets.Disconnect) (ended, bool) {
	if v, ok := p.Properties.SessionExpiryInterval.Get(); ok {
		c.s.mu.Lock()
		if c.s.expiry == 0 && v != 0 {
			c.s.mu.Unlock()
			return c.protocolEnd(&packets.Error{
				Code: packets.ProtocolError, Packet: packets.TypeDisconnect, Field: "Session Expiry Interval",
				Problem: "must not be set when it was 0 in CONNECT", Clause: "MQTT-3.1.2-23",
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
