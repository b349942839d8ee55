package packets

// SubAck answers a SUBSCRIBE with one reason code for each of its Topic Filters, in their order. In MQTT 3 every
// failure is written as 0x80.
type SubAck struct {
	PacketID    uint16
	ReasonCodes []ReasonCode // at least one
	Properties  Properties
}

// Type returns TypeSubAck.
func (*SubAck) Type() Type { return TypeSubAck }

// Decode implements Packet.
func (p *SubAck) Decode(h FixedHeader, body []byte, v Version) error {
	*p = SubAck{}
	r := newReader(h, body, v, TypeSubAck)
	p.PacketID = r.packetIdentifier()
	if v == V5 {
		p.Properties.decode(&r, place(TypeSubAck))
	}
	p.ReasonCodes = r.reasonCodes()
	return r.end()
}

// Append implements Packet.
func (p *SubAck) Append(dst []byte, v Version) ([]byte, error) {
	return appendListAck(dst, TypeSubAck, v, p.PacketID, p.ReasonCodes, &p.Properties)
}
