package packets

// decode reads the Property Length and the properties of a place into p, which must be empty.
func (p *Properties) decode(r *reader, at place) {
	n := int(r.varint(fieldPropertyLength))
	if n == 0 {
		return
	}
	behind := r.take(fieldPropertyLength, n)
	behind, r.b = r.b, behind
	var seen propertySet
	for len(r.b) > 0 && r.err == nil {
		v := r.varint("Property Identifier")
		id := propertyID(v)
		switch {
		case r.err != nil:
		case v > uint32(lastPropertyID) || propertyNames[id] == "":
			r.fail(MalformedPacket, "Property Identifier", "is unknown", "section 2.2.2.2")
		case !allowedProperties[at].has(id):
			r.failNotAllowed(at, id)
		case seen.has(id) && !id.mayRepeat(at):
			r.failTwice(at, id)
		default:
			p.decodeOne(r, at, id)
			seen |= 1 << id
		}
	}
	r.b = behind
}

// decodeOne reads the value of one property. It is as long as the list of properties.
func (p *Properties) decodeOne(r *reader, at place, id propertyID) {
	name := propertyNames[id]
	switch id {
	case idPayloadFormatIndicator:
		p.PayloadFormatIndicator = r.byteProperty(at, id)
	case idMessageExpiryInterval:
		p.MessageExpiryInterval = Some(r.uint32(name))
	case idContentType:
		p.ContentType = Some(r.text(name))
	case idResponseTopic:
		p.ResponseTopic = Some(r.topicName(name))
		if p.ResponseTopic.Value == "" {
			r.failEmpty(name)
		}
	case idCorrelationData:
		p.CorrelationData = r.binary(name)
	case idSubscriptionIdentifier:
		v := r.varint(name)
		r.checkNumber(at, id, v)
		p.SubscriptionIdentifiers = append(p.SubscriptionIdentifiers, v)
	case idSessionExpiryInterval:
		p.SessionExpiryInterval = Some(r.uint32(name))
	case idAssignedClientIdentifier:
		p.AssignedClientIdentifier = Some(r.text(name))
	case idServerKeepAlive:
		p.ServerKeepAlive = Some(r.uint16(name))
	case idAuthenticationMethod:
		p.AuthenticationMethod = Some(r.text(name))
	case idAuthenticationData:
		p.AuthenticationData = r.binary(name)
	case idRequestProblemInformation:
		p.RequestProblemInformation = r.byteProperty(at, id)
	case idWillDelayInterval:
		p.WillDelayInterval = Some(r.uint32(name))
	case idRequestResponseInformation:
		p.RequestResponseInformation = r.byteProperty(at, id)
	case idResponseInformation:
		p.ResponseInformation = Some(r.text(name))
	case idServerReference:
		p.ServerReference = Some(r.text(name))
	case idReasonString:
		p.ReasonString = Some(r.text(name))
	case idReceiveMaximum:
		p.ReceiveMaximum = r.uint16Property(at, id)
	case idTopicAliasMaximum:
		p.TopicAliasMaximum = Some(r.uint16(name))
	case idTopicAlias:
		p.TopicAlias = r.uint16Property(at, id)
	case idMaximumQoS:
		p.MaximumQoS = r.byteProperty(at, id)
	case idRetainAvailable:
		p.RetainAvailable = r.byteProperty(at, id)
	case idUserProperty:
		p.UserProperties = append(p.UserProperties, UserProperty{Key: r.text(name), Value: r.text(name)})
	case idMaximumPacketSize:
		v := r.uint32(name)
		r.checkNumber(at, id, v)
		p.MaximumPacketSize = Some(v)
	case idWildcardSubscriptionAvailable:
		p.WildcardSubscriptionAvailable = r.byteProperty(at, id)
	case idSubscriptionIdentifierAvailable:
		p.SubscriptionIdentifierAvailable = r.byteProperty(at, id)
	case idSharedSubscriptionAvailable:
		p.SharedSubscriptionAvailable = r.byteProperty(at, id)
	}
}

func (r *reader) byteProperty(at place, id propertyID) Optional[byte] {
	v := r.byte(propertyNames[id])
	r.checkNumber(at, id, uint32(v))
	return Some(v)
}

func (r *reader) uint16Property(at place, id propertyID) Optional[uint16] {
	v := r.uint16(propertyNames[id])
	r.checkNumber(at, id, uint32(v))
	return Some(v)
}
