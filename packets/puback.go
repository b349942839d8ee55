package packets

// PubAck answers a PUBLISH of QoS 1. In MQTT 3 it carries nothing but the Packet Identifier. See AppendAck for the quick way to
// write one.
type PubAck struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypePubAck.
func (*PubAck) Type() Type { return TypePubAck }

// Decode implements Packet.
func (p *PubAck) Decode(h FixedHeader, body []byte, v Version) error {
	return (*ack)(p).decode(TypePubAck, h, body, v)
}

// Append implements Packet.
func (p *PubAck) Append(dst []byte, v Version) ([]byte, error) {
	return (*ack)(p).append(dst, TypePubAck, v)
}
