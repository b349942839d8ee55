package packets

import "fmt"

// ReasonCode is the result of an operation, in MQTT 5 on the wire. Codes from 0x80 on are failures.
type ReasonCode byte

// The reason codes of MQTT 5 (section 2.4), by the specification's names.
const (
	Success             ReasonCode = 0x00
	NormalDisconnection ReasonCode = 0x00
	GrantedQoS0         ReasonCode = 0x00
	GrantedQoS1         ReasonCode = 0x01
	GrantedQoS2         ReasonCode = 0x02

	DisconnectWithWillMessage ReasonCode = 0x04
	NoMatchingSubscribers     ReasonCode = 0x10
	NoSubscriptionExisted     ReasonCode = 0x11
	ContinueAuthentication    ReasonCode = 0x18
	ReAuthenticate            ReasonCode = 0x19

	UnspecifiedError                    ReasonCode = 0x80
	MalformedPacket                     ReasonCode = 0x81
	ProtocolError                       ReasonCode = 0x82
	ImplementationSpecificError         ReasonCode = 0x83
	UnsupportedProtocolVersion          ReasonCode = 0x84
	ClientIdentifierNotValid            ReasonCode = 0x85
	BadUserNameOrPassword               ReasonCode = 0x86
	NotAuthorized                       ReasonCode = 0x87
	ServerUnavailable                   ReasonCode = 0x88
	ServerBusy                          ReasonCode = 0x89
	Banned                              ReasonCode = 0x8A
	ServerShuttingDown                  ReasonCode = 0x8B
	BadAuthenticationMethod             ReasonCode = 0x8C
	KeepAliveTimeout                    ReasonCode = 0x8D
	SessionTakenOver                    ReasonCode = 0x8E
	TopicFilterInvalid                  ReasonCode = 0x8F
	TopicNameInvalid                    ReasonCode = 0x90
	PacketIdentifierInUse               ReasonCode = 0x91
	PacketIdentifierNotFound            ReasonCode = 0x92
	ReceiveMaximumExceeded              ReasonCode = 0x93
	TopicAliasInvalid                   ReasonCode = 0x94
	PacketTooLarge                      ReasonCode = 0x95
	MessageRateTooHigh                  ReasonCode = 0x96
	QuotaExceeded                       ReasonCode = 0x97
	AdministrativeAction                ReasonCode = 0x98
	PayloadFormatInvalid                ReasonCode = 0x99
	RetainNotSupported                  ReasonCode = 0x9A
	QoSNotSupported                     ReasonCode = 0x9B
	UseAnotherServer                    ReasonCode = 0x9C
	ServerMoved                         ReasonCode = 0x9D
	SharedSubscriptionsNotSupported     ReasonCode = 0x9E
	ConnectionRateExceeded              ReasonCode = 0x9F
	MaximumConnectTime                  ReasonCode = 0xA0
	SubscriptionIdentifiersNotSupported ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported   ReasonCode = 0xA2
)

var reasonCodeNames = [...]string{
	Success: "Success", GrantedQoS1: "Granted QoS 1", GrantedQoS2: "Granted QoS 2",
	DisconnectWithWillMessage: "Disconnect with Will Message", NoMatchingSubscribers: "No matching subscribers",
	NoSubscriptionExisted: "No subscription existed", ContinueAuthentication: "Continue authentication",
	ReAuthenticate: "Re-authenticate", UnspecifiedError: "Unspecified error", MalformedPacket: "Malformed Packet",
	ProtocolError: "Protocol Error", ImplementationSpecificError: "Implementation specific error",
	UnsupportedProtocolVersion: "Unsupported Protocol Version",
	ClientIdentifierNotValid:   "Client Identifier not valid", BadUserNameOrPassword: "Bad User Name or Password",
	NotAuthorized: "Not authorized", ServerUnavailable: "Server unavailable", ServerBusy: "Server busy",
	Banned: "Banned", ServerShuttingDown: "Server shutting down",
	BadAuthenticationMethod: "Bad authentication method", KeepAliveTimeout: "Keep Alive timeout",
	SessionTakenOver: "Session taken over", TopicFilterInvalid: "Topic Filter invalid",
	TopicNameInvalid: "Topic Name invalid", PacketIdentifierInUse: "Packet Identifier in use",
	PacketIdentifierNotFound: "Packet Identifier not found", ReceiveMaximumExceeded: "Receive Maximum exceeded",
	TopicAliasInvalid: "Topic Alias invalid", PacketTooLarge: "Packet too large",
	MessageRateTooHigh: "Message rate too high", QuotaExceeded: "Quota exceeded",
	AdministrativeAction: "Administrative action", PayloadFormatInvalid: "Payload format invalid",
	RetainNotSupported: "Retain not supported", QoSNotSupported: "QoS not supported",
	UseAnotherServer: "Use another server", ServerMoved: "Server moved",
	SharedSubscriptionsNotSupported: "Shared Subscriptions not supported",
	ConnectionRateExceeded:          "Connection rate exceeded", MaximumConnectTime: "Maximum connect time",
	SubscriptionIdentifiersNotSupported: "Subscription Identifiers not supported",
	WildcardSubscriptionsNotSupported:   "Wildcard Subscriptions not supported",
}

// String returns the specification's words, such as "Session taken over". 0x00 is "Success" in every packet.
func (c ReasonCode) String() string {
	if int(c) < len(reasonCodeNames) && reasonCodeNames[c] != "" {
		return reasonCodeNames[c]
	}
	return fmt.Sprintf("ReasonCode(0x%02X)", byte(c))
}

// IsError reports whether c says that something failed.
func (c ReasonCode) IsError() bool { return c >= 0x80 }

// The return codes of a CONNACK in MQTT 3 (3.1.1, section 3.2.2.3).
const (
	v3Accepted byte = iota
	v3UnacceptableProtocolVersion
	v3IdentifierRejected
	v3ServerUnavailable
	v3BadUserNameOrPassword
	v3NotAuthorized
)

// ConnAckV3 returns the return code (0 to 5) that tells an MQTT 3 client in its CONNACK what c says. What MQTT 3 has
// no code for becomes 3, "Server unavailable". A malformed CONNECT is not answered at all in MQTT 3 [MQTT-3.1.4-1 of
// 3.1.1]; that is for the caller to know.
func (c ReasonCode) ConnAckV3() byte {
	switch c {
	case Success:
		return v3Accepted
	case UnsupportedProtocolVersion:
		return v3UnacceptableProtocolVersion
	case ClientIdentifierNotValid:
		return v3IdentifierRejected
	case BadUserNameOrPassword, BadAuthenticationMethod:
		return v3BadUserNameOrPassword
	case NotAuthorized, Banned:
		return v3NotAuthorized
	}
	return v3ServerUnavailable
}

// fromConnAckV3 is the way back.
func fromConnAckV3(b byte) (c ReasonCode, ok bool) {
	codes := [...]ReasonCode{
		v3Accepted: Success, v3UnacceptableProtocolVersion: UnsupportedProtocolVersion,
		v3IdentifierRejected: ClientIdentifierNotValid, v3ServerUnavailable: ServerUnavailable,
		v3BadUserNameOrPassword: BadUserNameOrPassword, v3NotAuthorized: NotAuthorized,
	}
	if int(b) >= len(codes) {
		return 0, false
	}
	return codes[b], true
}

// AllowedIn reports whether MQTT 5 allows c in packets of type t (section 2.4), whoever sends them.
func (c ReasonCode) AllowedIn(t Type) bool {
	switch t {
	case TypeConnAck:
		return c.allowedInConnAck()
	case TypePubAck, TypePubRec:
		switch c {
		case Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
			TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded, PayloadFormatInvalid:
			return true
		}
	case TypePubRel, TypePubComp:
		return c == Success || c == PacketIdentifierNotFound
	case TypeSubAck:
		switch c {
		case GrantedQoS0, GrantedQoS1, GrantedQoS2, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
			TopicFilterInvalid, PacketIdentifierInUse, QuotaExceeded, SharedSubscriptionsNotSupported,
			SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported:
			return true
		}
	case TypeUnsubAck:
		switch c {
		case Success, NoSubscriptionExisted, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
			TopicFilterInvalid, PacketIdentifierInUse:
			return true
		}
	case TypeDisconnect:
		return c.allowedInDisconnect()
	case TypeAuth:
		return c == Success || c == ContinueAuthentication || c == ReAuthenticate
	}
	return false
}

func (c ReasonCode) allowedInConnAck() bool {
	switch c {
	case Success, UnspecifiedError, MalformedPacket, ProtocolError, ImplementationSpecificError,
		UnsupportedProtocolVersion, ClientIdentifierNotValid, BadUserNameOrPassword, NotAuthorized, ServerUnavailable,
		ServerBusy, Banned, BadAuthenticationMethod, TopicNameInvalid, PacketTooLarge, QuotaExceeded,
		PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer, ServerMoved,
		ConnectionRateExceeded:
		return true
	}
	return false
}

func (c ReasonCode) allowedInDisconnect() bool {
	switch c {
	// Section 2.4 allows Bad authentication method here; the table of section 3.14.2.1 forgets it.
	case NormalDisconnection, DisconnectWithWillMessage, UnspecifiedError, MalformedPacket, ProtocolError,
		ImplementationSpecificError, NotAuthorized, ServerBusy, ServerShuttingDown, BadAuthenticationMethod,
		KeepAliveTimeout, SessionTakenOver, TopicFilterInvalid, TopicNameInvalid, ReceiveMaximumExceeded,
		TopicAliasInvalid, PacketTooLarge, MessageRateTooHigh, QuotaExceeded, AdministrativeAction,
		PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer, ServerMoved,
		SharedSubscriptionsNotSupported, ConnectionRateExceeded, MaximumConnectTime,
		SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported:
		return true
	}
	return false
}

// checkReasonCode holds a reason code of MQTT 5 to the list of its packet type.
func (f *fault) checkReasonCode(c ReasonCode) {
	if c.AllowedIn(f.packet) {
		return
	}
	clause := "section 2.4"
	switch f.packet {
	case TypeConnAck:
		clause = "MQTT-3.2.2-8"
	case TypePubAck:
		clause = "MQTT-3.4.2-1"
	case TypePubRec:
		clause = "MQTT-3.5.2-1"
	case TypePubRel:
		clause = "MQTT-3.6.2-1"
	case TypePubComp:
		clause = "MQTT-3.7.2-1"
	case TypeSubAck:
		clause = "MQTT-3.9.3-2"
	case TypeUnsubAck:
		clause = "MQTT-3.11.3-2"
	case TypeDisconnect:
		clause = "MQTT-3.14.2-1"
	case TypeAuth:
		clause = "MQTT-3.15.2-1"
	}
	f.fail(ProtocolError, "Reason Code", fmt.Sprintf("0x%02X is not one of this packet's", byte(c)), clause)
}
