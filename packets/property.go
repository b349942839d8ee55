package packets

import "math/bits"

// propertyID is a property's identifier (section 2.2.2.2).
type propertyID byte

const (
	idPayloadFormatIndicator          propertyID = 0x01
	idMessageExpiryInterval           propertyID = 0x02
	idContentType                     propertyID = 0x03
	idResponseTopic                   propertyID = 0x08
	idCorrelationData                 propertyID = 0x09
	idSubscriptionIdentifier          propertyID = 0x0B
	idSessionExpiryInterval           propertyID = 0x11
	idAssignedClientIdentifier        propertyID = 0x12
	idServerKeepAlive                 propertyID = 0x13
	idAuthenticationMethod            propertyID = 0x15
	idAuthenticationData              propertyID = 0x16
	idRequestProblemInformation       propertyID = 0x17
	idWillDelayInterval               propertyID = 0x18
	idRequestResponseInformation      propertyID = 0x19
	idResponseInformation             propertyID = 0x1A
	idServerReference                 propertyID = 0x1C
	idReasonString                    propertyID = 0x1F
	idReceiveMaximum                  propertyID = 0x21
	idTopicAliasMaximum               propertyID = 0x22
	idTopicAlias                      propertyID = 0x23
	idMaximumQoS                      propertyID = 0x24
	idRetainAvailable                 propertyID = 0x25
	idUserProperty                    propertyID = 0x26
	idMaximumPacketSize               propertyID = 0x27
	idWildcardSubscriptionAvailable   propertyID = 0x28
	idSubscriptionIdentifierAvailable propertyID = 0x29
	idSharedSubscriptionAvailable     propertyID = 0x2A

	lastPropertyID = idSharedSubscriptionAvailable
)

var propertyNames = [lastPropertyID + 1]string{
	idPayloadFormatIndicator:          "Payload Format Indicator",
	idMessageExpiryInterval:           "Message Expiry Interval",
	idContentType:                     "Content Type",
	idResponseTopic:                   "Response Topic",
	idCorrelationData:                 "Correlation Data",
	idSubscriptionIdentifier:          "Subscription Identifier",
	idSessionExpiryInterval:           "Session Expiry Interval",
	idAssignedClientIdentifier:        "Assigned Client Identifier",
	idServerKeepAlive:                 "Server Keep Alive",
	idAuthenticationMethod:            "Authentication Method",
	idAuthenticationData:              "Authentication Data",
	idRequestProblemInformation:       "Request Problem Information",
	idWillDelayInterval:               "Will Delay Interval",
	idRequestResponseInformation:      "Request Response Information",
	idResponseInformation:             "Response Information",
	idServerReference:                 "Server Reference",
	idReasonString:                    "Reason String",
	idReceiveMaximum:                  "Receive Maximum",
	idTopicAliasMaximum:               "Topic Alias Maximum",
	idTopicAlias:                      "Topic Alias",
	idMaximumQoS:                      "Maximum QoS",
	idRetainAvailable:                 "Retain Available",
	idUserProperty:                    "User Property",
	idMaximumPacketSize:               "Maximum Packet Size",
	idWildcardSubscriptionAvailable:   "Wildcard Subscription Available",
	idSubscriptionIdentifierAvailable: "Subscription Identifier Available",
	idSharedSubscriptionAvailable:     "Shared Subscription Available",
}

// propertySet is a set of propertyIDs, one bit each.
type propertySet uint64

func setOf(ids ...propertyID) propertySet {
	var s propertySet
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s propertySet) has(id propertyID) bool { return s>>id&1 != 0 }

func (s propertySet) first() propertyID { return propertyID(bits.TrailingZeros64(uint64(s))) }

// place is where properties stand: in the packet of a Type, or with the Will Message of a CONNECT.
type place byte

const willProperties place = 0

// allowedProperties is the table of section 2.2.2.2.
var allowedProperties = [TypeAuth + 1]propertySet{
	willProperties: setOf(idPayloadFormatIndicator, idMessageExpiryInterval, idContentType, idResponseTopic,
		idCorrelationData, idWillDelayInterval, idUserProperty),
	TypeConnect: setOf(idSessionExpiryInterval, idAuthenticationMethod, idAuthenticationData,
		idRequestProblemInformation, idRequestResponseInformation, idReceiveMaximum, idTopicAliasMaximum,
		idUserProperty, idMaximumPacketSize),
	TypeConnAck: setOf(idSessionExpiryInterval, idAssignedClientIdentifier, idServerKeepAlive, idAuthenticationMethod,
		idAuthenticationData, idResponseInformation, idServerReference, idReasonString, idReceiveMaximum,
		idTopicAliasMaximum, idMaximumQoS, idRetainAvailable, idUserProperty, idMaximumPacketSize,
		idWildcardSubscriptionAvailable, idSubscriptionIdentifierAvailable, idSharedSubscriptionAvailable),
	TypePublish: setOf(idPayloadFormatIndicator, idMessageExpiryInterval, idContentType, idResponseTopic,
		idCorrelationData, idSubscriptionIdentifier, idTopicAlias, idUserProperty),
	TypePubAck:      setOf(idReasonString, idUserProperty),
	TypePubRec:      setOf(idReasonString, idUserProperty),
	TypePubRel:      setOf(idReasonString, idUserProperty),
	TypePubComp:     setOf(idReasonString, idUserProperty),
	TypeSubscribe:   setOf(idSubscriptionIdentifier, idUserProperty),
	TypeSubAck:      setOf(idReasonString, idUserProperty),
	TypeUnsubscribe: setOf(idUserProperty),
	TypeUnsubAck:    setOf(idReasonString, idUserProperty),
	TypeDisconnect:  setOf(idSessionExpiryInterval, idServerReference, idReasonString, idUserProperty),
	TypeAuth:        setOf(idAuthenticationMethod, idAuthenticationData, idReasonString, idUserProperty),
}

// propertySections says where the specification describes the properties of a place.
var propertySections = [TypeAuth + 1]string{
	willProperties: "section 3.1.3.2", TypeConnect: "section 3.1.2.11", TypeConnAck: "section 3.2.2.3",
	TypePublish: "section 3.3.2.3", TypePubAck: "section 3.4.2.2", TypePubRec: "section 3.5.2.2",
	TypePubRel: "section 3.6.2.2", TypePubComp: "section 3.7.2.2", TypeSubscribe: "section 3.8.2.1",
	TypeSubAck: "section 3.9.2.1", TypeUnsubscribe: "section 3.10.2.1", TypeUnsubAck: "section 3.11.2.1",
	TypeDisconnect: "section 3.14.2.2", TypeAuth: "section 3.15.2.2",
}

// The properties by the form of their value, as far as the form gives their size.
const (
	byteProperties propertySet = 1<<idPayloadFormatIndicator | 1<<idRequestProblemInformation |
		1<<idRequestResponseInformation | 1<<idMaximumQoS | 1<<idRetainAvailable |
		1<<idWildcardSubscriptionAvailable | 1<<idSubscriptionIdentifierAvailable | 1<<idSharedSubscriptionAvailable
	uint16Properties propertySet = 1<<idServerKeepAlive | 1<<idReceiveMaximum | 1<<idTopicAliasMaximum |
		1<<idTopicAlias
	uint32Properties propertySet = 1<<idMessageExpiryInterval | 1<<idSessionExpiryInterval |
		1<<idWillDelayInterval | 1<<idMaximumPacketSize
	textProperties propertySet = 1<<idContentType | 1<<idResponseTopic | 1<<idCorrelationData |
		1<<idAssignedClientIdentifier | 1<<idAuthenticationMethod | 1<<idAuthenticationData |
		1<<idResponseInformation | 1<<idServerReference | 1<<idReasonString
)

// count returns how many of the properties present have one form.
func count(present, form propertySet) int { return bits.OnesCount64(uint64(present & form)) }

// mayRepeat reports whether id may stand several times in one place.
func (id propertyID) mayRepeat(at place) bool {
	return id == idUserProperty || id == idSubscriptionIdentifier && at == place(TypePublish)
}

// checkNumber holds the value of a numeric property to its range.
func (f *fault) checkNumber(at place, id propertyID, v uint32) {
	switch id {
	case idPayloadFormatIndicator, idRequestProblemInformation, idRequestResponseInformation, idMaximumQoS,
		idRetainAvailable, idWildcardSubscriptionAvailable, idSubscriptionIdentifierAvailable,
		idSharedSubscriptionAvailable:
		if v > 1 {
			f.failProperty(at, id, "must be 0 or 1")
		}
	case idReceiveMaximum, idMaximumPacketSize:
		if v == 0 {
			f.failProperty(at, id, "must not be 0")
		}
	case idSubscriptionIdentifier:
		if v == 0 || v > MaxRemainingLength {
			f.failProperty(at, id, "must be 1 to 268,435,455")
		}
	case idTopicAlias:
		if v == 0 {
			f.fail(TopicAliasInvalid, propertyNames[id], "must not be 0", "MQTT-3.3.2-8")
		}
	}
}

// failProperty names the place's section as the clause, since most of these rules have no number.
func (f *fault) failProperty(at place, id propertyID, problem string) {
	field := propertyNames[id]
	if at == willProperties {
		field = "Will Properties, " + field
	}
	f.fail(ProtocolError, field, problem, propertySections[at])
}

func (f *fault) failNotAllowed(at place, id propertyID) {
	field := propertyNames[id]
	if at == willProperties {
		field = "Will Properties, " + field
	}
	f.fail(MalformedPacket, field, "is not a property of this packet", "section 2.2.2.2")
}

func (f *fault) failTwice(at place, id propertyID) {
	f.failProperty(at, id, "must not be there more than once")
}
