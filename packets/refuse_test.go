package packets_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestAppendRefuses holds that nothing is written which could not be read, and that dst stays as it was.
func TestAppendRefuses(t *testing.T) {
	long := strings.Repeat("x", 65_536)
	type props = packets.Properties
	publish := func(p props) packets.Packet { return &packets.Publish{TopicName: "a", Properties: p} }
	connAck := func(p props) packets.Packet { return &packets.ConnAck{Properties: p} }
	subscribe := func(s packets.Subscription) packets.Packet {
		return &packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{s}}
	}
	for _, c := range []struct {
		name    string
		version packets.Version
		packet  packets.Packet
		code    packets.ReasonCode
		field   string
		clause  string
	}{
		// Strings [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-4.7.3-3].
		{"long topic", packets.V5, &packets.Publish{TopicName: long}, malformedPacket, "Topic Name", "section 1.5.4"},
		{"long topic", packets.V311, &packets.Publish{TopicName: long}, malformedPacket, "Topic Name", "MQTT-1.5.3-1"},
		{"long client identifier", packets.V5, &packets.Connect{ClientID: long}, malformedPacket, "Client Identifier", "section 1.5.4"},
		{"long user name", packets.V5, &packets.Connect{UserName: packets.Some(long)}, malformedPacket, "User Name", "section 1.5.4"},
		{"long password", packets.V5, &packets.Connect{Password: []byte(long)}, malformedPacket, "Password", "section 1.5.4"},
		{"long will payload", packets.V5, &packets.Connect{Will: &packets.Will{TopicName: "a", Payload: []byte(long)}}, malformedPacket, "Will Payload", "section 1.5.4"},
		{"long user property", packets.V5, publish(props{UserProperties: []packets.UserProperty{{Value: long}}}), malformedPacket, "User Property", "section 1.5.4"},
		{"long correlation data", packets.V5, publish(props{CorrelationData: []byte(long)}), malformedPacket, "Correlation Data", "section 1.5.4"},
		{"long filter", packets.V5, subscribe(packets.Subscription{TopicFilter: long}), malformedPacket, "Topic Filter", "section 1.5.4"},
		{"long filter", packets.V5, &packets.Unsubscribe{PacketID: 1, TopicFilters: []string{long}}, malformedPacket, "Topic Filter", "section 1.5.4"},
		{"ill-formed topic", packets.V5, &packets.Publish{TopicName: "\xff"}, malformedPacket, "Topic Name", "MQTT-1.5.4-1"},
		{"U+0000 in content type", packets.V5, publish(props{ContentType: packets.Some("\x00")}), malformedPacket, "Content Type", "MQTT-1.5.4-2"},

		// Sizes.
		{"large PUBLISH", packets.V311, &packets.Publish{TopicName: "a", Payload: make([]byte, packets.MaxRemainingLength-2)}, packets.PacketTooLarge, "Remaining Length", "section 2.1.4"},

		// Properties.
		{"topic alias 0", packets.V5, publish(props{TopicAlias: packets.Some[uint16](0)}), packets.TopicAliasInvalid, "Topic Alias", "MQTT-3.3.2-8"},
		{"property of another packet", packets.V5, publish(props{ServerKeepAlive: packets.Some[uint16](1)}), malformedPacket, "Server Keep Alive", "section 2.2.2.2"},
		{"property of another packet", packets.V5, &packets.PubAck{PacketID: 1, Properties: props{CorrelationData: []byte{}}}, malformedPacket, "Correlation Data", "section 2.2.2.2"},
		{"subscription identifier 0", packets.V5, publish(props{SubscriptionIdentifiers: []uint32{0}}), protocolError, "Subscription Identifier", "section 3.3.2.3"},
		{"subscription identifier too great", packets.V5, publish(props{SubscriptionIdentifiers: []uint32{268_435_456}}), protocolError, "Subscription Identifier", "section 3.3.2.3"},
		{
			"two subscription identifiers", packets.V5, &packets.Subscribe{
				PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "a"}},
				Properties: props{SubscriptionIdentifiers: []uint32{1, 2}},
			}, protocolError, "Subscription Identifier", "section 3.8.2.1",
		},
		{"payload format 2", packets.V5, publish(props{PayloadFormatIndicator: packets.Some[byte](2)}), protocolError, "Payload Format Indicator", "section 3.3.2.3"},
		{"response topic with wildcard", packets.V5, publish(props{ResponseTopic: packets.Some("#")}), protocolError, "Response Topic", "MQTT-3.3.2-14"},
		{"response topic empty", packets.V5, publish(props{ResponseTopic: packets.Some("")}), protocolError, "Response Topic", "MQTT-4.7.3-1"},
		{"receive maximum 0", packets.V5, connAck(props{ReceiveMaximum: packets.Some[uint16](0)}), protocolError, "Receive Maximum", "section 3.2.2.3"},
		{"maximum packet size 0", packets.V5, connAck(props{MaximumPacketSize: packets.Some[uint32](0)}), protocolError, "Maximum Packet Size", "section 3.2.2.3"},
		{"maximum QoS 2", packets.V5, connAck(props{MaximumQoS: packets.Some[byte](2)}), protocolError, "Maximum QoS", "section 3.2.2.3"},
		{"authentication data alone", packets.V5, &packets.Connect{Properties: props{AuthenticationData: []byte{}}}, protocolError, "Authentication Data", "section 3.1.2.11"},

		// CONNECT and CONNACK.
		{"version 6", 6, &packets.Connect{}, packets.UnsupportedProtocolVersion, "Protocol Version", "MQTT-3.1.2-2"},
		{"will QoS 3", packets.V5, &packets.Connect{Will: &packets.Will{TopicName: "a", QoS: 3}}, malformedPacket, "Will QoS", "MQTT-3.1.2-12"},
		{"will QoS 4", packets.V311, &packets.Connect{Will: &packets.Will{TopicName: "a", QoS: 4}}, malformedPacket, "Will QoS", "MQTT-3.1.2-14"},
		{"will topic empty", packets.V5, &packets.Connect{Will: &packets.Will{}}, protocolError, "Will Topic", "MQTT-4.7.3-1"},
		{"will topic with wildcard", packets.V5, &packets.Connect{Will: &packets.Will{TopicName: "+"}}, packets.TopicNameInvalid, "Will Topic", "MQTT-4.7.0-1"},
		{"will property", packets.V5, &packets.Connect{Will: &packets.Will{TopicName: "a", Properties: props{TopicAlias: packets.Some[uint16](1)}}}, malformedPacket, "Will Properties, Topic Alias", "section 2.2.2.2"},
		{"password without user name", packets.V311, &packets.Connect{Password: []byte{}}, malformedPacket, "Password", "MQTT-3.1.2-22"},
		{"session present and refused", packets.V5, &packets.ConnAck{SessionPresent: true, ReasonCode: packets.Banned}, protocolError, "Session Present", "MQTT-3.2.2-6"},
		{"reason code of another packet", packets.V5, &packets.ConnAck{ReasonCode: packets.KeepAliveTimeout}, protocolError, "Reason Code", "MQTT-3.2.2-8"},

		// PUBLISH.
		{"QoS 3", packets.V5, &packets.Publish{TopicName: "a", QoS: 3, PacketID: 1}, malformedPacket, "QoS", "MQTT-3.3.1-4"},
		{"DUP with QoS 0", packets.V5, &packets.Publish{TopicName: "a", Dup: true}, protocolError, "DUP", "MQTT-3.3.1-2"},
		{"identifier with QoS 0", packets.V5, &packets.Publish{TopicName: "a", PacketID: 1}, protocolError, "Packet Identifier", "MQTT-2.2.1-2"},
		{"identifier with QoS 0", packets.V311, &packets.Publish{TopicName: "a", PacketID: 1}, protocolError, "Packet Identifier", "MQTT-2.3.1-5"},
		{"identifier 0", packets.V5, &packets.Publish{TopicName: "a", QoS: 1}, protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
		{"wildcard", packets.V311, &packets.Publish{TopicName: "a/#"}, packets.TopicNameInvalid, "Topic Name", "MQTT-3.3.2-2"},
		{"no topic and no alias", packets.V5, &packets.Publish{}, protocolError, "Topic Name", "section 3.3.2.1"},
		{"alias alone in MQTT 3", packets.V311, &packets.Publish{Properties: props{TopicAlias: packets.Some[uint16](1)}}, protocolError, "Topic Name", "MQTT-4.7.0-1"},

		// The others.
		{"PUBACK identifier 0", packets.V5, &packets.PubAck{}, protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
		{"PUBREC identifier 0", packets.V311, &packets.PubRec{}, protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
		{"PUBREL code", packets.V5, &packets.PubRel{PacketID: 1, ReasonCode: packets.UnspecifiedError}, protocolError, "Reason Code", "MQTT-3.6.2-1"},
		{"PUBCOMP code", packets.V5, &packets.PubComp{PacketID: 1, ReasonCode: packets.UnspecifiedError}, protocolError, "Reason Code", "MQTT-3.7.2-1"},
		{"SUBSCRIBE identifier 0", packets.V5, &packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "a"}}}, protocolError, "Packet Identifier", "MQTT-2.2.1-3"},
		{"SUBSCRIBE without filters", packets.V5, &packets.Subscribe{PacketID: 1}, protocolError, "Topic Filter", "MQTT-3.8.3-2"},
		{"filter empty", packets.V5, subscribe(packets.Subscription{}), protocolError, "Topic Filter", "MQTT-4.7.3-1"},
		{"maximum QoS 3", packets.V5, subscribe(packets.Subscription{TopicFilter: "a", QoS: 3}), protocolError, "Maximum QoS", "section 3.8.3.1"},
		{"retain handling 3", packets.V5, subscribe(packets.Subscription{TopicFilter: "a", RetainHandling: 3}), protocolError, "Retain Handling", "section 3.8.3.1"},
		{"no local and shared", packets.V5, subscribe(packets.Subscription{TopicFilter: "$share/g/a", NoLocal: true}), protocolError, "No Local", "MQTT-3.8.3-4"},
		{"no local in MQTT 3", packets.V311, subscribe(packets.Subscription{TopicFilter: "a", NoLocal: true}), protocolError, "Subscription Options", "MQTT-3.8.3-4"},
		{"SUBACK without codes", packets.V5, &packets.SubAck{PacketID: 1}, protocolError, "Reason Code", "MQTT-3.8.4-6"},
		{"SUBACK code", packets.V311, &packets.SubAck{PacketID: 1, ReasonCodes: []packets.ReasonCode{3}}, protocolError, "Return Code", "section 3.9.3 of 3.1.1"},
		{"UNSUBSCRIBE without filters", packets.V311, &packets.Unsubscribe{PacketID: 1}, protocolError, "Topic Filter", "MQTT-3.10.3-2"},
		{"filter empty", packets.V311, &packets.Unsubscribe{PacketID: 1, TopicFilters: []string{""}}, protocolError, "Topic Filter", "MQTT-4.7.0-1"},
		{"UNSUBACK identifier 0", packets.V311, &packets.UnsubAck{}, protocolError, "Packet Identifier", "MQTT-2.3.1-1"},
		{"UNSUBACK without codes", packets.V5, &packets.UnsubAck{PacketID: 1}, protocolError, "Reason Code", "MQTT-3.11.3-2"},
		{"DISCONNECT code", packets.V5, &packets.Disconnect{ReasonCode: packets.Banned}, protocolError, "Reason Code", "MQTT-3.14.2-1"},
		{"AUTH before MQTT 5", packets.V311, &packets.Auth{}, protocolError, "Packet Type", "section 2.1.2"},
		{"AUTH without method", packets.V5, &packets.Auth{ReasonCode: packets.ReAuthenticate}, protocolError, "Authentication Method", "section 3.15.2.2"},
	} {
		t.Run(c.version.String()+" "+c.packet.Type().String()+" "+c.name, func(t *testing.T) {
			dst := []byte("before")
			b, err := packets.Append(dst, c.packet, c.version)
			var typed *packets.Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, dst, b)
			require.Equal(t, c.packet.Type(), typed.Packet)
			require.Equal(t, c.code.String(), typed.Code.String(), err)
			require.Equal(t, c.field, typed.Field, err)
			require.Equal(t, c.clause, typed.Clause, err)
		})
	}
}

// TestAppendLargest is the other side of the limit, without copying the payload.
func TestAppendLargest(t *testing.T) {
	p := packets.Publish{TopicName: "a", Payload: make([]byte, packets.MaxRemainingLength-3)}
	b, err := p.AppendHeader(nil, packets.V311)
	require.NoError(t, err)
	h, err := packets.ParseFixedHeader(b)
	require.NoError(t, err)
	require.Equal(t, packets.FixedHeader{Type: packets.TypePublish, Remaining: packets.MaxRemainingLength, Size: 5}, h)
	require.Equal(t, 5+packets.MaxRemainingLength, p.Size(packets.V311))
}

// TestAppendOlder holds what older versions have no place for and what is written instead.
func TestAppendOlder(t *testing.T) {
	props := packets.Properties{UserProperties: []packets.UserProperty{{Key: "k", Value: "v"}}}
	for _, c := range []struct {
		name   string
		packet packets.Packet
		hex    string
	}{
		{"CONNACK maps its code", &packets.ConnAck{ReasonCode: packets.QuotaExceeded, Properties: props}, "20 02 00 03"},
		{"PUBLISH drops properties", &packets.Publish{TopicName: "a", Properties: props}, "30 03 0001 61"},
		{"PUBACK drops its code", &packets.PubAck{PacketID: 1, ReasonCode: packets.NotAuthorized, Properties: props}, "40 02 0001"},
		{"SUBACK knows one failure", &packets.SubAck{PacketID: 1, ReasonCodes: []packets.ReasonCode{1, packets.NotAuthorized}}, "90 04 0001 01 80"},
		{"UNSUBACK drops its codes", &packets.UnsubAck{PacketID: 1, ReasonCodes: []packets.ReasonCode{packets.NotAuthorized}}, "B0 02 0001"},
		{"DISCONNECT drops its code", &packets.Disconnect{ReasonCode: packets.ServerBusy, Properties: props}, "E0 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, v := range []packets.Version{packets.V31, packets.V311} {
				b, err := c.packet.Append(nil, v)
				require.NoError(t, err)
				require.Equal(t, unhex(t, c.hex), b)
			}
		})
	}
}
