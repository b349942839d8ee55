package packets

// PubRel answers a PUBREC. In MQTT 3 it carries nothing but the Packet Identifier. See AppendAck for the quick way to
// write one.
type PubRel struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypePubRel.
func (*PubRel) Type() Type { return TypePubRel }

// Decode implements Packet.
func (p *PubRel) Decode(h FixedHeader, body []byte, v Version) error {
	return (*ack)(p).decode(TypePubRel, h, body, v)
}

// Append implements Packet.
func (p *PubRel) Append(dst []byte, v Version) ([]byte, error) {
	return (*ack)(p).append(dst, TypePubRel, v)
}
