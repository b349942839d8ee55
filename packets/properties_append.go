package packets

import "encoding/binary"

// check holds properties that are to be written to what a decoder accepts at that place. It returns their size, as
// does size.
func (p *Properties) check(f *fault, at place) int {
	present := p.present()
	if present == 0 {
		return 0
	}
	if bad := present &^ allowedProperties[at]; bad != 0 {
		f.failNotAllowed(at, bad.first())
		return 0
	}
	p.checkValues(f, at)
	return p.sizeOf(present)
}

func (p *Properties) checkValues(f *fault, at place) {
	c := propertyCheck{f, at}
	checkNumber(c, idPayloadFormatIndicator, p.PayloadFormatIndicator)
	c.text(idContentType, p.ContentType)
	if p.ResponseTopic.Set {
		name := propertyNames[idResponseTopic]
		f.checkTopicName(name, p.ResponseTopic.Value)
		if p.ResponseTopic.Value == "" {
			f.failEmpty(name)
		}
	}
	f.checkLength(propertyNames[idCorrelationData], len(p.CorrelationData))
	for i, id := range p.SubscriptionIdentifiers {
		f.checkNumber(at, idSubscriptionIdentifier, id)
		if i > 0 && !idSubscriptionIdentifier.mayRepeat(at) {
			f.failTwice(at, idSubscriptionIdentifier)
		}
	}
	c.text(idAssignedClientIdentifier, p.AssignedClientIdentifier)
	c.text(idAuthenticationMethod, p.AuthenticationMethod)
	f.checkLength(propertyNames[idAuthenticationData], len(p.AuthenticationData))
	checkNumber(c, idRequestProblemInformation, p.RequestProblemInformation)
	checkNumber(c, idRequestResponseInformation, p.RequestResponseInformation)
	c.text(idResponseInformation, p.ResponseInformation)
	c.text(idServerReference, p.ServerReference)
	c.text(idReasonString, p.ReasonString)
	checkNumber(c, idReceiveMaximum, p.ReceiveMaximum)
	checkNumber(c, idTopicAlias, p.TopicAlias)
	checkNumber(c, idMaximumQoS, p.MaximumQoS)
	checkNumber(c, idRetainAvailable, p.RetainAvailable)
	for i := range p.UserProperties {
		f.checkText(propertyNames[idUserProperty], p.UserProperties[i].Key)
		f.checkText(propertyNames[idUserProperty], p.UserProperties[i].Value)
	}
	checkNumber(c, idMaximumPacketSize, p.MaximumPacketSize)
	checkNumber(c, idWildcardSubscriptionAvailable, p.WildcardSubscriptionAvailable)
	checkNumber(c, idSubscriptionIdentifierAvailable, p.SubscriptionIdentifierAvailable)
	checkNumber(c, idSharedSubscriptionAvailable, p.SharedSubscriptionAvailable)
}

type propertyCheck struct {
	*fault
	at place
}

func (c propertyCheck) text(id propertyID, o Optional[string]) {
	if o.Set {
		c.checkText(propertyNames[id], o.Value)
	}
}

func checkNumber[T byte | uint16 | uint32](c propertyCheck, id propertyID, o Optional[T]) {
	if o.Set {
		c.checkNumber(c.at, id, uint32(o.Value))
	}
}

// checkAuthentication holds both ways to the rule that Authentication Data needs a method.
func (p *Properties) checkAuthentication(f *fault, at place) {
	if p.AuthenticationData != nil && !p.AuthenticationMethod.Set {
		f.failProperty(at, idAuthenticationData, "needs an Authentication Method")
	}
}

// The sizes of numeric properties, identifiers included.
const (
	sizeByteProperty   = 2
	sizeUint16Property = 3
	sizeUint32Property = 5
	sizeTextProperty   = 3 // and the text
)

// size returns the size of all properties in bytes, without the Property Length: 0 if and only if there are none.
func (p *Properties) size() int {
	if present := p.present(); present != 0 {
		return p.sizeOf(present)
	}
	return 0
}

func (p *Properties) sizeOf(present propertySet) int {
	n := sizeByteProperty*count(present, byteProperties) + sizeUint16Property*count(present, uint16Properties) +
		sizeUint32Property*count(present, uint32Properties) + sizeTextProperty*count(present, textProperties)
	n += textLength(p.ContentType) + textLength(p.ResponseTopic) + textLength(p.AssignedClientIdentifier) +
		textLength(p.AuthenticationMethod) + textLength(p.ResponseInformation) + textLength(p.ServerReference) +
		textLength(p.ReasonString) + len(p.CorrelationData) + len(p.AuthenticationData)
	for _, id := range p.SubscriptionIdentifiers {
		n += 1 + sizeVarint(int(id))
	}
	for i := range p.UserProperties {
		n += 5 + len(p.UserProperties[i].Key) + len(p.UserProperties[i].Value)
	}
	return n
}

// withLength adds the size of the Property Length to the size of the properties.
func withLength(size int) int { return sizeVarint(size) + size }

func textLength(o Optional[string]) int {
	if o.Set {
		return len(o.Value)
	}
	return 0
}

// append appends the Property Length and the properties, in ascending order of their identifiers. size is what check
// or size returned.
func (p *Properties) append(dst []byte, size int) []byte {
	dst = appendVarint(dst, uint32(size))
	if size == 0 {
		return dst
	}
	dst = appendByteProperty(dst, idPayloadFormatIndicator, p.PayloadFormatIndicator)
	dst = appendUint32Property(dst, idMessageExpiryInterval, p.MessageExpiryInterval)
	dst = appendTextProperty(dst, idContentType, p.ContentType)
	dst = appendTextProperty(dst, idResponseTopic, p.ResponseTopic)
	dst = appendBinaryProperty(dst, idCorrelationData, p.CorrelationData)
	for _, id := range p.SubscriptionIdentifiers {
		dst = appendVarint(append(dst, byte(idSubscriptionIdentifier)), id)
	}
	dst = appendUint32Property(dst, idSessionExpiryInterval, p.SessionExpiryInterval)
	dst = appendTextProperty(dst, idAssignedClientIdentifier, p.AssignedClientIdentifier)
	dst = appendUint16Property(dst, idServerKeepAlive, p.ServerKeepAlive)
	dst = appendTextProperty(dst, idAuthenticationMethod, p.AuthenticationMethod)
	dst = appendBinaryProperty(dst, idAuthenticationData, p.AuthenticationData)
	dst = appendByteProperty(dst, idRequestProblemInformation, p.RequestProblemInformation)
	dst = appendUint32Property(dst, idWillDelayInterval, p.WillDelayInterval)
	dst = appendByteProperty(dst, idRequestResponseInformation, p.RequestResponseInformation)
	dst = appendTextProperty(dst, idResponseInformation, p.ResponseInformation)
	dst = appendTextProperty(dst, idServerReference, p.ServerReference)
	dst = appendTextProperty(dst, idReasonString, p.ReasonString)
	dst = appendUint16Property(dst, idReceiveMaximum, p.ReceiveMaximum)
	dst = appendUint16Property(dst, idTopicAliasMaximum, p.TopicAliasMaximum)
	dst = appendUint16Property(dst, idTopicAlias, p.TopicAlias)
	dst = appendByteProperty(dst, idMaximumQoS, p.MaximumQoS)
	dst = appendByteProperty(dst, idRetainAvailable, p.RetainAvailable)
	for i := range p.UserProperties {
		dst = appendText(append(dst, byte(idUserProperty)), p.UserProperties[i].Key)
		dst = appendText(dst, p.UserProperties[i].Value)
	}
	dst = appendUint32Property(dst, idMaximumPacketSize, p.MaximumPacketSize)
	dst = appendByteProperty(dst, idWildcardSubscriptionAvailable, p.WildcardSubscriptionAvailable)
	dst = appendByteProperty(dst, idSubscriptionIdentifierAvailable, p.SubscriptionIdentifierAvailable)
	return appendByteProperty(dst, idSharedSubscriptionAvailable, p.SharedSubscriptionAvailable)
}

func appendByteProperty(dst []byte, id propertyID, o Optional[byte]) []byte {
	if !o.Set {
		return dst
	}
	return append(dst, byte(id), o.Value)
}

func appendUint16Property(dst []byte, id propertyID, o Optional[uint16]) []byte {
	if !o.Set {
		return dst
	}
	return binary.BigEndian.AppendUint16(append(dst, byte(id)), o.Value)
}

func appendUint32Property(dst []byte, id propertyID, o Optional[uint32]) []byte {
	if !o.Set {
		return dst
	}
	return binary.BigEndian.AppendUint32(append(dst, byte(id)), o.Value)
}

func appendTextProperty(dst []byte, id propertyID, o Optional[string]) []byte {
	if !o.Set {
		return dst
	}
	return appendText(append(dst, byte(id)), o.Value)
}

func appendBinaryProperty(dst []byte, id propertyID, b []byte) []byte {
	if b == nil {
		return dst
	}
	return appendText(append(dst, byte(id)), b)
}
