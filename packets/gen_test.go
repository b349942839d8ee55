package packets_test

import (
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/packets"
)

// versions are those that a test runs in.
var versions = []packets.Version{packets.V31, packets.V311, packets.V5}

// genPacket draws a packet that version v can express, in the form that Decode gives it: what v leaves out is not set.
func genPacket(t *rapid.T, v packets.Version) packets.Packet {
	types := []packets.Type{
		packets.TypeConnect, packets.TypeConnAck, packets.TypePublish, packets.TypePubAck, packets.TypePubRec,
		packets.TypePubRel, packets.TypePubComp, packets.TypeSubscribe, packets.TypeSubAck, packets.TypeUnsubscribe,
		packets.TypeUnsubAck, packets.TypePingReq, packets.TypePingResp, packets.TypeDisconnect,
	}
	if v == packets.V5 {
		types = append(types, packets.TypeAuth)
	}
	switch pt := rapid.SampledFrom(types).Draw(t, "type"); pt {
	case packets.TypeConnect:
		return genConnect(t, v)
	case packets.TypeConnAck:
		p := &packets.ConnAck{ReasonCode: packets.Success, Properties: genProperties(t, pt, v)}
		if v == packets.V5 {
			p.ReasonCode = genReasonCode(t, pt, v)
		} else {
			p.ReasonCode = rapid.SampledFrom([]packets.ReasonCode{
				packets.Success, packets.UnsupportedProtocolVersion, packets.ClientIdentifierNotValid,
				packets.ServerUnavailable, packets.BadUserNameOrPassword, packets.NotAuthorized,
			}).Draw(t, "return code")
		}
		p.SessionPresent = p.ReasonCode == packets.Success && v != packets.V31 && rapid.Bool().Draw(t, "session present")
		return p
	case packets.TypePublish:
		return genPublish(t, v)
	case packets.TypePubAck:
		return &packets.PubAck{PacketID: genID(t), ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypePubRec:
		return &packets.PubRec{PacketID: genID(t), ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypePubRel:
		return &packets.PubRel{PacketID: genID(t), ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypePubComp:
		return &packets.PubComp{PacketID: genID(t), ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypeSubscribe:
		return genSubscribe(t, v)
	case packets.TypeSubAck:
		return &packets.SubAck{PacketID: genID(t), ReasonCodes: genReasonCodes(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypeUnsubscribe:
		filters := rapid.SliceOfN(genFilter(), 1, 4).Draw(t, "filters")
		return &packets.Unsubscribe{PacketID: genID(t), TopicFilters: filters, Properties: genProperties(t, pt, v)}
	case packets.TypeUnsubAck:
		p := &packets.UnsubAck{PacketID: genID(t), Properties: genProperties(t, pt, v)}
		if v == packets.V5 {
			p.ReasonCodes = genReasonCodes(t, pt, v)
		}
		return p
	case packets.TypeDisconnect:
		return &packets.Disconnect{ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
	case packets.TypeAuth:
		p := &packets.Auth{ReasonCode: genReasonCode(t, pt, v), Properties: genProperties(t, pt, v)}
		if p.ReasonCode != packets.Success && !p.Properties.AuthenticationMethod.Set {
			p.Properties.AuthenticationMethod = packets.Some("SCRAM-SHA-256")
		}
		return p
	default:
		return packets.New(pt)
	}
}

func genConnect(t *rapid.T, v packets.Version) *packets.Connect {
	p := &packets.Connect{
		ProtocolVersion: v,
		CleanStart:      rapid.Bool().Draw(t, "clean start"),
		KeepAlive:       rapid.Uint16().Draw(t, "keep alive"),
		ClientID:        genText().Draw(t, "client id"),
		Properties:      genProperties(t, packets.TypeConnect, v),
	}
	if rapid.Bool().Draw(t, "has user name") {
		p.UserName = packets.Some(genText().Draw(t, "user name"))
	}
	if (p.UserName.Set || v == packets.V5) && rapid.Bool().Draw(t, "has password") {
		p.Password = genBytes(t, "password")
	}
	if rapid.Bool().Draw(t, "has will") {
		p.Will = &packets.Will{
			TopicName:  genTopic().Draw(t, "will topic"),
			Payload:    genBytes(t, "will payload"),
			QoS:        genQoS(t),
			Retain:     rapid.Bool().Draw(t, "will retain"),
			Properties: genProperties(t, 0, v),
		}
	}
	return p
}

func genPublish(t *rapid.T, v packets.Version) *packets.Publish {
	p := &packets.Publish{
		QoS:        genQoS(t),
		Retain:     rapid.Bool().Draw(t, "retain"),
		TopicName:  genTopic().Draw(t, "topic"),
		Payload:    genBytes(t, "payload"),
		Properties: genProperties(t, packets.TypePublish, v),
	}
	if p.QoS > 0 {
		p.PacketID = genID(t)
		p.Dup = rapid.Bool().Draw(t, "dup")
	}
	if p.Properties.TopicAlias.Set && rapid.Bool().Draw(t, "alias alone") {
		p.TopicName = ""
	}
	return p
}

func genSubscribe(t *rapid.T, v packets.Version) *packets.Subscribe {
	p := &packets.Subscribe{PacketID: genID(t), Properties: genProperties(t, packets.TypeSubscribe, v)}
	for range rapid.IntRange(1, 4).Draw(t, "subscriptions") {
		s := packets.Subscription{TopicFilter: genFilter().Draw(t, "filter"), QoS: genQoS(t)}
		if v == packets.V5 {
			s.NoLocal = s.TopicFilter[0] != '$' && rapid.Bool().Draw(t, "no local")
			s.RetainAsPublished = rapid.Bool().Draw(t, "retain as published")
			s.RetainHandling = rapid.ByteMax(2).Draw(t, "retain handling")
		}
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return p
}

func genID(t *rapid.T) uint16 { return rapid.Uint16Min(1).Draw(t, "id") }

func genQoS(t *rapid.T) packets.QoS { return packets.QoS(rapid.ByteMax(2).Draw(t, "qos")) }

// genText draws what may stand in a string, wide characters and a byte order mark included [MQTT-1.5.4-3].
func genText() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.OneOf(
		rapid.RuneFrom([]rune("abc/+#$ \uFEFF\u0001é水𪛔")),
		rapid.Rune().Filter(func(r rune) bool { return r != 0 }),
	), 0, 20, -1)
}

func genTopic() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abc/$ \uFEFFé水𪛔")), 1, 20, -1)
}

func genFilter() *rapid.Generator[string] {
	return genText().Filter(func(s string) bool { return s != "" })
}

func genBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, label)
	if b == nil {
		b = []byte{}
	}
	return b
}

func genReasonCode(t *rapid.T, pt packets.Type, v packets.Version) packets.ReasonCode {
	if v != packets.V5 {
		return packets.Success
	}
	return rapid.SampledFrom(codesOf(pt)).Draw(t, "reason code")
}

func genReasonCodes(t *rapid.T, pt packets.Type, v packets.Version) []packets.ReasonCode {
	codes := []packets.ReasonCode{packets.GrantedQoS0, packets.GrantedQoS1, packets.GrantedQoS2, packets.UnspecifiedError}
	if v == packets.V5 {
		codes = codesOf(pt)
	}
	return rapid.SliceOfN(rapid.SampledFrom(codes), 1, 5).Draw(t, "reason codes")
}

func codesOf(pt packets.Type) (codes []packets.ReasonCode) {
	for c := range 256 {
		if packets.ReasonCode(c).AllowedIn(pt) {
			codes = append(codes, packets.ReasonCode(c))
		}
	}
	return codes
}

// genProperties draws properties that a packet of type pt may have; 0 stands for the Will Properties.
func genProperties(t *rapid.T, pt packets.Type, v packets.Version) (p packets.Properties) {
	if v != packets.V5 || !rapid.Bool().Draw(t, "has properties") {
		return p
	}
	has := func(types ...packets.Type) bool {
		for _, may := range types {
			if may == pt {
				return rapid.Bool().Draw(t, "has property")
			}
		}
		return false
	}
	const will = packets.Type(0)
	boolean := rapid.ByteMax(1)
	genMessageProperties(t, &p, has)
	if has(packets.TypeConnect, packets.TypeConnAck, packets.TypeDisconnect) {
		p.SessionExpiryInterval = packets.Some(rapid.Uint32().Draw(t, "session expiry"))
	}
	if has(packets.TypeConnect, packets.TypeConnAck, packets.TypeAuth) {
		p.AuthenticationMethod = packets.Some(genText().Draw(t, "method"))
		p.AuthenticationData = genBytes(t, "data")
	}
	if has(packets.TypeConnect) {
		p.RequestProblemInformation = packets.Some(boolean.Draw(t, "problem information"))
	}
	if has(packets.TypeConnect) {
		p.RequestResponseInformation = packets.Some(boolean.Draw(t, "response information"))
	}
	if has(will) {
		p.WillDelayInterval = packets.Some(rapid.Uint32().Draw(t, "will delay"))
	}
	if has(packets.TypeConnAck, packets.TypeDisconnect) {
		p.ServerReference = packets.Some(genText().Draw(t, "server reference"))
	}
	if pt != will && pt != packets.TypeConnect && pt != packets.TypePublish && pt != packets.TypeSubscribe &&
		pt != packets.TypeUnsubscribe && rapid.Bool().Draw(t, "has reason string") {
		p.ReasonString = packets.Some(genText().Draw(t, "reason string"))
	}
	if has(packets.TypeConnect, packets.TypeConnAck) {
		p.ReceiveMaximum = packets.Some(rapid.Uint16Min(1).Draw(t, "receive maximum"))
		p.TopicAliasMaximum = packets.Some(rapid.Uint16().Draw(t, "alias maximum"))
	}
	if has(packets.TypeConnect, packets.TypeConnAck) {
		p.MaximumPacketSize = packets.Some(rapid.Uint32Min(1).Draw(t, "packet size"))
	}
	if has(packets.TypeConnAck) {
		p.MaximumQoS = packets.Some(boolean.Draw(t, "maximum QoS"))
		p.RetainAvailable = packets.Some(boolean.Draw(t, "retain available"))
		p.WildcardSubscriptionAvailable = packets.Some(boolean.Draw(t, "wildcards available"))
	}
	if has(packets.TypeConnAck) {
		p.AssignedClientIdentifier = packets.Some(genText().Draw(t, "assigned id"))
		p.ServerKeepAlive = packets.Some(rapid.Uint16().Draw(t, "server keep alive"))
		p.ResponseInformation = packets.Some(genText().Draw(t, "response information"))
		p.SubscriptionIdentifierAvailable = packets.Some(boolean.Draw(t, "identifiers available"))
		p.SharedSubscriptionAvailable = packets.Some(boolean.Draw(t, "shared available"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "user properties") {
		p.UserProperties = append(p.UserProperties,
			packets.UserProperty{Key: genText().Draw(t, "key"), Value: genText().Draw(t, "value")})
	}
	return p
}

// genMessageProperties draws what goes with a message: the properties of PUBLISH and of the Will.
func genMessageProperties(t *rapid.T, p *packets.Properties, has func(...packets.Type) bool) {
	const will = packets.Type(0)
	if has(packets.TypePublish, will) {
		p.PayloadFormatIndicator = packets.Some(rapid.ByteMax(1).Draw(t, "format"))
	}
	if has(packets.TypePublish, will) {
		p.MessageExpiryInterval = packets.Some(rapid.Uint32().Draw(t, "expiry"))
	}
	if has(packets.TypePublish, will) {
		p.ContentType = packets.Some(genText().Draw(t, "content type"))
	}
	if has(packets.TypePublish, will) {
		p.ResponseTopic = packets.Some(genTopic().Draw(t, "response topic"))
	}
	if has(packets.TypePublish, will) {
		p.CorrelationData = genBytes(t, "correlation data")
	}
	if has(packets.TypePublish) {
		p.TopicAlias = packets.Some(rapid.Uint16Min(1).Draw(t, "alias"))
	}
	id := rapid.Uint32Range(1, packets.MaxRemainingLength)
	if has(packets.TypePublish) {
		p.SubscriptionIdentifiers = rapid.SliceOfN(id, 1, 3).Draw(t, "identifiers")
	}
	if has(packets.TypeSubscribe) {
		p.SubscriptionIdentifiers = []uint32{id.Draw(t, "identifier")}
	}
}
