package packets

// UserProperty is a name and a value that mean something to the application.
type UserProperty struct{ Key, Value string }

// Properties are the properties of an MQTT 5 packet (section 2.2.2). Which of them a packet may have is written in the
// specification's table 2-4; Append refuses the others. MQTT 3 has no properties: there they are ignored.
//
// An Optional that is not Set, a nil slice of bytes and an empty list are absent from the packet. Absent does not mean
// zero: the specification says for each property what its absence stands for.
type Properties struct {
	PayloadFormatIndicator          Optional[byte]   // 0: bytes, 1: UTF-8 text
	MessageExpiryInterval           Optional[uint32] // seconds
	ContentType                     Optional[string]
	ResponseTopic                   Optional[string]
	CorrelationData                 []byte           // nil: absent; empty but not nil: present
	SubscriptionIdentifiers         []uint32         // 1 to 268,435,455; a SUBSCRIBE has at most one
	SessionExpiryInterval           Optional[uint32] // seconds; 0xFFFFFFFF: never
	AssignedClientIdentifier        Optional[string]
	ServerKeepAlive                 Optional[uint16] // seconds
	AuthenticationMethod            Optional[string]
	AuthenticationData              []byte           // nil: absent; empty but not nil: present
	RequestProblemInformation       Optional[byte]   // 0 or 1
	WillDelayInterval               Optional[uint32] // seconds; in Will.Properties only
	RequestResponseInformation      Optional[byte]   // 0 or 1
	ResponseInformation             Optional[string]
	ServerReference                 Optional[string]
	ReasonString                    Optional[string]
	ReceiveMaximum                  Optional[uint16] // packets, not 0
	TopicAliasMaximum               Optional[uint16]
	TopicAlias                      Optional[uint16] // not 0
	MaximumQoS                      Optional[byte]   // 0 or 1
	RetainAvailable                 Optional[byte]   // 0 or 1
	UserProperties                  []UserProperty   // in the order of the packet
	MaximumPacketSize               Optional[uint32] // bytes, not 0
	WildcardSubscriptionAvailable   Optional[byte]   // 0 or 1
	SubscriptionIdentifierAvailable Optional[byte]   // 0 or 1
	SharedSubscriptionAvailable     Optional[byte]   // 0 or 1
}

// present returns the set of properties that are there. It is cheap, so that properties which are absent as a whole,
// as they mostly are, cost next to nothing.
func (p *Properties) present() propertySet {
	return bit(p.PayloadFormatIndicator.Set, idPayloadFormatIndicator) |
		bit(p.MessageExpiryInterval.Set, idMessageExpiryInterval) |
		bit(p.ContentType.Set, idContentType) |
		bit(p.ResponseTopic.Set, idResponseTopic) |
		bit(p.CorrelationData != nil, idCorrelationData) |
		bit(len(p.SubscriptionIdentifiers) > 0, idSubscriptionIdentifier) |
		bit(p.SessionExpiryInterval.Set, idSessionExpiryInterval) |
		bit(p.AssignedClientIdentifier.Set, idAssignedClientIdentifier) |
		bit(p.ServerKeepAlive.Set, idServerKeepAlive) |
		bit(p.AuthenticationMethod.Set, idAuthenticationMethod) |
		bit(p.AuthenticationData != nil, idAuthenticationData) |
		bit(p.RequestProblemInformation.Set, idRequestProblemInformation) |
		bit(p.WillDelayInterval.Set, idWillDelayInterval) |
		bit(p.RequestResponseInformation.Set, idRequestResponseInformation) |
		bit(p.ResponseInformation.Set, idResponseInformation) |
		bit(p.ServerReference.Set, idServerReference) |
		bit(p.ReasonString.Set, idReasonString) |
		bit(p.ReceiveMaximum.Set, idReceiveMaximum) |
		bit(p.TopicAliasMaximum.Set, idTopicAliasMaximum) |
		bit(p.TopicAlias.Set, idTopicAlias) |
		bit(p.MaximumQoS.Set, idMaximumQoS) |
		bit(p.RetainAvailable.Set, idRetainAvailable) |
		bit(len(p.UserProperties) > 0, idUserProperty) |
		bit(p.MaximumPacketSize.Set, idMaximumPacketSize) |
		bit(p.WildcardSubscriptionAvailable.Set, idWildcardSubscriptionAvailable) |
		bit(p.SubscriptionIdentifierAvailable.Set, idSubscriptionIdentifierAvailable) |
		bit(p.SharedSubscriptionAvailable.Set, idSharedSubscriptionAvailable)
}

func bit(set bool, id propertyID) propertySet {
	var b propertySet
	if set {
		b = 1
	}
	return b << id
}

// IsEmpty reports whether there are no properties.
func (p *Properties) IsEmpty() bool { return p.present() == 0 }

// reset empties p but keeps the room of its lists for the next packet. It writes nothing if nothing is there.
func (p *Properties) reset() {
	if p.present() == 0 {
		return
	}
	user, ids := p.UserProperties, p.SubscriptionIdentifiers
	clear(user) // do not hold the last packet's buffer
	*p = Properties{UserProperties: user[:0], SubscriptionIdentifiers: ids[:0]}
}
