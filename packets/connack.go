package packets

import "fmt"

// ConnAck answers a CONNECT.
type ConnAck struct {
	SessionPresent bool // not in MQTT 3.1, which has no place for it
	// ReasonCode is written to MQTT 3 clients as what ReasonCode.ConnAckV3 makes of it, and read back as the reason
	// code of the same meaning.
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeConnAck.
func (*ConnAck) Type() Type { return TypeConnAck }

// Decode implements Packet.
func (p *ConnAck) Decode(h FixedHeader, body []byte, v Version) error {
	*p = ConnAck{}
	r := newReader(h, body, v, TypeConnAck)
	flags := r.byte("Connect Acknowledge Flags")
	if v != V31 { // where this byte means nothing
		if flags > 1 {
			r.fail(MalformedPacket, "Connect Acknowledge Flags", "a reserved flag must be 0",
				r.clause("MQTT-2.2.2-1", "MQTT-3.2.2-1"))
		}
		p.SessionPresent = flags == 1
	}
	code := r.byte("Reason Code")
	if v == V5 {
		p.ReasonCode = ReasonCode(code)
		r.checkReasonCode(p.ReasonCode)
		p.Properties.decode(&r, place(TypeConnAck))
	} else {
		c, ok := fromConnAckV3(code)
		if !ok {
			r.fail(ProtocolError, "Return Code", fmt.Sprintf("%d is reserved", code), "section 3.2.2.3 of 3.1.1")
		}
		p.ReasonCode = c
	}
	p.check(&r.fault)
	return r.end()
}

// check holds what both ways share.
func (p *ConnAck) check(f *fault) {
	if p.SessionPresent && p.ReasonCode != Success {
		f.fail(ProtocolError, "Session Present", "must be 0 when the connection is refused",
			f.clause("MQTT-3.2.2-4", "MQTT-3.2.2-6"))
	}
}

// Append implements Packet.
func (p *ConnAck) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeConnAck, version: v}
	p.check(&f)
	code, size, remaining := p.ReasonCode.ConnAckV3(), 0, 2
	if v == V5 {
		f.checkReasonCode(p.ReasonCode)
		size = p.Properties.check(&f, place(TypeConnAck))
		code, remaining = byte(p.ReasonCode), remaining+withLength(size)
	}
	b := appendFixedHeader(dst, &f, TypeConnAck, 0, remaining)
	if f.err != nil {
		return dst, f.err
	}
	var flags byte
	if p.SessionPresent && v != V31 {
		flags = 1
	}
	b = append(b, flags, code)
	if v == V5 {
		b = p.Properties.append(b, size)
	}
	return b, nil
}
