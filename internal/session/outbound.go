package session

import (
	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// PubAck handles the client's PUBACK. It reports whether the identifier was in use for a QoS 1 message; an unknown
// one is ignored, since the message may have been acknowledged on an earlier connection.
func (s *Session) PubAck(id uint16, code packets.ReasonCode) bool {
	e := s.find(id)
	if e == nil || e.QoS != 1 {
		return false
	}
	why := Acknowledged
	if code.IsError() {
		why = Refused
	}
	s.end(e, why)
	return true
}

// PubRec handles the client's PUBREC and appends the PUBREL [MQTT-4.3.3-4]. An error code ends the delivery.
func (s *Session) PubRec(out *outbox.Buffer, id uint16, code packets.ReasonCode) {
	e := s.find(id)
	switch {
	case code.IsError():
		if e != nil && e.QoS == 2 && e.State == Sent {
			s.end(e, Refused)
		}
		return
	case e == nil || e.QoS != 2:
		// The answer tells a v5 client that the exchange is over here.
		out.Commit(packets.AppendAck(out.Reserve(8), packets.TypePubRel, s.conn.Version, id,
			packets.PacketIdentifierNotFound))
		return
	case e.State == Sent:
		e.State = Released
		s.log.PubRecReceived(e)
	}
	out.Commit(packets.AppendAck(out.Reserve(8), packets.TypePubRel, s.conn.Version, id, packets.Success))
}

// PubComp handles the client's PUBCOMP and reports whether the identifier was known.
func (s *Session) PubComp(id uint16) bool {
	e := s.find(id)
	if e == nil || e.QoS != 2 || e.State != Released {
		return false
	}
	s.end(e, Acknowledged)
	return true
}

// Entries calls fn for every message that waits or is in flight, in order. fn must not change the session.
func (s *Session) Entries(fn func(e *Entry)) {
	for i := range s.out.n {
		if e := s.out.at(i); e.State != Done {
			fn(e)
		}
	}
}

// Resume adds an entry that was stored or came from another node, in the order of the queue, with its identifier and
// state. It is not limited and not logged. It is used before the first Attach.
func (s *Session) Resume(e Entry) {
	e.counted = false
	if e.Seq == 0 {
		e.Seq = s.seq + 1
	}
	s.seq = max(s.seq, e.Seq)
	s.expiresAt(e.Msg.Expires)
	p := s.out.push(e)
	s.arrives(p)
	s.live++
	s.bytes += e.Msg.Cost()
	if p.PacketID != 0 {
		s.scattered = s.scattered || p.PacketID != idOf(p.Seq)
		s.sent = s.out.n
	}
}
