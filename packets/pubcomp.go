package packets

// PubComp answers a PUBREL. In MQTT 3 it carries nothing but the Packet Identifier. See AppendAck for the quick way to
// write one.
type PubComp struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypePubComp.
func (*PubComp) Type() Type { return TypePubComp }

// Decode implements Packet.
func (p *PubComp) Decode(h FixedHeader, body []byte, v Version) error {
	return (*ack)(p).decode(TypePubComp, h, body, v)
}

// Append implements Packet.
func (p *PubComp) Append(dst []byte, v Version) ([]byte, error) {
	return (*ack)(p).append(dst, TypePubComp, v)
}
