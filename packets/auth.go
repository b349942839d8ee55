package packets

// Auth is one step of an enhanced authentication. It exists in MQTT 5 only.
type Auth struct {
	ReasonCode ReasonCode // Success, ContinueAuthentication or ReAuthenticate
	Properties Properties
}

// Type returns TypeAuth.
func (*Auth) Type() Type { return TypeAuth }

// Decode implements Packet.
func (p *Auth) Decode(h FixedHeader, body []byte, v Version) error {
	*p = Auth{}
	r := newReader(h, body, v, TypeAuth)
	if len(r.b) > 0 { // an empty AUTH is Success without properties
		p.ReasonCode = ReasonCode(r.byte(fieldReasonCode))
		p.Properties.decode(&r, place(TypeAuth))
	}
	p.check(&r.fault)
	return r.end()
}

// check holds what both ways share.
func (p *Auth) check(f *fault) {
	if f.version != V5 {
		f.fail(ProtocolError, "Packet Type", "exists in MQTT 5 only", "section 2.1.2")
	}
	f.checkReasonCode(p.ReasonCode)
	p.Properties.checkAuthentication(f, place(TypeAuth))
	if p.ReasonCode != Success && !p.Properties.AuthenticationMethod.Set {
		f.failProperty(place(TypeAuth), idAuthenticationMethod, "must be there")
	}
}

// Append implements Packet. Only MQTT 5 has this packet.
func (p *Auth) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeAuth, version: v}
	p.check(&f)
	size := p.Properties.check(&f, place(TypeAuth))
	remaining := 0
	if p.ReasonCode != Success || size > 0 {
		remaining = 1 + withLength(size)
	}
	b := appendFixedHeader(dst, &f, TypeAuth, 0, remaining)
	if f.err != nil {
		return dst, f.err
	}
	if remaining > 0 {
		b = p.Properties.append(append(b, byte(p.ReasonCode)), size)
	}
	return b, nil
}
