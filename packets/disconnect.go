package packets

// Disconnect is the last packet of a connection. In MQTT 3 only clients send it, and it has nothing in it.
type Disconnect struct {
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeDisconnect.
func (*Disconnect) Type() Type { return TypeDisconnect }

// Decode implements Packet.
func (p *Disconnect) Decode(h FixedHeader, body []byte, v Version) error {
	*p = Disconnect{}
	r := newReader(h, body, v, TypeDisconnect)
	if v == V5 && len(r.b) > 0 { // what is left out is Normal disconnection, and no properties
		p.ReasonCode = ReasonCode(r.byte(fieldReasonCode))
		r.checkReasonCode(p.ReasonCode)
		if len(r.b) > 0 {
			p.Properties.decode(&r, place(TypeDisconnect))
		}
	}
	return r.end()
}

// Append implements Packet. In MQTT 3 the ReasonCode is left out.
func (p *Disconnect) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeDisconnect, version: v}
	size, remaining := 0, 0
	if v == V5 {
		f.checkReasonCode(p.ReasonCode)
		size = p.Properties.check(&f, place(TypeDisconnect))
		if size > 0 {
			remaining = 1 + withLength(size)
		} else if p.ReasonCode != NormalDisconnection {
			remaining = 1
		}
	}
	b := appendFixedHeader(dst, &f, TypeDisconnect, 0, remaining)
	if f.err != nil {
		return dst, f.err
	}
	if remaining > 0 {
		b = append(b, byte(p.ReasonCode))
	}
	if size > 0 {
		b = p.Properties.append(b, size)
	}
	return b, nil
}
