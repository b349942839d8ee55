package behaviour

import (
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func retainedCases() []Case {
	return []Case{
		{Name: "retained/set, replace, clear", Clauses: []string{"MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7", "MQTT-3.3.1-8", "MQTT-3.3.1-12"}, run: retainedLife},
		{Name: "retained/QoS", Clauses: []string{"MQTT-3.3.1-5"}, run: retainedQoS},
		{Name: "retained/retain as published", Clauses: []string{"MQTT-3.3.1-12", "MQTT-3.3.1-13"}, run: retainAsPublished},
		{Name: "retained/retain handling", Clauses: []string{"MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11"}, run: retainHandling},
		{Name: "retained/subscribing again", Clauses: []string{"MQTT-3.8.4-4", "3.1.1:MQTT-3.8.4-3"}, run: retainedAgain},
		{Name: "retained/not for shared subscriptions", run: retainedShared},
		{Name: "retained/wildcards", run: retainedWildcards},
		{Name: "retained/expiry", Clauses: []string{"MQTT-3.3.2-5", "MQTT-3.3.2-6"}, Timed: true, run: retainedExpiry},
		{Name: "retained/thousands to a client that reads late", run: retainedThousands},
		{Name: "retained/every node answers alike", run: retainedAlike},
		{Name: "retained/no local", Clauses: []string{"MQTT-3.8.3-3"}, run: retainedNoLocal},
	}
}

func retain(cl *mqtttest.Client, topic, payload string) {
	cl.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: topic, Payload: []byte(payload)})
}

func retainedLife(c *context) {
	pub := c.v5(0, "pub")
	live := c.v5(1, "live")
	live.Subscribe(1, "t")
	i := 0
	late := func(want string) {
		c.Helper()
		i++
		cl := c.connect(i, versions[i%3], "late")
		cl.Subscribe(1, "t")
		if want != "" {
			require.True(c, cl.ExpectPublish("t", want).Retain)
		}
		cl.ExpectQuiet()
		cl.Disconnect()
	}
	late("")
	retain(pub, "t", "one")
	require.False(c, live.ExpectPublish("t", "one").Retain)
	late("one")
	late("one")
	late("one")
	retain(pub, "t", "two")
	live.ExpectPublish("t", "two")
	late("two")
	pub.Publish(1, "t", "passing") // not retained, changes nothing
	live.ExpectPublish("t", "passing")
	late("two")
	retain(pub, "t", "")
	require.False(c, live.ExpectPublish("t", "").Retain)
	late("")
	retain(pub, "t", "") // clearing nothing is fine
	live.ExpectPublish("t", "")
	late("")
	retain(pub, "t", "three")
	late("three")
}

func retainedQoS(c *context) {
	pub := c.v5(0, "pub")
	for pq := range packets.QoS(3) {
		topic := "t/" + strconv.Itoa(int(pq))
		pub.PublishWith(&packets.Publish{QoS: pq, Retain: true, TopicName: topic, Payload: []byte("m")})
		if pq == 0 { // which is not answered
			retain(pub, "fence", "")
		}
		for sq := range packets.QoS(3) {
			sub := c.v5(0, "sub")
			sub.Subscribe(sq, topic)
			p := sub.ExpectPublish(topic, "m")
			require.Equal(c, min(pq, sq), p.QoS)
			require.True(c, p.Retain)
			require.False(c, p.Dup)
		}
	}
}

func retainAsPublished(c *context) {
	rap, plain := c.v5(1, "rap"), c.v5(2, "plain")
	rap.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 2, RetainAsPublished: true}}})
	plain.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for qos := range packets.QoS(3) {
		for _, r := range []bool{true, false} {
			pub.PublishWith(&packets.Publish{QoS: qos, Retain: r, TopicName: "t", Payload: []byte("m")})
			require.Equal(c, r, rap.ExpectPublish("t", "m").Retain)
			require.False(c, plain.ExpectPublish("t", "m").Retain)
		}
	}
}

func retainHandling(c *context) {
	pub := c.v5(0, "pub")
	retain(pub, "t", "m")
	for handling, want := range [][3]bool{{true, true, true}, {true, false, true}, {false, false, false}} {
		sub := c.v5(1, "sub")
		subscribe := func(expect bool) {
			c.Helper()
			sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1, RetainHandling: byte(handling)}}})
			if expect {
				require.True(c, sub.ExpectPublish("t", "m").Retain)
			}
			sub.ExpectQuiet()
		}
		subscribe(want[0])
		subscribe(want[1])
		sub.Unsubscribe("t")
		subscribe(want[2])
		sub.Disconnect()
	}
	// "New" is new to the session, not to the connection.
	sub, _ := c.with(1, kept("kept", true))
	again := &packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1, RetainHandling: 1}}}
	sub.SubscribeWith(again)
	sub.ExpectPublish("t", "m")
	sub.Disconnect()
	sub, _ = c.with(2, kept("kept", false))
	sub.SubscribeWith(again)
	sub.ExpectQuiet()
}

func retainedAgain(c *context) {
	pub := c.v5(0, "pub")
	retain(pub, "t", "m")
	for i, v := range versions {
		sub := c.connect(i+1, v, "sub")
		for range 3 {
			sub.Subscribe(1, "t")
			sub.ExpectPublish("t", "m")
		}
		sub.ExpectQuiet()
		sub.Disconnect()
	}
}

func retainedShared(c *context) {
	pub := c.v5(0, "pub")
	retain(pub, "t", "m")
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "$share/g/t")
	sub.ExpectQuiet()
	retain(pub, "t", "n")
	sub.ExpectPublish("t", "n")
}

func retainedWildcards(c *context) {
	pub := c.v5(0, "pub")
	for _, topic := range []string{"a", "a/b", "a/b/c", "$a/b", "b"} {
		retain(pub, topic, topic)
	}
	i := 0
	for filter, want := range map[string][]string{
		"#": {"a", "a/b", "a/b/c", "b"}, "a/#": {"a", "a/b", "a/b/c"}, "+": {"a", "b"}, "+/b": {"a/b"}, "$a/+": {"$a/b"}, "c": nil,
	} {
		i++
		sub := c.v5(i, "sub")
		sub.Subscribe(1, filter)
		var got []string
		for range want {
			p := mqtttest.Expect[*packets.Publish](sub)
			got = append(got, p.TopicName)
		}
		require.ElementsMatch(c, want, got, filter)
		sub.ExpectQuiet()
	}
}

func retainedExpiry(c *context) {
	pub := c.v5(0, "pub")
	keep := func(topic string, seconds uint32) {
		pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: topic, Payload: []byte("m"), Properties: packets.Properties{
			MessageExpiryInterval: packets.Some(seconds),
		}})
	}
	keep("t/short", 5)
	keep("t/long", 60)
	keep("t/replaced", 5)
	retain(pub, "t/replaced", "new") // must not go with the old one
	c.pass(20 * time.Second)
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "t/long")
	require.InDelta(c, 40, sub.ExpectPublish("t/long", "m").Properties.MessageExpiryInterval.Value, 2)
	sub.Subscribe(1, "t/replaced")
	sub.ExpectPublish("t/replaced", "new")
	sub.Subscribe(1, "t/short")
	sub.ExpectQuiet()
}

func retainedThousands(c *context) {
	const n = 2000
	pub := c.v5(0, "pub")
	for i := range n {
		pub.PublishWith(&packets.Publish{QoS: packets.QoS(i % 3), Retain: true, TopicName: "t/" + strconv.Itoa(i), Payload: []byte(long[:1000])})
	}
	for i, qos := range []packets.QoS{0, 1, 2} {
		sub := c.v5(1+i, "sub"+strconv.Itoa(i))
		sub.Timeout = 20 * time.Second
		sub.Send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t/#", QoS: qos}}})
		for range 10 { // other things happen before the client reads
			pub.Publish(1, "elsewhere", "m")
		}
		sub.Expect(packets.TypeSubAck)
		seen := make(map[string]bool)
		for range n {
			p := mqtttest.Expect[*packets.Publish](sub)
			require.False(c, seen[p.TopicName], "twice: %s", p.TopicName)
			require.True(c, p.Retain)
			seen[p.TopicName] = true
		}
		sub.ExpectQuiet()
		sub.Disconnect()
	}
}

func retainedAlike(c *context) {
	// Several publishers race for one topic; whoever wins, wins everywhere.
	var pubs []*mqtttest.Client
	for i := range 3 {
		pubs = append(pubs, c.v5(i, "pub"+strconv.Itoa(i)))
	}
	for round := range 20 {
		var sent []*packets.Publish
		for i, pub := range pubs {
			p := &packets.Publish{QoS: 1, Retain: true, TopicName: "t", Payload: []byte(strconv.Itoa(10*round + i))}
			pub.PublishAsync(p)
			sent = append(sent, p)
		}
		for i, pub := range pubs {
			pub.Published(sent[i])
		}
		var got []string
		for i := range max(3, c.env.Nodes()) {
			sub := c.v5(i, "sub"+strconv.Itoa(i))
			sub.Subscribe(1, "t")
			got = append(got, string(mqtttest.Expect[*packets.Publish](sub).Payload))
			sub.ExpectQuiet()
		}
		for _, g := range got {
			require.Equal(c, got[0], g)
		}
	}
}

func retainedNoLocal(c *context) {
	cl, other := c.v5(0, "c"), c.v5(1, "other")
	retain(cl, "own", "m")
	retain(other, "foreign", "m")
	cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{
		{TopicFilter: "own", QoS: 1, NoLocal: true}, {TopicFilter: "foreign", QoS: 1, NoLocal: true},
	}})
	cl.ExpectPublish("foreign", "m")
	cl.ExpectQuiet()
}
