package packets

import (
	"encoding/binary"
	"strconv"
)

// Connect opens a connection. It is the one packet that names its version: Decode ignores its argument v.
type Connect struct {
	// ProtocolVersion is set by Decode as soon as it is known, also when Decode then fails, so that a server can
	// choose the CONNACK to refuse with. An UnsupportedProtocolVersion leaves here the version asked for, or 0 if the
	// Protocol Name is none of MQTT's.
	//
	// Append ignores it and takes its argument.
	ProtocolVersion Version
	// Bridge says that the client is a bridge to another broker, as mosquitto's do in MQTT 3.1 and 3.1.1 by the highest bit of the
	// version (0x83, 0x84). The specification does not know it.
	Bridge bool

	CleanStart bool   // MQTT 3: Clean Session
	KeepAlive  uint16 // seconds; 0: none
	ClientID   string // may be empty
	UserName   Optional[string]
	Password   []byte // nil: absent; empty but not nil: present. MQTT 3 allows none without a User Name
	Will       *Will  // nil: none
	Properties Properties
}

const (
	connectFlagReserved   byte = 1 << 0
	connectFlagCleanStart byte = 1 << 1
	connectFlagWill       byte = 1 << 2
	connectFlagWillRetain byte = 1 << 5
	connectFlagPassword   byte = 1 << 6
	connectFlagUserName   byte = 1 << 7

	connectShiftWillQoS = 3

	fieldProtocolName    = "Protocol Name"
	fieldProtocolVersion = "Protocol Version"
	fieldClientID        = "Client Identifier"
	fieldUserName        = "User Name"
	fieldPassword        = "Password"
)

// Type returns TypeConnect.
func (*Connect) Type() Type { return TypeConnect }

// Decode implements Packet. It ignores the Version and takes that of the packet.
func (p *Connect) Decode(h FixedHeader, body []byte, _ Version) error {
	*p = Connect{}
	r := newReader(h, body, V5, TypeConnect)
	p.decodeVersion(&r)
	flags := r.byte("Connect Flags")
	r.checkConnectFlags(flags)
	p.CleanStart = flags&connectFlagCleanStart != 0
	p.KeepAlive = r.uint16("Keep Alive")
	if r.version == V5 {
		p.Properties.decode(&r, place(TypeConnect))
		p.Properties.checkAuthentication(&r.fault, place(TypeConnect))
	}
	p.ClientID = r.text(fieldClientID)
	if flags&connectFlagWill != 0 {
		p.Will = &Will{QoS: QoS(flags >> connectShiftWillQoS & 3), Retain: flags&connectFlagWillRetain != 0}
		p.Will.decode(&r)
	}
	if flags&connectFlagUserName != 0 && !r.leftOut() {
		p.UserName = Some(r.text(fieldUserName))
	}
	if flags&connectFlagPassword != 0 && !r.leftOut() {
		p.Password = r.binary(fieldPassword)
	}
	return r.end()
}

// leftOut reports whether the packet ends before a User Name or Password that its flags announce. MQTT 3.1 (section
// 3.1, "User name and password flags") asks servers to accept that; later versions forbid it [MQTT-3.1.2-17],
// [MQTT-3.1.2-19].
func (r *reader) leftOut() bool { return r.version == V31 && len(r.b) == 0 }

func (p *Connect) decodeVersion(r *reader) {
	name := r.take(fieldProtocolName, int(r.uint16(fieldProtocolName)))
	v := Version(r.byte(fieldProtocolVersion))
	if r.err != nil {
		return
	}
	if plain := v &^ bridgeBit; v != plain && plain < V5 && string(name) == protocolName(plain) {
		v, p.Bridge = plain, true
	}
	switch string(name) {
	case protocolName(V31), protocolName(V5):
		p.ProtocolVersion = v
	default:
		r.fail(UnsupportedProtocolVersion, fieldProtocolName, "is unknown", "MQTT-3.1.2-1")
		return
	}
	if string(name) != protocolName(v) {
		r.fail(UnsupportedProtocolVersion, fieldProtocolVersion,
			strconv.Itoa(int(v))+" is not one of "+string(name), "MQTT-3.1.2-2")
		return
	}
	r.version = v
}

// bridgeBit is set in the Protocol Version of a bridge.
const bridgeBit Version = 0x80

// protocolName returns the Protocol Name that goes with a version, "" if there is no such version.
func protocolName(v Version) string {
	switch v {
	case V31:
		return "MQIsdp"
	case V311, V5:
		return "MQTT"
	}
	return ""
}

func (f *fault) checkConnectFlags(flags byte) {
	if flags&connectFlagReserved != 0 && f.version != V31 { // 3.1 does not say what it must be
		f.fail(MalformedPacket, "Connect Flags", "the reserved flag must be 0", "MQTT-3.1.2-3")
	}
	qos := flags >> connectShiftWillQoS & 3
	if flags&connectFlagWill == 0 {
		if qos != 0 {
			f.fail(MalformedPacket, "Will QoS", "must be 0 without a Will", f.clause("MQTT-3.1.2-13", "MQTT-3.1.2-11"))
		}
		if flags&connectFlagWillRetain != 0 {
			f.fail(MalformedPacket, "Will Retain", "must be 0 without a Will",
				f.clause("MQTT-3.1.2-15", "MQTT-3.1.2-13"))
		}
	} else if qos == 3 {
		f.failWillQoS()
	}
	if f.version != V5 && flags&connectFlagPassword != 0 && flags&connectFlagUserName == 0 {
		f.fail(MalformedPacket, fieldPassword, "must not be there without a User Name", "MQTT-3.1.2-22")
	}
}

func (p *Connect) flags() byte {
	var flags byte
	if p.CleanStart {
		flags |= connectFlagCleanStart
	}
	if p.Will != nil {
		flags |= connectFlagWill | byte(p.Will.QoS)<<connectShiftWillQoS
		if p.Will.Retain {
			flags |= connectFlagWillRetain
		}
	}
	if p.UserName.Set {
		flags |= connectFlagUserName
	}
	if p.Password != nil {
		flags |= connectFlagPassword
	}
	return flags
}

// Append implements Packet. A version that is none is refused.
func (p *Connect) Append(dst []byte, v Version) ([]byte, error) {
	f := fault{packet: TypeConnect, version: v}
	name := protocolName(v)
	if name == "" {
		f.fail(UnsupportedProtocolVersion, fieldProtocolVersion, v.String()+" is unknown", "MQTT-3.1.2-2")
	}
	if p.Bridge && v == V5 {
		f.fail(UnsupportedProtocolVersion, fieldProtocolVersion, "a bridge is none of 5.0", "MQTT-3.1.2-2")
	}
	p.check(&f)
	b := appendFixedHeader(dst, &f, TypeConnect, 0, p.size(v))
	if f.err != nil {
		return dst, f.err
	}
	level := v
	if p.Bridge {
		level |= bridgeBit
	}
	b = append(appendText(b, name), byte(level), p.flags())
	b = binary.BigEndian.AppendUint16(b, p.KeepAlive)
	if v == V5 {
		b = p.Properties.append(b, p.Properties.size())
	}
	b = appendText(b, p.ClientID)
	if p.Will != nil {
		b = p.Will.append(b, v)
	}
	if p.UserName.Set {
		b = appendText(b, p.UserName.Value)
	}
	if p.Password != nil {
		b = appendText(b, p.Password)
	}
	return b, nil
}

func (p *Connect) check(f *fault) {
	if p.Will != nil {
		p.Will.check(f) // before the flags, which have room for two bits of the Will QoS
	}
	if f.err != nil {
		return
	}
	f.checkConnectFlags(p.flags())
	if f.version == V5 {
		p.Properties.check(f, place(TypeConnect))
		p.Properties.checkAuthentication(f, place(TypeConnect))
	}
	f.checkText(fieldClientID, p.ClientID)
	f.checkText(fieldUserName, p.UserName.Or(""))
	f.checkLength(fieldPassword, len(p.Password))
}

func (p *Connect) size(v Version) int {
	n := 2 + len(protocolName(v)) + 4 + 2 + len(p.ClientID)
	if v == V5 {
		n += withLength(p.Properties.size())
	}
	if p.Will != nil {
		n += p.Will.size(v)
	}
	if p.UserName.Set {
		n += 2 + len(p.UserName.Value)
	}
	if p.Password != nil {
		n += 2 + len(p.Password)
	}
	return n
}
