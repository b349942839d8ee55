package packets_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// golden is a packet whose bytes, written by hand from the specification, are in testdata/golden/name.hex.
type golden struct {
	name    string
	version packets.Version
	packet  packets.Packet
}

// unhex reads hexadecimal digits with blanks; what stands behind a # is a comment.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	return b
}

func (g golden) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden", g.name+".hex"))
	require.NoError(t, err)
	return unhex(t, string(b))
}

func TestGolden(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			b := g.bytes(t)
			p, err := decode(b, g.version)
			require.NoError(t, err)
			require.Equal(t, g.packet, p)
			again, err := g.packet.Append(nil, g.version)
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(b), hex.EncodeToString(again))
		})
	}
}

// TestGoldenComplete holds that every file is used and every packet type is there in every version.
func TestGoldenComplete(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.hex"))
	require.NoError(t, err)
	require.Len(t, goldens, len(files))
	type key struct {
		packets.Type
		packets.Version
	}
	seen := map[key]bool{}
	for _, g := range goldens {
		seen[key{g.packet.Type(), g.version}] = true
	}
	for pt := packets.TypeConnect; pt <= packets.TypeAuth; pt++ {
		for _, v := range versions {
			if pt != packets.TypeAuth || v == packets.V5 {
				require.True(t, seen[key{pt, v}], "%v in %v", pt, v)
			}
		}
	}
}

var goldens = []golden{
	// The variable header is the example of section 3.1.2 of 3.1.1, with a payload that fits its flags.
	{"connect_311_example", packets.V311, &packets.Connect{
		ProtocolVersion: packets.V311, CleanStart: true, KeepAlive: 10, ClientID: "c",
		Will:     &packets.Will{TopicName: "w", Payload: []byte("bye"), QoS: 1},
		UserName: packets.Some("user"), Password: []byte("pw"),
	}},
	{"connect_311_minimal", packets.V311, &packets.Connect{ProtocolVersion: packets.V311, CleanStart: true}},
	{"connect_31", packets.V31, &packets.Connect{
		ProtocolVersion: packets.V31, CleanStart: true, KeepAlive: 60, ClientID: "old",
	}},
	// The variable header is the example of section 3.1.2.12 of 5.0.
	{"connect_5_example", packets.V5, &packets.Connect{
		ProtocolVersion: packets.V5, CleanStart: true, KeepAlive: 10, ClientID: "c",
		Will:       &packets.Will{TopicName: "w", Payload: []byte{}, QoS: 1},
		UserName:   packets.Some("u"),
		Password:   []byte{},
		Properties: packets.Properties{SessionExpiryInterval: packets.Some[uint32](10)},
	}},
	{"connect_5_all_properties", packets.V5, &packets.Connect{
		ProtocolVersion: packets.V5, ClientID: "c", Password: []byte("token"), // no User Name: MQTT 5 allows it
		Will: &packets.Will{
			TopicName: "w", Payload: []byte("x"), QoS: 2, Retain: true,
			Properties: packets.Properties{
				PayloadFormatIndicator: packets.Some[byte](1),
				MessageExpiryInterval:  packets.Some[uint32](2),
				ContentType:            packets.Some("t"),
				ResponseTopic:          packets.Some("r"),
				CorrelationData:        []byte{9},
				WillDelayInterval:      packets.Some[uint32](5),
				UserProperties:         []packets.UserProperty{{Key: "k", Value: "v"}},
			},
		},
		Properties: packets.Properties{
			SessionExpiryInterval:      packets.Some[uint32](0xFFFFFFFF),
			AuthenticationMethod:       packets.Some("m"),
			AuthenticationData:         []byte{},
			RequestProblemInformation:  packets.Some[byte](0),
			RequestResponseInformation: packets.Some[byte](1),
			ReceiveMaximum:             packets.Some[uint16](20),
			TopicAliasMaximum:          packets.Some[uint16](0),
			UserProperties:             []packets.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "1"}},
			MaximumPacketSize:          packets.Some[uint32](1024),
		},
	}},
	{"connack_31", packets.V31, &packets.ConnAck{}},
	{"connack_311", packets.V311, &packets.ConnAck{SessionPresent: true}},
	{"connack_311_not_authorized", packets.V311, &packets.ConnAck{ReasonCode: packets.NotAuthorized}},
	{"connack_5", packets.V5, &packets.ConnAck{SessionPresent: true}},
	{"connack_5_all_properties", packets.V5, &packets.ConnAck{
		ReasonCode: packets.UseAnotherServer,
		Properties: packets.Properties{
			SessionExpiryInterval:           packets.Some[uint32](1),
			AssignedClientIdentifier:        packets.Some("id"),
			ServerKeepAlive:                 packets.Some[uint16](30),
			AuthenticationMethod:            packets.Some("m"),
			AuthenticationData:              []byte{1, 2},
			ResponseInformation:             packets.Some("ri"),
			ServerReference:                 packets.Some("h:1"),
			ReasonString:                    packets.Some("why"),
			ReceiveMaximum:                  packets.Some[uint16](65535),
			TopicAliasMaximum:               packets.Some[uint16](10),
			MaximumQoS:                      packets.Some[byte](1),
			RetainAvailable:                 packets.Some[byte](1),
			UserProperties:                  []packets.UserProperty{{}},
			MaximumPacketSize:               packets.Some[uint32](1),
			WildcardSubscriptionAvailable:   packets.Some[byte](0),
			SubscriptionIdentifierAvailable: packets.Some[byte](1),
			SharedSubscriptionAvailable:     packets.Some[byte](0),
		},
	}},
	{"publish_31", packets.V31, &packets.Publish{TopicName: "a/b", Payload: []byte("hi")}},
	// Topic Name and Packet Identifier are the example of section 3.3.2 of 3.1.1.
	{"publish_311_example", packets.V311, &packets.Publish{
		QoS: 1, TopicName: "a/b", PacketID: 10, Payload: []byte{},
	}},
	{"publish_311_all_flags", packets.V311, &packets.Publish{
		Dup: true, QoS: 2, Retain: true, TopicName: "A𪛔", PacketID: 0xFFFE, Payload: []byte{0},
	}},
	// The variable header is the example of section 3.3.2.4 of 5.0.
	{"publish_5_example", packets.V5, &packets.Publish{
		QoS: 1, TopicName: "a/b", PacketID: 10, Payload: []byte{},
	}},
	{"publish_5_all_properties", packets.V5, &packets.Publish{
		QoS: 2, PacketID: 1, Payload: []byte("x"),
		Properties: packets.Properties{
			PayloadFormatIndicator:  packets.Some[byte](0),
			MessageExpiryInterval:   packets.Some[uint32](3600),
			ContentType:             packets.Some(""),
			ResponseTopic:           packets.Some("r/1"),
			CorrelationData:         []byte{},
			SubscriptionIdentifiers: []uint32{127, 128, 268_435_455},
			TopicAlias:              packets.Some[uint16](7),
			UserProperties:          []packets.UserProperty{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}},
		},
	}},
	{"puback_31", packets.V31, &packets.PubAck{PacketID: 1}},
	{"puback_311", packets.V311, &packets.PubAck{PacketID: 1}},
	{"puback_5", packets.V5, &packets.PubAck{PacketID: 1}},
	{"puback_5_code", packets.V5, &packets.PubAck{PacketID: 1, ReasonCode: packets.NoMatchingSubscribers}},
	{"puback_5_properties", packets.V5, &packets.PubAck{
		PacketID: 1, ReasonCode: packets.QuotaExceeded, Properties: packets.Properties{ReasonString: packets.Some("full")},
	}},
	{"pubrec_31", packets.V31, &packets.PubRec{PacketID: 2}},
	{"pubrec_311", packets.V311, &packets.PubRec{PacketID: 2}},
	{"pubrec_5", packets.V5, &packets.PubRec{PacketID: 2, ReasonCode: packets.PacketIdentifierInUse}},
	{"pubrel_31", packets.V31, &packets.PubRel{PacketID: 3}},
	{"pubrel_311", packets.V311, &packets.PubRel{PacketID: 3}},
	{"pubrel_5", packets.V5, &packets.PubRel{PacketID: 3, ReasonCode: packets.PacketIdentifierNotFound}},
	{"pubrel_5_properties", packets.V5, &packets.PubRel{
		PacketID: 3, Properties: packets.Properties{UserProperties: []packets.UserProperty{{Key: "k"}}},
	}},
	{"pubcomp_31", packets.V31, &packets.PubComp{PacketID: 4}},
	{"pubcomp_311", packets.V311, &packets.PubComp{PacketID: 4}},
	{"pubcomp_5", packets.V5, &packets.PubComp{PacketID: 4, ReasonCode: packets.PacketIdentifierNotFound}},
	{"subscribe_31", packets.V31, &packets.Subscribe{
		PacketID: 10, Subscriptions: []packets.Subscription{{TopicFilter: "#"}},
	}},
	// The payload is the example of section 3.8.3 of 3.1.1.
	{"subscribe_311_example", packets.V311, &packets.Subscribe{
		PacketID: 10, Subscriptions: []packets.Subscription{{TopicFilter: "a/b", QoS: 1}, {TopicFilter: "c/d", QoS: 2}},
	}},
	// The payload is the example of section 3.8.3 of 5.0.
	{"subscribe_5_example", packets.V5, &packets.Subscribe{
		PacketID: 10, Subscriptions: []packets.Subscription{{TopicFilter: "a/b", QoS: 1}, {TopicFilter: "c/d", QoS: 2}},
	}},
	{"subscribe_5_all_options", packets.V5, &packets.Subscribe{
		PacketID: 10, Subscriptions: []packets.Subscription{
			{TopicFilter: "a", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
		},
		Properties: packets.Properties{
			SubscriptionIdentifiers: []uint32{16_384},
			UserProperties:          []packets.UserProperty{{Key: "k", Value: "v"}},
		},
	}},
	{"suback_31", packets.V31, &packets.SubAck{PacketID: 10, ReasonCodes: []packets.ReasonCode{packets.GrantedQoS1}}},
	// The payload is the example of section 3.9.3 of 3.1.1.
	{"suback_311_example", packets.V311, &packets.SubAck{
		PacketID:    10,
		ReasonCodes: []packets.ReasonCode{packets.GrantedQoS0, packets.GrantedQoS2, packets.UnspecifiedError},
	}},
	{"suback_5", packets.V5, &packets.SubAck{
		PacketID:    10,
		ReasonCodes: []packets.ReasonCode{packets.GrantedQoS1, packets.SharedSubscriptionsNotSupported},
		Properties:  packets.Properties{ReasonString: packets.Some("no")},
	}},
	{"unsubscribe_31", packets.V31, &packets.Unsubscribe{PacketID: 10, TopicFilters: []string{"#"}}},
	// The payload is the example of section 3.10.3 of 3.1.1 and 5.0.
	{"unsubscribe_311_example", packets.V311, &packets.Unsubscribe{PacketID: 10, TopicFilters: []string{"a/b", "c/d"}}},
	{"unsubscribe_5_example", packets.V5, &packets.Unsubscribe{PacketID: 10, TopicFilters: []string{"a/b", "c/d"}}},
	{"unsuback_31", packets.V31, &packets.UnsubAck{PacketID: 10}},
	{"unsuback_311", packets.V311, &packets.UnsubAck{PacketID: 10}},
	{"unsuback_5", packets.V5, &packets.UnsubAck{
		PacketID: 10, ReasonCodes: []packets.ReasonCode{packets.Success, packets.NoSubscriptionExisted},
	}},
	{"pingreq_31", packets.V31, &packets.PingReq{}},
	{"pingreq_311", packets.V311, &packets.PingReq{}},
	{"pingreq_5", packets.V5, &packets.PingReq{}},
	{"pingresp_31", packets.V31, &packets.PingResp{}},
	{"pingresp_311", packets.V311, &packets.PingResp{}},
	{"pingresp_5", packets.V5, &packets.PingResp{}},
	{"disconnect_31", packets.V31, &packets.Disconnect{}},
	{"disconnect_311", packets.V311, &packets.Disconnect{}},
	{"disconnect_5", packets.V5, &packets.Disconnect{}},
	{"disconnect_5_code", packets.V5, &packets.Disconnect{ReasonCode: packets.SessionTakenOver}},
	{"disconnect_5_all_properties", packets.V5, &packets.Disconnect{
		ReasonCode: packets.ServerMoved,
		Properties: packets.Properties{
			SessionExpiryInterval: packets.Some[uint32](0),
			ServerReference:       packets.Some("b"),
			ReasonString:          packets.Some("c"),
			UserProperties:        []packets.UserProperty{{Key: "k", Value: "v"}},
		},
	}},
	{"auth_5", packets.V5, &packets.Auth{}},
	{"auth_5_properties", packets.V5, &packets.Auth{
		ReasonCode: packets.ContinueAuthentication,
		Properties: packets.Properties{
			AuthenticationMethod: packets.Some("m"), AuthenticationData: []byte{1}, ReasonString: packets.Some("r"),
		},
	}},
}
