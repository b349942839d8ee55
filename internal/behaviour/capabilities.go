package behaviour

import (
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func capabilityCases() []Case {
	lacking := func(caps shoal.Capabilities) func() []shoal.Option {
		return func() []shoal.Option { return []shoal.Option{shoal.WithAnonymous(), shoal.WithCapabilities(caps)} }
	}
	qos := func(q packets.QoS) func() []shoal.Option {
		return lacking(shoal.Capabilities{MaximumQoS: packets.Some(q)})
	}
	clauses := []string{"MQTT-3.2.2-9", "MQTT-3.2.2-10", "MQTT-3.2.2-11", "MQTT-3.2.2-12", "MQTT-3.8.4-8"}
	return []Case{
		{Name: "capabilities/Maximum QoS 0", Options: qos(0), Clauses: clauses, run: func(c *context) { maximumQoS(c, 0) }},
		{Name: "capabilities/Maximum QoS 1", Options: qos(1), Clauses: clauses, run: func(c *context) { maximumQoS(c, 1) }},
		{Name: "capabilities/nothing retained", Options: lacking(shoal.Capabilities{NoRetain: true}), Clauses: []string{"MQTT-3.2.2-13", "MQTT-3.2.2-14"}, run: noRetain},
		{Name: "capabilities/no topic aliases", Options: lacking(shoal.Capabilities{NoTopicAliases: true}), Clauses: []string{"MQTT-3.2.2-18"}, run: noAliases},
		{
			Name:    "capabilities/no wildcards",
			Options: lacking(shoal.Capabilities{NoWildcardSubscriptions: true}), Clauses: []string{"3.1.1:MQTT-3.8.3-2", "MQTT-3.9.3-2"}, run: noWildcards,
		},
	}
}

func maximumQoS(c *context, limit packets.QoS) {
	sub, ack := c.with(1, &packets.Connect{ClientID: "sub", CleanStart: true})
	require.EqualValues(c, limit, ack.Properties.MaximumQoS.Or(2))
	for asked := range packets.QoS(3) {
		topic := "t/" + string(rune('0'+asked))
		code := sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: topic, QoS: asked}}}).ReasonCodes[0]
		c.code(packets.ReasonCode(min(asked, limit)), code)
		pub := c.v5(0, "pub")
		pub.Publish(limit, topic, "m")
		require.Equal(c, min(asked, limit), sub.ExpectPublish(topic, "m").QoS)
	}
	for _, v := range versions {
		for over := limit + 1; over <= 2; over++ {
			cl := c.connect(2, v, "over")
			cl.Send(&packets.Publish{QoS: over, PacketID: 1, TopicName: "t/0", Payload: []byte("m")})
			cl.ExpectDisconnect(packets.QoSNotSupported)
			mortal := c.dial(2, v)
			mortal.Send(&packets.Connect{ClientID: "mortal", CleanStart: true, Will: &packets.Will{TopicName: "t/0", QoS: over}})
			refusedWith(c, mortal, packets.QoSNotSupported)
		}
		mortal := c.dial(2, v)
		mortal.Connect(&packets.Connect{ClientID: "mortal", CleanStart: true, Will: &packets.Will{TopicName: "t/0", QoS: limit}})
		mortal.Disconnect()
	}
	sub.ExpectQuiet()
}

// refusedWith expects a CONNACK of version 5 with code, and in any version the end.
func refusedWith(c *context, cl *mqtttest.Client, code packets.ReasonCode) {
	c.Helper()
	if cl.Version == packets.V5 {
		c.code(code, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode)
	}
	cl.ExpectClosed()
}

func noRetain(c *context) {
	_, ack := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true})
	require.EqualValues(c, 0, ack.Properties.RetainAvailable.Or(1))
	for _, v := range versions {
		cl := c.connect(1, v, "c")
		cl.Send(&packets.Publish{QoS: 1, PacketID: 1, Retain: true, TopicName: "t", Payload: []byte("m")})
		cl.ExpectDisconnect(packets.RetainNotSupported)
		mortal := c.dial(2, v)
		mortal.Send(&packets.Connect{ClientID: "c", CleanStart: true, Will: &packets.Will{TopicName: "t", Retain: true}})
		refusedWith(c, mortal, packets.RetainNotSupported)
	}
}

func noAliases(c *context) {
	cl, ack := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true})
	require.Zero(c, ack.Properties.TopicAliasMaximum.Or(0))
	cl.Send(&packets.Publish{TopicName: "t", Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	cl.ExpectDisconnect(packets.TopicAliasInvalid)
}

func noWildcards(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c")
		want := packets.WildcardSubscriptionsNotSupported
		if v != packets.V5 {
			want = packets.UnspecifiedError
		}
		ack := cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "a/#"}, {TopicFilter: "+"}, {TopicFilter: "a"}}})
		require.Equal(c, []packets.ReasonCode{want, want, packets.GrantedQoS0}, ack.ReasonCodes)
		cl.Disconnect()
	}
}
