package packets

// Packet is an MQTT control packet.
type Packet interface {
	// Type returns the packet's type.
	Type() Type

	// Decode replaces the packet by what body holds: everything behind the fixed header h, exactly h.Remaining bytes.
	// v is the version the connection speaks; a CONNECT brings its own. Errors are *Error.
	Decode(h FixedHeader, body []byte, v Version) error

	// Append appends the packet's encoding in version v to dst and returns the result. Errors are *Error; dst is then
	// returned as it came.
	Append(dst []byte, v Version) ([]byte, error)
}

// New returns an empty packet of type t, or nil if there is no such type.
func New(t Type) Packet {
	switch t {
	case TypeConnect:
		return new(Connect)
	case TypeConnAck:
		return new(ConnAck)
	case TypePublish:
		return new(Publish)
	case TypePubAck:
		return new(PubAck)
	case TypePubRec:
		return new(PubRec)
	case TypePubRel:
		return new(PubRel)
	case TypePubComp:
		return new(PubComp)
	case TypeSubscribe:
		return new(Subscribe)
	case TypeSubAck:
		return new(SubAck)
	case TypeUnsubscribe:
		return new(Unsubscribe)
	case TypeUnsubAck:
		return new(UnsubAck)
	case TypePingReq:
		return new(PingReq)
	case TypePingResp:
		return new(PingResp)
	case TypeDisconnect:
		return new(Disconnect)
	case TypeAuth:
		return new(Auth)
	}
	return nil
}

// Append appends p's encoding in version v to dst. It is p.Append(dst, v).
func Append(dst []byte, p Packet, v Version) ([]byte, error) { return p.Append(dst, v) }
