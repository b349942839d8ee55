package packets

import (
	"encoding/binary"
	"strings"
)

// Subscribe asks for subscriptions.
type Subscribe struct {
	PacketID      uint16
	Subscriptions []Subscription // at least one
	Properties    Properties
}

// Subscription is one Topic Filter of a SUBSCRIBE with its options. Whether the filter is well-formed is for the
// caller to judge. All options but QoS exist in MQTT 5 only.
type Subscription struct {
	TopicFilter       string
	QoS               QoS  // the greatest QoS the client wants
	NoLocal           bool // not what this client published itself
	RetainAsPublished bool
	RetainHandling    byte // 0: send retained messages; 1: only if the subscription is new; 2: do not
}

const (
	optionNoLocal             byte = 1 << 2
	optionRetainAsPublished   byte = 1 << 3
	optionShiftRetainHandling      = 4

	fieldSubscriptionOptions = "Subscription Options"

	sharePrefix = "$share/"
)

// Type returns TypeSubscribe.
func (*Subscribe) Type() Type { return TypeSubscribe }

// Decode implements Packet.
func (p *Subscribe) Decode(h FixedHeader, body []byte, v Version) error {
	*p = Subscribe{}
	r := newReader(h, body, v, TypeSubscribe)
	p.PacketID = r.packetIdentifier()
	if v == V5 {
		p.Properties.decode(&r, place(TypeSubscribe))
	}
	for len(r.b) > 0 && r.err == nil {
		s := Subscription{TopicFilter: r.text(fieldTopicFilter)}
		s.setOptions(&r.fault, r.byte(fieldSubscriptionOptions))
		s.check(&r.fault)
		p.Subscriptions = append(p.Subscriptions, s)
	}
	r.checkNotEmpty(len(p.Subscriptions), fieldTopicFilter, "MQTT-3.8.3-3", "MQTT-3.8.3-2")
	return r.end()
}

func (s *Subscription) setOptions(f *fault, options byte) {
	s.QoS = QoS(options & 3)
	reserved := options >> 6
	if f.version != V5 {
		reserved = options >> 2
	} else {
		s.NoLocal = options&optionNoLocal != 0
		s.RetainAsPublished = options&optionRetainAsPublished != 0
		s.RetainHandling = options >> optionShiftRetainHandling & 3
	}
	if reserved != 0 {
		f.fail(MalformedPacket, fieldSubscriptionOptions, "a reserved bit must be 0",
			f.clause("MQTT-3.8.3-4", "MQTT-3.8.3-5"))
	}
}

// check holds what both ways share.
func (s *Subscription) check(f *fault) {
	if s.TopicFilter == "" {
		f.failEmpty(fieldTopicFilter)
	}
	if s.QoS > 2 {
		if f.version == V5 {
			f.fail(ProtocolError, "Maximum QoS", "must not be 3", "section 3.8.3.1")
		} else {
			f.fail(MalformedPacket, "Requested QoS", "must not be 3", "MQTT-3.8.3-4")
		}
	}
	if s.RetainHandling > 2 {
		f.fail(ProtocolError, "Retain Handling", "must not be 3", "section 3.8.3.1")
	}
	if s.NoLocal && strings.HasPrefix(s.TopicFilter, sharePrefix) {
		f.fail(ProtocolError, "No Local", "must be 0 for a Shared Subscription", "MQTT-3.8.3-4")
	}
	if f.version != V5 && (s.NoLocal || s.RetainAsPublished || s.RetainHandling != 0) {
		f.fail(ProtocolError, fieldSubscriptionOptions, "exist in MQTT 5 only", "MQTT-3.8.3-4")
	}
}

func (s *Subscription) options() byte {
	options := byte(s.QoS) | s.RetainHandling<<optionShiftRetainHandling
	if s.NoLocal {
		options |= optionNoLocal
	}
	if s.RetainAsPublished {
		options |= optionRetainAsPublished
	}
	return options
}

// checkNotEmpty refuses a payload without anything in it.
func (f *fault) checkNotEmpty(n int, field, v3, v5 string) {
	if n == 0 {
		f.fail(ProtocolError, field, "there must be at least one", f.clause(v3, v5))
	}
}

// Append implements Packet. MQTT 3 has no options but QoS; there the others must be zero.
func (p *Subscribe) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeSubscribe, version: v}
	f.checkPacketIdentifier(p.PacketID)
	f.checkNotEmpty(len(p.Subscriptions), fieldTopicFilter, "MQTT-3.8.3-3", "MQTT-3.8.3-2")
	size, remaining := 0, 2
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		f.checkText(fieldTopicFilter, s.TopicFilter)
		s.check(&f)
		remaining += 2 + len(s.TopicFilter) + 1
	}
	if v == V5 {
		size = p.Properties.check(&f, place(TypeSubscribe))
		remaining += withLength(size)
	}
	b := appendFixedHeader(dst, &f, TypeSubscribe, 2, remaining)
	if f.err != nil {
		return dst, f.err
	}
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v == V5 {
		b = p.Properties.append(b, size)
	}
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		b = append(appendText(b, s.TopicFilter), s.options())
	}
	return b, nil
}
