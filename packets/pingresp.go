package packets

// PingResp answers a PINGREQ. It has nothing in it.
type PingResp struct{}

// Type returns TypePingResp.
func (*PingResp) Type() Type { return TypePingResp }

// Decode implements Packet.
func (*PingResp) Decode(h FixedHeader, body []byte, v Version) error {
	r := newReader(h, body, v, TypePingResp)
	return r.end()
}

// Append implements Packet.
func (*PingResp) Append(dst []byte, _ Version) ([]byte, error) {
	return append(dst, byte(TypePingResp)<<4, 0), nil
}
