package packets

// MaxRemainingLength is the greatest Remaining Length that can be written, in bytes.
const MaxRemainingLength = 268_435_455

// FixedHeader is the part that every packet begins with.
type FixedHeader struct {
	Type      Type
	Flags     byte // the lower four bits of the first byte
	Remaining int  // bytes that follow the fixed header
	Size      int  // bytes of the fixed header itself: 2 to 5
}

// ParseFixedHeader reads the fixed header at the start of b and ignores what follows it. It returns ErrIncomplete if b
// ends inside of the header, and an *Error as soon as the bytes that are there cannot begin a packet. The reserved
// flags are held to the rules of MQTT 3.1.1 and 5; for a client that speaks MQTT 3.1 see ParseFixedHeaderV31.
func ParseFixedHeader(b []byte) (FixedHeader, error) { return parseFixedHeader(b, V5) }

// ParseFixedHeaderV31 is ParseFixedHeader for MQTT 3.1, where PUBREL, SUBSCRIBE and UNSUBSCRIBE have a DUP flag, which
// is set when they are sent again. Everything else is alike.
func ParseFixedHeaderV31(b []byte) (FixedHeader, error) { return parseFixedHeader(b, V31) }

func parseFixedHeader(b []byte, v Version) (FixedHeader, error) {
	if len(b) == 0 {
		return FixedHeader{}, ErrIncomplete
	}
	h := FixedHeader{Type: Type(b[0] >> 4), Flags: b[0] & 0x0f}
	f := fault{packet: h.Type, version: v}
	if h.checkFlags(&f); f.err != nil {
		return FixedHeader{}, f.err
	}
	n, size := parseVarint(b[1:])
	switch size {
	case varintIncomplete:
		return FixedHeader{}, ErrIncomplete
	case varintTooLong:
		f.fail(MalformedPacket, "Remaining Length", "is longer than four bytes", "MQTT-1.5.5-1")
		return FixedHeader{}, f.err
	case varintNotMinimal:
		f.fail(MalformedPacket, "Remaining Length", "is not encoded in as few bytes as possible", "MQTT-1.5.5-1")
		return FixedHeader{}, f.err
	}
	h.Remaining, h.Size = int(n), 1+size
	return h, nil
}

const (
	flagRetain byte = 1 << 0
	flagDup    byte = 1 << 3
)

// checkFlags holds the type and the flags to the rules of section 2.1.
func (h FixedHeader) checkFlags(f *fault) {
	var want byte
	switch h.Type {
	case 0:
		f.fail(MalformedPacket, "Packet Type", "0 is reserved", "MQTT-2.1.3-1")
		return
	case TypePublish:
		if qos := h.Flags >> 1 & 3; qos == 3 {
			f.fail(MalformedPacket, "QoS", "must not be 3", "MQTT-3.3.1-4")
		} else if qos == 0 && h.Flags&flagDup != 0 {
			f.fail(ProtocolError, "DUP", "must be 0 when QoS is 0", "MQTT-3.3.1-2")
		}
		return
	case TypePubRel, TypeSubscribe, TypeUnsubscribe:
		want = 2
		if f.version == V31 {
			h.Flags &^= flagDup
		}
	}
	if h.Flags != want {
		f.failFlags(h.Type)
	}
}

func (f *fault) failFlags(t Type) {
	clause := f.clause("MQTT-2.2.2-1", "MQTT-2.1.3-1")
	switch t {
	case TypePubRel:
		clause = "MQTT-3.6.1-1"
	case TypeSubscribe:
		clause = "MQTT-3.8.1-1"
	case TypeUnsubscribe:
		clause = "MQTT-3.10.1-1"
	case TypeDisconnect:
		clause = f.clause("MQTT-2.2.2-1", "MQTT-3.14.1-1")
	case TypeAuth:
		clause = "MQTT-3.15.1-1"
	}
	f.fail(MalformedPacket, "Flags", "a reserved flag has the wrong value", clause)
}

// appendFixedHeader begins a packet of remaining bytes and reports whether it can be that long.
func appendFixedHeader(dst []byte, f *fault, t Type, flags byte, remaining int) []byte {
	if remaining > MaxRemainingLength {
		f.fail(PacketTooLarge, "Remaining Length", "exceeds 268,435,455 bytes", "section 2.1.4")
	}
	if f.err != nil {
		return dst
	}
	return appendVarint(append(dst, byte(t)<<4|flags), uint32(remaining))
}
