package packets

import "encoding/binary"

// UnsubAck answers an UNSUBSCRIBE with one reason code for each of its Topic Filters, in their order. In MQTT 3 there
// are none: Append leaves them out.
type UnsubAck struct {
	PacketID    uint16
	ReasonCodes []ReasonCode // MQTT 5: at least one; MQTT 3: none
	Properties  Properties
}

// Type returns TypeUnsubAck.
func (*UnsubAck) Type() Type { return TypeUnsubAck }

// Decode implements Packet.
func (p *UnsubAck) Decode(h FixedHeader, body []byte, v Version) error {
	*p = UnsubAck{}
	r := newReader(h, body, v, TypeUnsubAck)
	p.PacketID = r.packetIdentifier()
	if v == V5 {
		p.Properties.decode(&r, place(TypeUnsubAck))
		p.ReasonCodes = r.reasonCodes()
	}
	return r.end()
}

// Append implements Packet.
func (p *UnsubAck) Append(dst []byte, v Version) ([]byte, error) {
	if v == V5 {
		return appendListAck(dst, TypeUnsubAck, v, p.PacketID, p.ReasonCodes, &p.Properties)
	}
	f := fault{packet: TypeUnsubAck, version: v}
	f.checkPacketIdentifier(p.PacketID)
	b := appendFixedHeader(dst, &f, TypeUnsubAck, 0, 2)
	if f.err != nil {
		return dst, f.err
	}
	return binary.BigEndian.AppendUint16(b, p.PacketID), nil
}
