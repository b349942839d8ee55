package session

import (
	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// SendQoS0 encodes a message of QoS 0 into the outbox. It reports false if it is larger than the client takes, or if a Taker has no room.
func (s *Session) SendQoS0(out *outbox.Buffer, e *Entry, now int64) bool {
	return s.takerHasRoom(e) && s.appendPublish(out, e, false, now)
}

// Plain reports whether a PUBLISH of QoS 0 of size bytes that was encoded for this connection's version, without
// Subscription Identifier and Topic Alias, can be copied to this client as it is.
func (s *Session) Plain(size int) bool {
	return s.conn.Taker == nil && s.aliases.max == 0 && (s.conn.MaximumPacketSize == 0 || size <= s.conn.MaximumPacketSize)
}

func (s *Session) takerHasRoom(e *Entry) bool { return s.conn.Taker == nil || s.conn.Taker.Room(e) }

// appendPublish encodes e for this connection. It reports false, having appended nothing, if the packet is larger than
// the client's Maximum Packet Size or cannot be encoded.
func (s *Session) appendPublish(out *outbox.Buffer, e *Entry, dup bool, now int64) bool {
	if t := s.conn.Taker; t != nil {
		t.Take(e, dup, now)
		return true
	}
	m := e.Msg
	v5 := s.conn.Version >= packets.V5
	if v5 && (m.Properties != nil || m.Expires != 0 || len(e.SubIDs) > 0 || s.aliases.max > 0) {
		return s.appendFull(out, e, dup, now)
	}
	remaining := 2 + len(m.TopicName) + len(m.Payload)
	if e.QoS > 0 {
		remaining += 2
	}
	if v5 {
		remaining++
	}
	if !s.fits(remaining) {
		return false
	}
	head := 1 + 4 + remaining - len(m.Payload)
	large := len(m.Payload) >= outbox.ShareFrom
	if !large {
		head += len(m.Payload)
	}
	b := out.Reserve(head)
	b = append(b, FirstByte(e.QoS, dup, e.Retain))
	b = appendVarint(b, remaining)
	b = append(b, byte(len(m.TopicName)>>8), byte(len(m.TopicName)))
	b = append(b, m.TopicName...)
	if e.QoS > 0 {
		b = append(b, byte(e.PacketID>>8), byte(e.PacketID))
	}
	if v5 {
		b = append(b, 0)
	}
	if !large {
		out.Commit(append(b, m.Payload...))
		return true
	}
	out.Commit(b)
	out.AppendShared(m.Payload)
	return true
}

// appendFull encodes a v5 PUBLISH with all that may be in it.
func (s *Session) appendFull(out *outbox.Buffer, e *Entry, dup bool, now int64) bool {
	m := e.Msg
	p := packets.Publish{
		Dup: dup, QoS: e.QoS, Retain: e.Retain, TopicName: m.TopicName, PacketID: e.PacketID, Payload: m.Payload,
	}
	if m.Properties != nil {
		p.Properties = *m.Properties
	}
	p.Properties.SubscriptionIdentifiers = e.SubIDs // [MQTT-3.3.4-3]
	if m.Expires != 0 {
		left := max(0, m.Expires-now)
		p.Properties.MessageExpiryInterval = packets.Some(uint32((left + second - 1) / second)) // [MQTT-3.3.2-6]
	}
	alias, known := s.aliases.lookup(m.TopicName)
	if alias != 0 {
		p.Properties.TopicAlias = packets.Some(alias)
		if known {
			p.TopicName = ""
		}
	}
	size := p.Size(s.conn.Version)
	if s.conn.MaximumPacketSize != 0 && size > s.conn.MaximumPacketSize {
		return false
	}
	b, err := p.AppendHeader(out.Reserve(size-len(p.Payload)), s.conn.Version)
	if err != nil {
		return false
	}
	out.Commit(b)
	out.AppendShared(p.Payload)
	if alias != 0 && !known {
		s.aliases.learn(m.TopicName, alias)
	}
	return true
}

func (s *Session) fits(remaining int) bool {
	limit := s.conn.MaximumPacketSize
	return remaining <= maxRemaining && (limit == 0 || 1+varintSize(remaining)+remaining <= limit)
}

const maxRemaining = 268_435_455

// FirstByte is the first byte of a PUBLISH.
func FirstByte(qos packets.QoS, dup, retain bool) byte {
	b := byte(packets.TypePublish)<<4 | byte(qos)<<1
	if dup {
		b |= 8
	}
	if retain {
		b |= 1
	}
	return b
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
