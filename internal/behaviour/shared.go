package behaviour

import (
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func sharedCases() []Case {
	return []Case{
		{Name: "shared/exactly one member", run: sharedOne},
		{Name: "shared/groups are independent", run: sharedGroups},
		{Name: "shared/each member its QoS", Clauses: []string{"MQTT-4.8.2-3"}, run: sharedQoS},
		{Name: "shared/a member leaves with messages unacknowledged", Clauses: []string{"MQTT-4.8.2-5"}, run: sharedLeaves},
		{Name: "shared/a member unsubscribes", run: sharedUnsubscribes},
		{Name: "shared/members that are away are passed over", run: sharedAway},
		{Name: "shared/all members away", run: sharedAllAway},
		{Name: "shared/QoS 2 once begun stays", Clauses: []string{"MQTT-4.8.2-4"}, run: sharedQoS2},
		{Name: "shared/refused by a member", Clauses: []string{"MQTT-4.8.2-6", "MQTT-4.4.0-2"}, run: sharedRefused},
		{Name: "shared/together with a plain subscription", Clauses: []string{"MQTT-3.3.4-5"}, run: sharedAndPlain},
		{Name: "shared/session of the last member ends", Timed: true, run: sharedExpires},
		{Name: "shared/in 3.1.1", run: sharedV3},
	}
}

// drain reads PUBLISH packets until PINGRESP and returns their payloads.
func drain(cl *mqtttest.Client) (got []string) {
	cl.Send(&packets.PingReq{})
	cl.Expect(packets.TypePingResp)
	for _, p := range cl.Stashed() {
		got = append(got, string(p.Payload))
	}
	return got
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func sharedOne(c *context) {
	var subs []*mqtttest.Client
	for i := range 3 {
		sub := c.connect(i+1, versions[i%3], "sub"+strconv.Itoa(i))
		sub.Subscribe(2, "$share/g/t/#")
		subs = append(subs, sub)
	}
	for i, qos := range []packets.QoS{1, 2} {
		pub := c.v5(i, "pub")
		for _, payload := range numbers(60) {
			c.code(packets.Success, pub.Publish(qos, "t/x", payload))
		}
		var got []string
		for _, sub := range subs {
			got = append(got, drain(sub)...)
		}
		require.ElementsMatch(c, numbers(60), got)
	}
	// QoS 0 with an acknowledged message of each member's behind it.
	pub := c.v5(0, "pub")
	for _, payload := range numbers(60) {
		pub.Publish(0, "t/x", payload)
	}
	got := 0
	for got < 60 {
		before := got
		pub.Publish(1, "nowhere", "")
		for _, sub := range subs {
			got += len(drain(sub))
		}
		if got == before {
			pub.ExpectQuiet()
		}
	}
	require.Equal(c, 60, got)
}

func sharedGroups(c *context) {
	var subs []*mqtttest.Client
	for i, f := range []string{"$share/g/t", "$share/g/t", "$share/h/t", "$share/g/+", "t"} {
		sub := c.v5(i, "sub"+strconv.Itoa(i))
		sub.Subscribe(1, f)
		subs = append(subs, sub)
	}
	pub := c.v5(0, "pub")
	for _, payload := range numbers(20) {
		pub.Publish(1, "t", payload)
	}
	require.ElementsMatch(c, numbers(20), append(drain(subs[0]), drain(subs[1])...))
	for _, sub := range subs[2:] {
		require.Equal(c, numbers(20), drain(sub))
	}
}

func sharedQoS(c *context) {
	for sq := range packets.QoS(3) {
		sub := c.v5(1, "sub")
		sub.Subscribe(sq, "$share/g/t")
		pub := c.v5(0, "pub")
		for pq := range packets.QoS(3) {
			pub.Publish(pq, "t", "m")
			require.Equal(c, min(sq, pq), sub.ExpectPublish("t", "m").QoS)
		}
		sub.Disconnect()
	}
}

func sharedLeaves(c *context) {
	for i, qos := range []packets.QoS{1, 2} {
		for _, k := range []bool{false, true} {
			lazy := c.dial(1+i, packets.V5)
			lazy.Manual = true
			connect := &packets.Connect{ClientID: "lazy", CleanStart: true, Properties: packets.Properties{ReceiveMaximum: packets.Some(uint16(3))}}
			if k {
				connect.Properties.SessionExpiryInterval = packets.Some(uint32(day))
			}
			lazy.Connect(connect)
			lazy.Subscribe(qos, "$share/g/t")
			pub := c.v5(0, "pub")
			for _, payload := range numbers(10) {
				pub.Publish(qos, "t", payload)
			}
			begun := 0
			if qos == 2 { // whose delivery has begun: they are finished with this member, or not at all
				for _, payload := range numbers(3) {
					lazy.ExpectPublish("t", payload)
				}
				begun = 3
			}
			busy := c.v5(2+i, "busy")
			busy.Subscribe(qos, "$share/g/t")
			lazy.Close()
			for _, payload := range numbers(10)[begun:] {
				busy.ExpectPublish("t", payload)
			}
			busy.ExpectQuiet()
			busy.Disconnect()
			c.with(1, &packets.Connect{ClientID: "lazy", CleanStart: true})
		}
	}
}

func sharedUnsubscribes(c *context) {
	one, two := c.v5(1, "one"), c.v5(2, "two")
	one.Subscribe(1, "$share/g/t")
	two.Subscribe(1, "$share/g/t")
	c.code(packets.Success, one.Unsubscribe("$share/g/t")[0])
	pub := c.v5(0, "pub")
	for _, payload := range numbers(10) {
		pub.Publish(1, "t", payload)
		two.ExpectPublish("t", payload)
	}
	one.ExpectQuiet()
	two.Unsubscribe("$share/g/t")
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
}

func sharedAway(c *context) {
	away, _ := c.with(1, kept("away", true))
	away.Subscribe(1, "$share/g/t")
	away.Disconnect()
	here := c.v5(2, "here")
	here.Subscribe(1, "$share/g/t")
	pub := c.v5(0, "pub")
	for _, payload := range numbers(10) {
		pub.Publish(1, "t", payload)
		here.ExpectPublish("t", payload)
	}
}

func sharedAllAway(c *context) {
	one, _ := c.with(1, kept("one", true))
	one.Subscribe(1, "$share/g/t")
	one.Disconnect()
	pub := c.v5(0, "pub")
	for _, payload := range numbers(10) {
		c.code(packets.Success, pub.Publish(1, "t", payload))
	}
	one, ack := c.with(2, kept("one", false))
	require.True(c, ack.SessionPresent)
	for _, payload := range numbers(10) {
		one.ExpectPublish("t", payload)
	}
	one.ExpectQuiet()
}

func sharedQoS2(c *context) {
	one, _ := c.with(1, kept("one", true))
	one.Manual = true
	one.Subscribe(2, "$share/g/t")
	pub := c.v5(0, "pub")
	pub.Publish(2, "t", "m")
	p := one.ExpectPublish("t", "m")
	two := c.v5(2, "two")
	two.Subscribe(2, "$share/g/t")
	one.Close()
	one, ack := c.with(0, kept("one", false))
	require.True(c, ack.SessionPresent)
	one.Manual = true
	q := one.ExpectPublish("t", "m")
	require.True(c, q.Dup)
	require.Equal(c, p.PacketID, q.PacketID)
	one.Send(&packets.PubRec{PacketID: q.PacketID})
	one.Expect(packets.TypePubRel)
	one.Send(&packets.PubComp{PacketID: q.PacketID})
	two.ExpectQuiet()
}

// sharedRefused holds that what a member refuses is over: nobody else gets it, and the member not again.
func sharedRefused(c *context) {
	one, _ := c.with(1, kept("one", true))
	one.Manual = true
	one.Subscribe(2, "$share/g/t")
	pub := c.v5(0, "pub")
	pub.Publish(1, "t", "m")
	pub.Publish(2, "t", "n")
	m, n := one.ExpectPublish("t", "m"), one.ExpectPublish("t", "n")
	two := c.v5(2, "two")
	two.Subscribe(2, "$share/g/t")
	one.Send(&packets.PubAck{PacketID: m.PacketID, ReasonCode: packets.QuotaExceeded})
	one.Send(&packets.PubRec{PacketID: n.PacketID, ReasonCode: packets.UnspecifiedError})
	one.ExpectQuiet()
	two.ExpectQuiet()
	one.Close()
	one, _ = c.with(0, kept("one", false))
	one.ExpectQuiet()
	two.ExpectQuiet()
}

func sharedAndPlain(c *context) {
	sub := c.v5(1, "sub")
	for i, filter := range []string{"t", "$share/g/t"} {
		sub.SubscribeWith(&packets.Subscribe{
			Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: 1}},
			Properties:    packets.Properties{SubscriptionIdentifiers: []uint32{uint32(i + 1)}},
		})
	}
	pub := c.v5(0, "pub")
	pub.Publish(1, "t", "m")
	var ids []uint32
	for range 2 { // one for each, with its own identifier
		ids = append(ids, sub.ExpectPublish("t", "m").Properties.SubscriptionIdentifiers...)
	}
	require.ElementsMatch(c, []uint32{1, 2}, ids)
	sub.ExpectQuiet()
}

func sharedExpires(c *context) {
	one, _ := c.with(1, &packets.Connect{ClientID: "one", CleanStart: true, Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(10))}})
	one.Subscribe(1, "$share/g/t")
	one.Disconnect()
	pub := c.v5(0, "pub")
	c.code(packets.Success, pub.Publish(1, "t", "m"))
	two, _ := c.with(2, kept("two", true))
	two.Subscribe(1, "$share/g/t")
	c.pass(30 * time.Second)
	two.ExpectPublish("t", "m")
	two.ExpectQuiet()
}

func sharedV3(c *context) {
	for i, v := range versions {
		sub := c.connect(i, v, "sub")
		sub.Subscribe(1, "$share/g/t")
		pub := c.v5(0, "pub")
		pub.Publish(1, "t", "m")
		sub.ExpectPublish("t", "m")
		sub.Disconnect()
	}
}
