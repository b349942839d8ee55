package behaviour

import (
	"slices"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// versionCases are those that MQTT 3 tells in its own way; each runs with 3.1 and with 3.1.1.
func versionCases() []Case {
	return []Case{
		{Name: "in 3/sessions", Clauses: []string{
			"3.1.1:MQTT-3.1.2-4", "3.1.1:MQTT-3.1.2-5", "3.1.1:MQTT-3.1.2-6", "3.1.1:MQTT-3.1.3-2", "3.1.1:MQTT-3.1.4-3", "3.1.1:MQTT-3.2.2-1",
			"3.1.1:MQTT-3.2.2-2", "3.1.1:MQTT-3.2.2-3", "3.1.1:MQTT-4.5.0-1",
		}, run: sessionsV3},
		{Name: "in 3/client identifiers", Clauses: []string{"3.1.1:MQTT-3.1.3-5", "3.1.1:MQTT-3.1.3-6", "MQTT-3.1.3-5"}, run: clientIdentifiers},
		{Name: "in 3/sent again after reconnecting", Clauses: []string{
			"3.1.1:MQTT-2.3.1-3", "3.1.1:MQTT-2.3.1-4", "3.1.1:MQTT-3.3.1-1", "3.1.1:MQTT-4.4.0-1", "3.1.1:MQTT-4.6.0-1",
		}, run: resendV3},
		{Name: "in 3/acknowledgements in order", Clauses: []string{
			"3.1.1:MQTT-4.6.0-2", "3.1.1:MQTT-4.6.0-3", "3.1.1:MQTT-4.6.0-4", "3.1.1:MQTT-4.6.0-5", "3.1.1:MQTT-4.6.0-6",
		}, run: orderV3},
		{Name: "in 3/retained", Clauses: []string{
			"3.1.1:MQTT-3.1.2-7", "3.1.1:MQTT-3.3.1-5", "3.1.1:MQTT-3.3.1-6", "3.1.1:MQTT-3.3.1-7", "3.1.1:MQTT-3.3.1-8", "3.1.1:MQTT-3.3.1-9",
			"3.1.1:MQTT-3.3.1-10", "3.1.1:MQTT-3.3.1-11", "3.1.1:MQTT-3.3.1-12",
		}, run: retainedV3},
		{Name: "in 3/DUP is of one hop", Clauses: []string{"3.1.1:MQTT-3.3.1-2", "3.1.1:MQTT-3.3.1-3"}, run: dupV3},
		{Name: "in 3/topics and filters", Clauses: []string{
			"3.1.1:MQTT-3.3.2-3", "3.1.1:MQTT-3.8.3-2", "3.1.1:MQTT-4.7.1-1", "3.1.1:MQTT-4.7.1-2", "3.1.1:MQTT-4.7.2-1", "3.1.1:MQTT-3.10.4-4",
		}, run: filtersV3},
		{Name: "in 3/subscribing", Clauses: []string{
			"3.1.1:MQTT-3.8.4-1", "3.1.1:MQTT-3.8.4-3", "3.1.1:MQTT-3.8.4-4", "3.1.1:MQTT-3.8.4-5", "3.1.1:MQTT-3.3.5-1",
		}, run: subscribingV3},
		{Name: "in 3/unsubscribing", Clauses: []string{
			"3.1.1:MQTT-3.10.4-1", "3.1.1:MQTT-3.10.4-2", "3.1.1:MQTT-3.10.4-3", "3.1.1:MQTT-3.10.4-4", "3.1.1:MQTT-3.10.4-5",
		}, run: unsubscribingV3},
		{Name: "in 3/wills", Clauses: []string{
			"3.1.1:MQTT-3.1.2-8", "3.1.1:MQTT-3.1.2-10", "3.1.1:MQTT-3.1.2-12", "3.1.1:MQTT-3.1.2-14", "3.1.1:MQTT-3.1.2-16", "3.1.1:MQTT-3.1.2-17",
			"3.1.1:MQTT-3.14.4-2",
		}, run: willsV3},
		{Name: "in 3/keep alive", Clauses: []string{"3.1.1:MQTT-3.1.2-24", "3.1.1:MQTT-3.1.2-8"}, Timed: true, run: keepAliveV3},
		{Name: "in 3/QoS 2 once", Clauses: []string{"3.1.1:MQTT-3.3.4-1", "3.1.1:MQTT-2.3.1-6"}, run: qos2V3},
		{Name: "in 3/User Name and Password may be left out in 3.1", run: leftOutV31},
	}
}

// old returns client i of version 3, connected.
func (c *context) old(i int, v packets.Version, id string, clean bool) (*mqtttest.Client, bool) {
	c.Helper()
	cl := c.dial(i, v)
	return cl, cl.Connect(&packets.Connect{ClientID: id, CleanStart: clean}).SessionPresent
}

func sessionsV3(c *context) {
	for _, v := range versions[:2] {
		present := v == packets.V311 // 3.1 has no such flag
		pub := c.connect(2, v, "pub")
		cl, got := c.old(0, v, "c", false)
		require.False(c, got)
		cl.Subscribe(2, "t")
		for i := range 3 {
			if i%2 == 0 {
				cl.Disconnect()
			} else {
				cl.Close()
			}
			for qos := packets.QoS(1); qos <= 2; qos++ {
				pub.Publish(qos, "t", strconv.Itoa(i))
			}
			other, got := c.old(i, v, "d", false) // another identifier, another session
			require.False(c, got)
			other.ExpectQuiet()
			other.Disconnect()
			end, _ := c.old(i, v, "d", true)
			end.Disconnect()
			cl, got = c.old(i+1, v, "c", false)
			require.Equal(c, present, got)
			for qos := packets.QoS(1); qos <= 2; qos++ {
				require.Equal(c, qos, cl.ExpectPublish("t", strconv.Itoa(i)).QoS)
			}
			cl.ExpectQuiet()
		}
		cl.Disconnect()
		cl, got = c.old(0, v, "c", true) // nothing is left
		require.False(c, got)
		pub.Publish(1, "t", "m")
		cl.ExpectQuiet()
		cl.Subscribe(1, "t")
		cl.Disconnect()
		pub.Publish(1, "t", "m")
		cl, got = c.old(1, v, "c", false) // and nothing of a clean session is there later
		require.False(c, got)
		pub.Publish(1, "t", "m")
		cl.ExpectQuiet()
		cl.Disconnect()
		cl, _ = c.old(2, v, "c", true)
		cl.Disconnect()
	}
}

func clientIdentifiers(c *context) {
	const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for i, v := range versions {
		for n := 1; n <= 23; n++ {
			cl := c.connect(i+n, v, (all + all)[n:2*n])
			cl.Disconnect()
		}
		for n := 0; n+23 <= len(all); n += 13 {
			c.connect(i+n, v, all[n:n+23]).Disconnect()
		}
		for _, id := range []string{"a/b", "$c", "+#", "ü 🐟", long[:65_535]} { // and more than must be
			c.connect(i, v, id).Disconnect()
		}
	}
	// Without one, each client is another one.
	one, two := c.connect(0, packets.V311, ""), c.connect(1, packets.V311, "")
	one.Subscribe(0, "t")
	two.Subscribe(0, "t")
	c.v5(2, "pub").Publish(1, "t", "m")
	one.ExpectPublish("t", "m")
	two.ExpectPublish("t", "m")
}

func resendV3(c *context) {
	for _, v := range versions[:2] {
		sub, _ := c.old(1, v, "sub", false)
		sub.Manual = true
		sub.Subscribe(2, "t")
		pub := c.connect(0, v, "pub")
		ids := make(map[string]uint16)
		for i, payload := range numbers(6) {
			pub.Publish(packets.QoS(1+i%2), "t", payload)
			p := sub.ExpectPublish("t", payload)
			require.False(c, p.Dup)
			ids[payload] = p.PacketID
		}
		sub.Send(&packets.PubAck{PacketID: ids["2"]})
		sub.Send(&packets.PubRec{PacketID: ids["3"]})
		sub.Expect(packets.TypePubRel)
		for i := range 3 {
			sub.Close()
			sub, _ = c.old(2+i, v, "sub", false)
			sub.Manual = true
			for _, payload := range []string{"0", "1", "3", "4", "5"} {
				if payload == "3" {
					require.Equal(c, ids["3"], mqtttest.Expect[*packets.PubRel](sub).PacketID)
					continue
				}
				p := sub.ExpectPublish("t", payload)
				require.Equal(c, ids[payload], p.PacketID)
				require.True(c, p.Dup)
			}
			sub.ExpectQuiet()
		}
		sub.Disconnect()
		sub, _ = c.old(0, v, "sub", true)
		sub.ExpectQuiet()
		sub.Disconnect()
	}
}

func orderV3(c *context) {
	for _, v := range versions[:2] {
		sub := c.connect(1, v, "sub")
		sub.Subscribe(2, "t")
		pub := c.connect(0, v, "pub")
		var sent []*packets.Publish
		for i := range 60 {
			p := &packets.Publish{QoS: packets.QoS(1 + i%2), TopicName: "t", Payload: []byte(strconv.Itoa(i))}
			pub.PublishAsync(p)
			sent = append(sent, p)
		}
		settle(c, pub, sent)
		// The answers of a client come in its order; the server's PUBRELs follow the order of the PUBRECs.
		next := [2]int{0, 1}
		for range 60 {
			p := mqtttest.Expect[*packets.Publish](sub)
			i, err := strconv.Atoi(string(p.Payload))
			require.NoError(c, err)
			require.Equal(c, next[i%2], i)
			next[i%2] += 2
		}
		sub.ExpectQuiet()
		lazy := c.connect(2, v, "lazy")
		lazy.Manual = true
		lazy.Subscribe(2, "u")
		var ids []uint16
		for _, payload := range numbers(10) {
			pub.Publish(2, "u", payload)
			ids = append(ids, lazy.ExpectPublish("u", payload).PacketID)
		}
		for _, id := range ids {
			lazy.Send(&packets.PubRec{PacketID: id})
		}
		for _, id := range ids {
			require.Equal(c, id, mqtttest.Expect[*packets.PubRel](lazy).PacketID)
		}
	}
}

func retainedV3(c *context) {
	for i, v := range versions[:2] {
		topic := "t/" + v.String()
		pub := c.connect(0, v, "pub")
		// One that has been there before on each node: what is under way to a node has come there when its own has it.
		var live []*mqtttest.Client
		for n := range 3 {
			cl := c.connect(1+n, v, "live"+strconv.Itoa(n))
			cl.Subscribe(2, topic)
			live = append(live, cl)
		}
		passes := func(payload string) {
			c.Helper()
			for _, cl := range live {
				require.False(c, cl.ExpectPublish(topic, payload).Retain)
			}
		}
		late := func(qos packets.QoS, want ...*packets.Publish) {
			c.Helper()
			i++
			cl := c.connect(i, v, "late")
			cl.Subscribe(2, topic)
			for _, w := range want {
				p := cl.ExpectPublish(topic, string(w.Payload))
				require.True(c, p.Retain)
				require.False(c, p.Dup)
				require.Equal(c, qos, p.QoS)
			}
			cl.ExpectQuiet()
			cl.Disconnect()
		}
		keep := func(qos packets.QoS, payload string) *packets.Publish {
			c.Helper()
			p := &packets.Publish{QoS: qos, Retain: true, TopicName: topic, Payload: []byte(payload)}
			pub.PublishWith(p)
			if qos == 0 { // which is not answered; the order of retained messages is one
				pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "fence", Payload: []byte("m")})
			}
			passes(payload)
			return p
		}
		late(0)
		for qos := range packets.QoS(3) {
			p := keep(qos, "kept with "+strconv.Itoa(int(qos)))
			late(qos, p)
			pub.Publish(2-qos, topic, "passes") // neither kept nor a replacement
			passes("passes")
			late(qos, p)
		}
		keep(0, "replaced by QoS 0")
		last := keep(0, "last")
		late(0, last)
		pub.Disconnect() // a clean session ends; what it retained does not
		late(0, last)
		pub = c.connect(0, v, "pub")
		keep(1, "")
		late(0)
		keep(0, "") // of nothing
		late(0)
	}
}

func dupV3(c *context) {
	for _, v := range versions[:2] {
		sub, pub := c.connect(1, v, "sub"), c.connect(0, v, "pub")
		sub.Subscribe(2, "t")
		for qos := packets.QoS(1); qos <= 2; qos++ {
			pub.PublishWith(&packets.Publish{QoS: qos, Dup: true, TopicName: "t", Payload: []byte("m")})
			p := sub.ExpectPublish("t", "m")
			require.False(c, p.Dup)
			require.Equal(c, qos, p.QoS)
		}
		pub.Publish(0, "t", "m")
		require.False(c, sub.ExpectPublish("t", "m").Dup)
	}
}

func filtersV3(c *context) {
	for _, v := range versions[:2] {
		for i, f := range []struct {
			filter  string
			yes, no []string
		}{
			{"a/+/c", []string{"a/b/c", "a//c"}, []string{"a/c", "a/b/c/d", "A/b/c"}},
			{"a/#", []string{"a", "a/", "a/b/c"}, []string{"ab", "/a"}},
			{"+/+", []string{"/a", "a/b"}, []string{"a", "$a/b"}},
			{"#", []string{"a", "/"}, []string{"$a", "$a/b"}},
			{"$a/#", []string{"$a", "$a/b"}, []string{"a"}},
		} {
			sub, pub := c.connect(i+1, v, "sub"), c.connect(i, v, "pub")
			sub.Subscribe(1, f.filter)
			for _, topic := range f.no {
				pub.Publish(1, topic, "no")
			}
			for _, topic := range f.yes {
				pub.Publish(1, topic, "yes")
				sub.ExpectPublish(topic, "yes")
			}
			sub.ExpectQuiet()
			sub.Unsubscribe("a/+", "A/#", "a/b/c", "+", "#/", f.filter+" ") // none of these is the filter
			pub.Publish(1, f.yes[0], "still")
			sub.ExpectPublish(f.yes[0], "still")
			sub.Disconnect()
			pub.Disconnect()
		}
		cl := c.connect(0, v, "c")
		p := new(packets.Subscribe)
		for _, bad := range []string{"a#", "a/#/b", "#/a", "a+", "+a/b", "a/b+"} {
			p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: bad})
		}
		for _, code := range cl.SubscribeWith(p).ReasonCodes {
			c.code(packets.UnspecifiedError, code)
		}
		cl.Disconnect()
	}
}

func subscribingV3(c *context) {
	for _, v := range versions[:2] {
		pub, sub := c.connect(0, v, "pub"), c.connect(1, v, "sub")
		pub.PublishWith(&packets.Publish{QoS: 2, Retain: true, TopicName: "t/1", Payload: []byte("kept")})
		p := new(packets.Subscribe)
		for i, f := range []string{"t/1", "t/2", "t/#/x", "t/3", "t/1"} {
			p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f, QoS: packets.QoS(i % 3)})
		}
		require.Equal(c, []packets.ReasonCode{0, 1, 0x80, 0, 1}, sub.SubscribeWith(p).ReasonCodes)
		for range 2 { // as if they had come one after the other
			require.True(c, sub.ExpectPublish("t/1", "kept").Retain)
		}
		for qos := range packets.QoS(3) {
			sub.Subscribe(qos, "t/1") // replaces the last
			require.Equal(c, qos, sub.ExpectPublish("t/1", "kept").QoS)
			pub.Publish(2, "t/1", "m")
			require.Equal(c, qos, sub.ExpectPublish("t/1", "m").QoS)
			sub.ExpectQuiet()
		}
		sub.Subscribe(1, "t/+")
		require.Equal(c, "kept", string(sub.Next().(*packets.Publish).Payload))
		pub.Publish(2, "t/1", "once") // to two that overlap, with the higher QoS
		require.EqualValues(c, 2, sub.ExpectPublish("t/1", "once").QoS)
		sub.ExpectQuiet()

		// Replacing interrupts nothing.
		sub.Unsubscribe("t/+")
		pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "t/1"})
		sub.ExpectPublish("t/1", "")
		var sent []*packets.Publish
		for _, payload := range numbers(30) {
			m := &packets.Publish{QoS: 1, TopicName: "t/1", Payload: []byte(payload)}
			pub.PublishAsync(m)
			sent = append(sent, m)
			sub.Send(&packets.Subscribe{PacketID: sub.ID(), Subscriptions: []packets.Subscription{{TopicFilter: "t/1", QoS: 1}}})
		}
		settle(c, pub, sent)
		for range 30 {
			sub.Expect(packets.TypeSubAck)
		}
		for _, payload := range numbers(30) {
			sub.ExpectPublish("t/1", payload)
		}
		sub.ExpectQuiet()
		pub.Disconnect()
		sub.Disconnect()
	}
}

func unsubscribingV3(c *context) {
	for _, v := range versions[:2] {
		pub, sub := c.connect(0, v, "pub"), c.connect(1, v, "sub")
		sub.Manual = true
		sub.Subscribe(2, "a", "b", "c/+")
		pub.Publish(2, "a", "begun")
		p := sub.ExpectPublish("a", "begun")
		sub.Unsubscribe("a", "none", "a", "c/#", "c/+")
		for _, topic := range []string{"a", "c/d"} {
			pub.Publish(2, topic, "m")
		}
		pub.Publish(1, "b", "m")
		b := sub.ExpectPublish("b", "m")
		sub.Send(&packets.PubAck{PacketID: b.PacketID})
		sub.Send(&packets.PubRec{PacketID: p.PacketID}) // what was begun is finished
		require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubRel](sub).PacketID)
		sub.Send(&packets.PubComp{PacketID: p.PacketID})
		sub.ExpectQuiet()
		pub.Disconnect()
		sub.Disconnect()
	}
}

func willsV3(c *context) {
	for i, v := range versions[:2] {
		topic := "will/" + v.String()
		watch := c.connect(1, v, "watch")
		watch.Subscribe(2, topic)
		mortal := func(w *packets.Will) *mqtttest.Client {
			c.Helper()
			i++
			cl := c.dial(i, v)
			cl.Connect(&packets.Connect{ClientID: "mortal", CleanStart: true, Will: w})
			return cl
		}
		retained := func() bool {
			late := c.connect(2, v, "late")
			defer late.Disconnect()
			late.Subscribe(1, topic)
			late.Quiesce()
			return slices.ContainsFunc(late.Stashed(), func(p *packets.Publish) bool { return p.Retain })
		}
		for qos := range packets.QoS(3) {
			will := &packets.Will{TopicName: topic, Payload: []byte("gone"), QoS: qos}
			mortal(will).Close()
			p := watch.ExpectPublish(topic, "gone")
			require.Equal(c, qos, p.QoS)
			require.False(c, p.Retain)
			require.False(c, retained())
			mortal(will).Disconnect() // takes it back
			mortal(nil).Close()       // has none
		}
		watch.ExpectQuiet()
		mortal(&packets.Will{TopicName: topic, Payload: []byte("gone"), QoS: 1, Retain: true}).Close()
		require.False(c, watch.ExpectPublish(topic, "gone").Retain)
		c.soon("the will is retained", retained)
		watch.Disconnect()
	}
}

func keepAliveV3(c *context) {
	watch := watch(c)
	watch.Timeout = time.Minute
	for i, v := range versions[:2] {
		cl := c.dial(i, v)
		cl.Timeout = time.Minute
		cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 10, Will: &packets.Will{TopicName: "will", Payload: []byte("gone")}})
		for range 3 {
			c.pass(14 * time.Second)
			cl.ExpectQuiet()
		}
		began := time.Now()
		cl.ExpectClosed()
		require.GreaterOrEqual(c, time.Since(began), 15*time.Second)
		require.Less(c, time.Since(began), 16*time.Second)
		watch.ExpectPublish("will", "gone")
		idle := c.connect(i, v, "idle") // Keep Alive 0
		c.pass(5 * time.Minute)
		idle.ExpectQuiet()
	}
}

func qos2V3(c *context) {
	for _, v := range versions[:2] {
		sub, pub := c.connect(1, v, "sub"), c.connect(0, v, "pub")
		sub.Subscribe(2, "t")
		for range 3 {
			for i := range 2 {
				pub.Send(&packets.Publish{QoS: 2, PacketID: 9, Dup: i > 0, TopicName: "t", Payload: []byte("m")})
				require.EqualValues(c, 9, mqtttest.Expect[*packets.PubRec](pub).PacketID)
			}
			for range 2 {
				pub.Send(&packets.PubRel{PacketID: 9})
				require.EqualValues(c, 9, mqtttest.Expect[*packets.PubComp](pub).PacketID)
			}
			sub.ExpectPublish("t", "m")
		}
		sub.ExpectQuiet()
	}
}

// leftOutV31 holds what 3.1 asks of servers: flags may announce a User Name and a Password that are not there.
func leftOutV31(c *context) {
	for _, payload := range [][]any{{text("c")}, {text("c"), text("user")}} {
		cl := c.dial(0, packets.V31)
		cl.SendRaw(rawConnect(packets.V31, 0xc2, "", payload...))
		cl.ExpectBytes(0x20, 2, 0, 0)
		cl.ExpectQuiet()
	}
}
