package packets

// PingReq asks the server for a PINGRESP. It has nothing in it.
type PingReq struct{}

// Type returns TypePingReq.
func (*PingReq) Type() Type { return TypePingReq }

// Decode implements Packet.
func (*PingReq) Decode(h FixedHeader, body []byte, v Version) error {
	r := newReader(h, body, v, TypePingReq)
	return r.end()
}

// Append implements Packet.
func (*PingReq) Append(dst []byte, _ Version) ([]byte, error) {
	return append(dst, byte(TypePingReq)<<4, 0), nil
}
