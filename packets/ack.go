package packets

import "encoding/binary"

// ack is what PUBACK, PUBREC, PUBREL and PUBCOMP have in common: everything but the type.
type ack struct {
	PacketID   uint16
	ReasonCode ReasonCode
	Properties Properties
}

func (p *ack) decode(t Type, h FixedHeader, body []byte, v Version) error {
	p.PacketID, p.ReasonCode = 0, Success
	if !p.Properties.IsEmpty() {
		p.Properties = Properties{}
	}
	r := newReader(h, body, v, t)
	p.PacketID = r.packetIdentifier()
	if v == V5 && len(r.b) > 0 { // what is left out is Success, and no properties
		p.ReasonCode = ReasonCode(r.byte(fieldReasonCode))
		r.checkReasonCode(p.ReasonCode)
		if len(r.b) > 0 {
			p.Properties.decode(&r, place(t))
		}
	}
	return r.end()
}

func (p *ack) append(dst []byte, t Type, v Version) ([]byte, error) {
	f := fault{packet: t, version: v}
	f.checkPacketIdentifier(p.PacketID)
	size := 0
	if v == V5 {
		f.checkReasonCode(p.ReasonCode)
		size = p.Properties.check(&f, place(t))
	}
	if f.err != nil {
		return dst, f.err
	}
	if size == 0 {
		return AppendAck(dst, t, v, p.PacketID, p.ReasonCode), nil
	}
	b := appendFixedHeader(dst, &f, t, ackFlags(t), 3+withLength(size))
	if f.err != nil {
		return dst, f.err
	}
	b = append(binary.BigEndian.AppendUint16(b, p.PacketID), byte(p.ReasonCode))
	return p.Properties.append(b, size), nil
}

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP without properties: the short form, which leaves out Success.
// It checks nothing: t must be one of these types, id not 0 and code one that t may carry. MQTT 3 has no place for
// code. It allocates nothing if dst has room for 5 bytes.
func AppendAck(dst []byte, t Type, v Version, id uint16, code ReasonCode) []byte {
	first := byte(t)<<4 | ackFlags(t)
	if v != V5 || code == Success {
		return append(dst, first, 2, byte(id>>8), byte(id))
	}
	return append(dst, first, 3, byte(id>>8), byte(id), byte(code))
}

func ackFlags(t Type) byte {
	if t == TypePubRel {
		return 2
	}
	return 0
}
