package packets

// PubRec answers a PUBLISH of QoS 2. In MQTT 3 it carries nothing but the Packet Identifier. See AppendAck for the quick way to
// write one.
type PubRec struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypePubRec.
func (*PubRec) Type() Type { return TypePubRec }

// Decode implements Packet.
func (p *PubRec) Decode(h FixedHeader, body []byte, v Version) error {
	return (*ack)(p).decode(TypePubRec, h, body, v)
}

// Append implements Packet.
func (p *PubRec) Append(dst []byte, v Version) ([]byte, error) {
	return (*ack)(p).append(dst, TypePubRec, v)
}
