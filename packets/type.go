package packets

import "strconv"

// Type is the type of an MQTT control packet: the upper four bits of its first byte.
type Type byte

// The control packet types. TypeAuth exists in MQTT 5 only.
const (
	TypeConnect Type = iota + 1
	TypeConnAck
	TypePublish
	TypePubAck
	TypePubRec
	TypePubRel
	TypePubComp
	TypeSubscribe
	TypeSubAck
	TypeUnsubscribe
	TypeUnsubAck
	TypePingReq
	TypePingResp
	TypeDisconnect
	TypeAuth
)

var typeNames = [...]string{
	TypeConnect: "CONNECT", TypeConnAck: "CONNACK", TypePublish: "PUBLISH", TypePubAck: "PUBACK",
	TypePubRec: "PUBREC", TypePubRel: "PUBREL", TypePubComp: "PUBCOMP", TypeSubscribe: "SUBSCRIBE",
	TypeSubAck: "SUBACK", TypeUnsubscribe: "UNSUBSCRIBE", TypeUnsubAck: "UNSUBACK", TypePingReq: "PINGREQ",
	TypePingResp: "PINGRESP", TypeDisconnect: "DISCONNECT", TypeAuth: "AUTH",
}

// String returns the specification's name of the type, such as "CONNECT".
func (t Type) String() string {
	if t < TypeConnect || t > TypeAuth {
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
	return typeNames[t]
}

// Version is the Protocol Version (in MQTT 3: Protocol Level) of a CONNECT.
type Version byte

// The versions this package speaks.
const (
	V31  Version = 3 // MQTT 3.1, protocol name "MQIsdp"
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5.0
)

// String returns the version as people write it, such as "3.1.1".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "Version(" + strconv.Itoa(int(v)) + ")"
}

// QoS is a quality of service: 0, 1 or 2.
type QoS byte
