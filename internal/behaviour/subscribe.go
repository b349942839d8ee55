package behaviour

import (
	"strconv"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func subscribeCases() []Case {
	return []Case{
		{Name: "subscribe/wildcards", Clauses: []string{"MQTT-3.3.2-3", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4"}, run: wildcards},
		{Name: "subscribe/topics that begin with $", Clauses: []string{"MQTT-4.7.2-1"}, run: dollarTopics},
		{Name: "subscribe/invalid filters", Clauses: []string{"MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-2", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.8.2-1", "MQTT-4.8.2-2"}, run: invalidFilters},
		{Name: "subscribe/no local", Clauses: []string{"MQTT-3.8.3-3"}, run: noLocal},
		{Name: "subscribe/overlapping, once with the highest QoS", Clauses: []string{"MQTT-3.3.4-2", "3.1.1:MQTT-3.3.5-1"}, run: overlapping},
		{Name: "subscribe/overlapping with several identifiers", Clauses: []string{"MQTT-3.3.4-3", "MQTT-3.3.4-4"}, run: overlappingIDs},
		{Name: "subscribe/overlapping among many sessions", Clauses: []string{"MQTT-3.3.4-2"}, run: overlappingMany},
		{Name: "subscribe/replaced", Clauses: []string{"MQTT-3.8.4-3"}, run: subscribeReplaced},
		{Name: "subscribe/replaced while messages flow", Clauses: []string{"MQTT-3.8.4-3", "MQTT-3.8.4-4"}, run: replacedInFlow},
		{Name: "subscribe/several filters in one packet", Clauses: []string{"MQTT-2.2.1-6", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1"}, run: severalFilters},
		{Name: "subscribe/barrier", run: subscribeBarrier},
		{Name: "subscribe/unsubscribe", Clauses: []string{"MQTT-2.2.1-6", "MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2"}, run: unsubscribe},
		{Name: "subscribe/unsubscribe leaves what is under way", Clauses: []string{"MQTT-3.10.4-3"}, run: unsubscribeInFlight},
		{Name: "subscribe/the same client publishes", run: toItself},
	}
}

func wildcards(c *context) {
	pub := c.v5(0, "pub")
	for i, w := range []struct {
		filter  string
		yes, no []string
	}{
		{"a/+/c", []string{"a/b/c", "a//c"}, []string{"a/c", "a/b/b/c", "a/b/c/d", "A/b/c"}},
		{"a/#", []string{"a", "a/", "a/b", "a/b/c"}, []string{"ab", "b/a", "/a"}},
		{"+", []string{"a"}, []string{"a/b", "/a"}},
		{"/+", []string{"/a", "/"}, []string{"a", "/a/b"}},
		{"+/+", []string{"/a", "a/b", "/"}, []string{"a", "a/b/c"}},
		{"#", []string{"a", "/", "a/b/c"}, nil},
		{"a/b", []string{"a/b"}, []string{"a", "a/b/", "a/b/c", "a/B"}},
		{"ü/+", []string{"ü/ß"}, []string{"u/ß"}},
	} {
		sub := c.v5(i+1, "sub")
		sub.Subscribe(1, w.filter)
		for _, topic := range w.no {
			pub.Publish(1, topic, "no")
		}
		for _, topic := range w.yes {
			pub.Publish(1, topic, "yes")
			sub.ExpectPublish(topic, "yes")
		}
		sub.ExpectQuiet()
		sub.Disconnect()
	}
}

func dollarTopics(c *context) {
	all, own := c.v5(1, "all"), c.v5(2, "own")
	all.Subscribe(1, "#", "+/x")
	own.Subscribe(1, "$mine/#")
	pub := c.v5(0, "pub")
	pub.Publish(1, "$mine/x", "m")
	own.ExpectPublish("$mine/x", "m")
	all.ExpectQuiet()
}

func invalidFilters(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c")
		filters := []string{"a/#/b", "a#", "a+/b", "good", "$share//t", "$share/a+b/t", "$share/g"}
		p := new(packets.Subscribe)
		for _, f := range filters {
			p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f, QoS: 1})
		}
		ack := cl.SubscribeWith(p)
		for i, code := range ack.ReasonCodes {
			switch {
			case filters[i] == "good":
				c.code(packets.GrantedQoS1, code)
			case v == packets.V5:
				c.code(packets.TopicFilterInvalid, code)
			default:
				c.code(packets.UnspecifiedError, code)
			}
		}
	}
}

func noLocal(c *context) {
	cl, other := c.v5(0, "c"), c.v5(1, "other")
	code := cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 2, NoLocal: true}}}).ReasonCodes[0]
	c.code(packets.GrantedQoS2, code)
	for qos := range packets.QoS(3) {
		cl.Publish(qos, "t", "own")
	}
	cl.ExpectQuiet()
	other.Publish(2, "t", "foreign")
	cl.ExpectPublish("t", "foreign")
	// Together with another subscription of the same client only that one matches.
	cl.SubscribeWith(&packets.Subscribe{
		Subscriptions: []packets.Subscription{{TopicFilter: "+", QoS: 1}},
		Properties:    packets.Properties{SubscriptionIdentifiers: []uint32{9}},
	})
	cl.Publish(2, "t", "own")
	p := cl.ExpectPublish("t", "own")
	require.Equal(c, []uint32{9}, p.Properties.SubscriptionIdentifiers)
	require.EqualValues(c, 1, p.QoS)
	cl.ExpectQuiet()
}

func overlapping(c *context) {
	for i, v := range versions {
		sub := c.connect(i+1, v, "sub")
		sub.Subscribe(0, "a/#")
		sub.Subscribe(2, "a/+")
		sub.Subscribe(1, "a/b")
		pub := c.v5(0, "pub")
		for qos := range packets.QoS(3) {
			pub.Publish(qos, "a/b", "m")
			require.Equal(c, qos, sub.ExpectPublish("a/b", "m").QoS)
		}
		pub.Publish(2, "a/b/c", "m")
		require.EqualValues(c, 0, sub.ExpectPublish("a/b/c", "m").QoS)
		sub.ExpectQuiet()
	}
}

func overlappingIDs(c *context) {
	sub := c.v5(1, "sub")
	for i, f := range []string{"a/#", "a/+", "a/b", "c"} {
		sub.SubscribeWith(&packets.Subscribe{
			Subscriptions: []packets.Subscription{{TopicFilter: f, QoS: packets.QoS(i % 3)}},
			Properties:    packets.Properties{SubscriptionIdentifiers: []uint32{uint32(i + 1)}},
		})
	}
	sub.Subscribe(1, "#") // without an identifier
	pub := c.v5(0, "pub")
	pub.Publish(2, "a/b", "m")
	p := sub.ExpectPublish("a/b", "m")
	require.ElementsMatch(c, []uint32{1, 2, 3}, p.Properties.SubscriptionIdentifiers)
	require.EqualValues(c, 2, p.QoS)
	pub.Publish(0, "a/x", "m")
	require.ElementsMatch(c, []uint32{1, 2}, sub.ExpectPublish("a/x", "m").Properties.SubscriptionIdentifiers)
	pub.Publish(0, "z", "m")
	require.Empty(c, sub.ExpectPublish("z", "m").Properties.SubscriptionIdentifiers)
	pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "c", Payload: []byte("r")})
	require.Equal(c, []uint32{4}, sub.ExpectPublish("c", "r").Properties.SubscriptionIdentifiers)
	sub.SubscribeWith(&packets.Subscribe{
		Subscriptions: []packets.Subscription{{TopicFilter: "c"}}, Properties: packets.Properties{SubscriptionIdentifiers: []uint32{268_435_455}},
	})
	require.Equal(c, []uint32{268_435_455}, sub.ExpectPublish("c", "r").Properties.SubscriptionIdentifiers)
	sub.ExpectQuiet()
}

func overlappingMany(c *context) {
	const n = 12
	var subs []*mqtttest.Client
	for i := range n {
		sub := c.v5(i, "sub"+strconv.Itoa(i))
		subs = append(subs, sub)
	}
	for _, f := range []string{"a/#", "a/+", "a/b", "#"} { // so that sessions and filters interleave
		for _, sub := range subs {
			sub.Subscribe(1, f)
		}
	}
	pub := c.v5(0, "pub")
	for range 3 {
		pub.Publish(1, "a/b", "m")
	}
	for _, sub := range subs {
		for range 3 {
			sub.ExpectPublish("a/b", "m")
		}
		sub.ExpectQuiet()
	}
}

func subscribeReplaced(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(0, "t")
	sub.SubscribeWith(&packets.Subscribe{
		Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}}, Properties: packets.Properties{SubscriptionIdentifiers: []uint32{5}},
	})
	pub := c.v5(0, "pub")
	pub.Publish(2, "t", "m")
	p := sub.ExpectPublish("t", "m")
	require.EqualValues(c, 1, p.QoS)
	require.Equal(c, []uint32{5}, p.Properties.SubscriptionIdentifiers)
	sub.ExpectQuiet()
	c.code(packets.Success, sub.Unsubscribe("t")[0])
	pub.Publish(1, "t", "m")
	sub.ExpectQuiet()
}

// replacedInFlow replaces a subscription again and again while messages come in: none is lost, none comes twice.
func replacedInFlow(c *context) {
	sub, pub := c.v5(1, "sub"), c.v5(0, "pub")
	sub.Subscribe(1, "t")
	var sent []*packets.Publish
	for _, payload := range numbers(100) {
		p := &packets.Publish{QoS: 1, TopicName: "t", Payload: []byte(payload)}
		pub.PublishAsync(p)
		sent = append(sent, p)
		sub.Send(&packets.Subscribe{PacketID: sub.ID(), Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}}})
	}
	settle(c, pub, sent)
	for range 100 {
		sub.Expect(packets.TypeSubAck)
	}
	for _, payload := range numbers(100) {
		sub.ExpectPublish("t", payload)
	}
	sub.ExpectQuiet()
}

func severalFilters(c *context) {
	sub := c.v5(1, "sub")
	p := new(packets.Subscribe)
	for i := range 300 {
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: "t/" + strconv.Itoa(i), QoS: packets.QoS(i % 3)})
	}
	for i, code := range sub.SubscribeWith(p).ReasonCodes {
		c.code(packets.ReasonCode(i%3), code)
	}
	pub := c.v5(0, "pub")
	for i := range 300 {
		topic := "t/" + strconv.Itoa(i)
		pub.Publish(2, topic, "m")
		require.EqualValues(c, i%3, sub.ExpectPublish(topic, "m").QoS)
	}
}

func subscribeBarrier(c *context) {
	pub := c.v5(0, "pub")
	for i := range 30 {
		sub := c.v5(1+i, "sub")
		topic := "t/" + strconv.Itoa(i)
		sub.Subscribe(1, topic)
		c.code(packets.Success, pub.Publish(1, topic, "m"))
		sub.ExpectPublish(topic, "m")
		sub.Disconnect()
	}
}

func unsubscribe(c *context) {
	sub, other, pub := c.v5(1, "sub"), c.v5(2, "other"), c.v5(0, "pub")
	sub.Subscribe(1, "a", "b", "$share/g/c", "d/+")
	other.Subscribe(1, "a")
	require.Equal(c, []packets.ReasonCode{
		packets.Success, packets.NoSubscriptionExisted, packets.TopicFilterInvalid, packets.NoSubscriptionExisted, packets.Success,
	}, sub.Unsubscribe("a", "a", "#/x", "d/#", "$share/g/c"))
	for _, topic := range []string{"a", "b", "c", "d/e"} {
		pub.Publish(1, topic, "m")
	}
	sub.ExpectPublish("b", "m")
	sub.ExpectPublish("d/e", "m")
	sub.ExpectQuiet()
	other.ExpectPublish("a", "m")
	old := c.connect(1, packets.V311, "old")
	old.Subscribe(1, "a")
	old.Unsubscribe("a", "nothing")
	pub.Publish(1, "a", "m")
	old.ExpectQuiet()
}

func unsubscribeInFlight(c *context) {
	sub := c.v5(1, "sub")
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	pub.Publish(2, "t", "m")
	p := sub.ExpectPublish("t", "m")
	sub.Unsubscribe("t")
	sub.Send(&packets.PubRec{PacketID: p.PacketID})
	require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubRel](sub).PacketID)
	sub.Send(&packets.PubComp{PacketID: p.PacketID})
	sub.ExpectQuiet()
}

func toItself(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c"+v.String())
		cl.Subscribe(2, "own")
		for qos := range packets.QoS(3) {
			cl.Publish(qos, "own", "m")
			require.Equal(c, qos, cl.ExpectPublish("own", "m").QoS)
		}
		cl.Disconnect()
	}
}
