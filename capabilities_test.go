package shoal_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// TestResponseInformationIsToldToWhoAsks holds that only who asks is told [MQTT-3.1.2-28], what the option or an interceptor says.
func TestResponseInformationIsToldToWhoAsks(t *testing.T) {
	var seen string
	b := start(t, shoal.WithResponseInformation(func(c shoal.ClientInfo) string {
		if c.ClientID == "bad" {
			return "\x00"
		}
		return "answers/" + c.ClientID
	}), shoal.WithHook(onConnect(func(e *shoal.ConnectEvent) error {
		if seen = e.ResponseInformation; e.Client.ClientID == "changed" {
			e.ResponseInformation = "elsewhere"
		}
		return nil
	})))
	ask := func(id string, v byte) packets.Optional[string] {
		p := &packets.Connect{ClientID: id, CleanStart: true}
		if v < 2 {
			p.Properties.RequestResponseInformation = packets.Some(v)
		}
		_, ack := connectWith(t, b, p)
		return ack.Properties.ResponseInformation
	}
	require.Equal(t, packets.Some("answers/a"), ask("a", 1))
	require.Equal(t, "answers/a", seen)
	require.Equal(t, packets.Some("elsewhere"), ask("changed", 1))
	for _, v := range []byte{0, 2} {
		require.False(t, ask("a", v).Set)
		require.Empty(t, seen)
		require.False(t, ask("changed", v).Set)
	}
	require.False(t, ask("bad", 1).Set, "what cannot be said is left out; the client is accepted")
	_, ack := connectWith(t, start(t), &packets.Connect{CleanStart: true, Properties: packets.Properties{RequestResponseInformation: packets.Some(byte(1))}})
	require.False(t, ack.Properties.ResponseInformation.Set)
}

// TestServerReferenceSendsClientsElsewhere holds that an embedder can send clients elsewhere: at CONNECT, and when a re-authentication fails.
func TestServerReferenceSendsClientsElsewhere(t *testing.T) {
	a := newTurns()
	var answer error
	b := startWith(t, shoal.WithAuthenticator(a), shoal.WithHook(onConnect(func(*shoal.ConnectEvent) error { return answer })))
	for _, tc := range []struct {
		code packets.ReasonCode
		ref  string
		want packets.Optional[string]
	}{
		{packets.UseAnotherServer, "other.example:1883", packets.Some("other.example:1883")},
		{packets.ServerMoved, "a:1 b:2", packets.Some("a:1 b:2")},
		{packets.UseAnotherServer, "", packets.Optional[string]{}},
		{packets.ServerMoved, "\xff", packets.Optional[string]{}},
		{packets.ServerBusy, "other.example:1883", packets.Optional[string]{}},
	} {
		answer = &shoal.Error{ReasonCode: tc.code, ServerReference: tc.ref, Reason: "moved"}
		cl := dial(t, b, packets.V5)
		ack := cl.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true})
		require.Equal(t, tc.code, ack.ReasonCode)
		require.Equal(t, tc.want, ack.Properties.ServerReference)
		cl.ExpectClosed()
		old := dial(t, b, packets.V311)
		require.Equal(t, packets.ServerUnavailable, old.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true}).ReasonCode)
		old.ExpectClosed()
	}
	answer = nil
	cl := dial(t, b, packets.V5)
	cl.Connect(authConnect("I am ann"))
	cl.Send(auth(packets.ReAuthenticate, "move"))
	d := cl.ExpectDisconnect(packets.ServerMoved)
	require.Equal(t, packets.Some("other.example:1883"), d.Properties.ServerReference)
	require.Equal(t, packets.Some("moved"), d.Properties.ReasonString)
}

// TestRefusedPublishIsAnsweredWithTheReason holds that a refused PUBLISH is answered with the reason, the cached one too, where the client wants it and
// takes it [MQTT-3.1.2-29, MQTT-3.4.2-2, MQTT-3.5.2-2].
func TestRefusedPublishIsAnsweredWithTheReason(t *testing.T) {
	long := strings.Repeat("x", 100)
	b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
		switch r.Topic {
		case "denied":
			return &shoal.Error{ReasonCode: packets.NotAuthorized, Reason: "ask ann"}
		case "bare":
			return errRefused
		}
		return nil
	}}), shoal.WithHook(onPublish(func(e *shoal.PublishEvent) error {
		if e.Message.TopicName == "long" {
			return &shoal.Error{ReasonCode: packets.QuotaExceeded, Reason: long}
		}
		return nil
	})))
	answer := func(p *packets.Connect, topic string, qos packets.QoS) (packets.ReasonCode, string) {
		cl, _ := connectWith(t, b, p)
		var code packets.ReasonCode
		var reason string
		for range 2 {
			id := cl.ID()
			cl.Send(&packets.Publish{TopicName: topic, QoS: qos, PacketID: id})
			var got uint16
			switch a := cl.Next().(type) {
			case *packets.PubAck:
				got, code, reason = a.PacketID, a.ReasonCode, a.Properties.ReasonString.Value
			case *packets.PubRec:
				got, code, reason = a.PacketID, a.ReasonCode, a.Properties.ReasonString.Value
			}
			require.Equal(t, id, got)
		}
		cl.Publish(0, "denied", "") // and nothing of it is left for the next one
		require.Equal(t, packets.NotAuthorized, cl.Publish(1, "bare", ""))
		cl.Send(&packets.Publish{TopicName: "bare", QoS: 1, PacketID: 99})
		require.False(t, mqtttest.Expect[*packets.PubAck](cl).Properties.ReasonString.Set)
		return code, reason
	}
	plain := &packets.Connect{ClientID: "c", CleanStart: true}
	quiet := &packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{RequestProblemInformation: packets.Some(byte(0))}}
	small := &packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{MaximumPacketSize: packets.Some(uint32(60))}}
	for _, tc := range []struct {
		p      *packets.Connect
		topic  string
		code   packets.ReasonCode
		reason string
	}{
		{plain, "denied", packets.NotAuthorized, "ask ann"},
		{plain, "long", packets.QuotaExceeded, long},
		{plain, "bare", packets.NotAuthorized, ""},
		{quiet, "denied", packets.NotAuthorized, ""},
		{small, "denied", packets.NotAuthorized, "ask ann"},
		{small, "long", packets.QuotaExceeded, ""},
	} {
		for qos := packets.QoS(1); qos <= 2; qos++ {
			code, reason := answer(tc.p, tc.topic, qos)
			require.Equal(t, tc.code, code)
			require.Equal(t, tc.reason, reason, tc.topic)
		}
	}
	old := dial(t, b, packets.V311)
	old.Connect(plain)
	require.Equal(t, packets.Success, old.Publish(1, "denied", ""))
}

// TestTopicAliasesCanBeTurnedOff holds that topic aliases can be turned off both ways.
func TestTopicAliasesCanBeTurnedOff(t *testing.T) {
	b := start(t, shoal.WithCapabilities(shoal.Capabilities{NoTopicAliases: true}), shoal.WithLimits(shoal.Limits{TopicAliasMaximum: 7, OutboundTopicAliases: 7}))
	cl, ack := connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{TopicAliasMaximum: packets.Some(uint16(10))}})
	require.Zero(t, ack.Properties.TopicAliasMaximum.Or(0))
	cl.Subscribe(1, "t")
	for range 3 {
		cl.Publish(1, "t", "m")
		require.False(t, cl.ExpectPublish("t", "m").Properties.TopicAlias.Set)
	}
	cl.Send(&packets.Publish{TopicName: "t", Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	cl.ExpectDisconnect(packets.TopicAliasInvalid) // [MQTT-3.2.2-18]
}

// TestCapabilitiesHoldForMQTT3 holds that clients that cannot be told are held to the same.
func TestCapabilitiesHoldForMQTT3(t *testing.T) {
	b := start(t, shoal.WithCapabilities(shoal.Capabilities{
		MaximumQoS: packets.Some(packets.QoS(0)), NoRetain: true, NoWildcardSubscriptions: true, NoSharedSubscriptions: true,
	}))
	for _, v := range []packets.Version{packets.V31, packets.V311} {
		for _, p := range []packets.Packet{&packets.Publish{QoS: 1, PacketID: 1, TopicName: "t"}, &packets.Publish{Retain: true, TopicName: "t"}} {
			cl := dial(t, b, v)
			cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true})
			cl.Send(p)
			cl.ExpectClosed()
		}
		for _, will := range []packets.Will{{TopicName: "t", QoS: 1}, {TopicName: "t", Retain: true}} {
			cl := dial(t, b, v)
			cl.Send(&packets.Connect{ClientID: "c", CleanStart: true, Will: &will})
			cl.ExpectClosed() // no return code says it [3.1.1:MQTT-3.2.2-6]
		}
		cl := dial(t, b, v)
		cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true})
		ack := cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "a", QoS: 2}, {TopicFilter: "#"}, {TopicFilter: "$share/g/a"}}})
		require.Equal(t, []packets.ReasonCode{0, packets.UnspecifiedError, packets.UnspecifiedError}, ack.ReasonCodes)
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "b"}))
		cl.ExpectQuiet()
	}
}

// TestDeliveryPerSubscriptionSendsACopyForEach holds the option: each subscription has its own copy, with its QoS and identifier, no copy where No Local
// forbids it, and offline too (section 3.3.4).
func TestDeliveryPerSubscriptionSendsACopyForEach(t *testing.T) {
	b := start(t, shoal.WithDeliveryPerSubscription())
	sub, _ := connectWith(t, b, lasting("sub", true))
	options := []packets.Subscription{
		{TopicFilter: "a/b", QoS: 2}, {TopicFilter: "a/+", QoS: 1}, {TopicFilter: "a/#"}, {TopicFilter: "#", QoS: 1, NoLocal: true}, {TopicFilter: "other", QoS: 2},
	}
	for i, o := range options {
		sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{o}, Properties: packets.Properties{SubscriptionIdentifiers: []uint32{uint32(i + 1)}}})
	}
	pub := connect(t, b, "pub")
	receive := func(n int) map[uint32]packets.QoS {
		got := make(map[uint32]packets.QoS)
		for range n {
			p := sub.ExpectPublish("a/b", "m")
			require.Len(t, p.Properties.SubscriptionIdentifiers, 1)
			got[p.Properties.SubscriptionIdentifiers[0]] = p.QoS
		}
		sub.ExpectQuiet()
		return got
	}
	pub.Publish(2, "a/b", "m")
	require.Equal(t, map[uint32]packets.QoS{1: 2, 2: 1, 3: 0, 4: 1}, receive(4))
	pub.Publish(0, "a/b", "m")
	require.Equal(t, map[uint32]packets.QoS{1: 0, 2: 0, 3: 0, 4: 0}, receive(4))
	sub.Publish(1, "a/b", "m")
	require.Equal(t, map[uint32]packets.QoS{1: 1, 2: 1, 3: 0}, receive(3))
	sub.Close()
	pub.Publish(2, "a/b", "m")
	sub, _ = connectWith(t, b, lasting("sub", false))
	require.Equal(t, map[uint32]packets.QoS{1: 2, 2: 1, 4: 1}, receive(3))
}

// TestPropertiesComeOutOfTheStoreAsTheyWentIn holds that properties come out of the store as they went in, in order: with retained and queued messages.
func TestPropertiesComeOutOfTheStoreAsTheyWentIn(t *testing.T) {
	props := packets.Properties{
		PayloadFormatIndicator: packets.Some(byte(1)), ContentType: packets.Some("text/plain"), ResponseTopic: packets.Some("r"), CorrelationData: []byte{},
		UserProperties: []packets.UserProperty{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}, {Key: "z", Value: "1"}, {Key: "", Value: ""}, {Key: "a", Value: "0"}},
	}
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "q")
		sub.Close()
		pub := connect(t, b, "pub")
		for qos := packets.QoS(1); qos <= 2; qos++ {
			pub.PublishWith(&packets.Publish{QoS: qos, TopicName: "q", Properties: props})
		}
		pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "r", Payload: []byte("m"), Properties: props})
		will := &packets.Connect{ClientID: "will", CleanStart: true, Will: &packets.Will{TopicName: "w", Payload: []byte("m"), QoS: 1, Retain: true, Properties: props}}
		dying, _ := connectWith(t, b, will)
		dying.Send(&packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage})
		dying.ExpectClosed()
		b = restart()
		sub, _ = connectWith(t, b, lasting("sub", false))
		for range 2 {
			require.Equal(t, props, sub.ExpectPublish("q", "").Properties)
		}
		sub.Subscribe(1, "r", "w")
		require.Equal(t, props, sub.ExpectPublish("r", "m").Properties)
		require.Equal(t, props, sub.ExpectPublish("w", "m").Properties)
	})
}

// TestServerKeepAliveCountsForAllVersions holds that the server's Keep Alive counts in place of the client's [MQTT-3.2.2-21], also for clients of MQTT 3, which
// are not told, and for those that asked for none.
func TestServerKeepAliveCountsForAllVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{KeepAliveMaximum: 10}), shoal.WithHook(onConnect(func(e *shoal.ConnectEvent) error {
			if e.Client.ClientID == "slow" {
				e.KeepAlive = 4
			}
			return nil
		})))
		for _, tc := range []struct {
			id         string
			asked, set uint16
			want       time.Duration
		}{
			{"c", 0, 10, 15 * time.Second},
			{"c", 60_000, 10, 15 * time.Second},
			{"c", 6, 0, 9 * time.Second},
			{"slow", 6, 4, 6 * time.Second},
		} {
			for _, v := range []packets.Version{packets.V5, packets.V311} {
				cl := dial(t, b, v)
				cl.Timeout = time.Minute
				ack := cl.Connect(&packets.Connect{ClientID: tc.id, CleanStart: true, KeepAlive: tc.asked})
				if v == packets.V5 {
					require.Equal(t, tc.set, ack.Properties.ServerKeepAlive.Or(0))
				}
				began := time.Now()
				cl.ExpectDisconnect(packets.KeepAliveTimeout)
				require.Equal(t, tc.want, time.Since(began))
			}
		}
	})
}
