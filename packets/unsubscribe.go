package packets

import "encoding/binary"

// Unsubscribe ends subscriptions.
type Unsubscribe struct {
	PacketID     uint16
	TopicFilters []string // at least one; whether they are well-formed is for the caller to judge
	Properties   Properties
}

// Type returns TypeUnsubscribe.
func (*Unsubscribe) Type() Type { return TypeUnsubscribe }

// Decode implements Packet.
func (p *Unsubscribe) Decode(h FixedHeader, body []byte, v Version) error {
	*p = Unsubscribe{}
	r := newReader(h, body, v, TypeUnsubscribe)
	p.PacketID = r.packetIdentifier()
	if v == V5 {
		p.Properties.decode(&r, place(TypeUnsubscribe))
	}
	for len(r.b) > 0 && r.err == nil {
		filter := r.text(fieldTopicFilter)
		if filter == "" {
			r.failEmpty(fieldTopicFilter)
		}
		p.TopicFilters = append(p.TopicFilters, filter)
	}
	r.checkNotEmpty(len(p.TopicFilters), fieldTopicFilter, "MQTT-3.10.3-2", "MQTT-3.10.3-2")
	return r.end()
}

// Append implements Packet.
func (p *Unsubscribe) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeUnsubscribe, version: v}
	f.checkPacketIdentifier(p.PacketID)
	f.checkNotEmpty(len(p.TopicFilters), fieldTopicFilter, "MQTT-3.10.3-2", "MQTT-3.10.3-2")
	size, remaining := 0, 2
	for _, filter := range p.TopicFilters {
		f.checkText(fieldTopicFilter, filter)
		if filter == "" {
			f.failEmpty(fieldTopicFilter)
		}
		remaining += 2 + len(filter)
	}
	if v == V5 {
		size = p.Properties.check(&f, place(TypeUnsubscribe))
		remaining += withLength(size)
	}
	b := appendFixedHeader(dst, &f, TypeUnsubscribe, 2, remaining)
	if f.err != nil {
		return dst, f.err
	}
	b = binary.BigEndian.AppendUint16(b, p.PacketID)
	if v == V5 {
		b = p.Properties.append(b, size)
	}
	for _, filter := range p.TopicFilters {
		b = appendText(b, filter)
	}
	return b, nil
}
