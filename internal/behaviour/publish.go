package behaviour

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func publishCases() []Case {
	cases := []Case{
		{Name: "publish/between versions", Clauses: []string{"MQTT-3.8.4-8"}, run: betweenVersions},
		{Name: "publish/no matching subscribers", Clauses: []string{"MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8"}, run: noMatching},
		{Name: "publish/order of a thousand", Clauses: []string{"MQTT-4.6.0-5", "MQTT-4.6.0-6"}, run: order},
		{Name: "publish/answers in order", Clauses: []string{"MQTT-4.6.0-2", "MQTT-4.6.0-3"}, run: answersInOrder},
		{Name: "publish/large payload", Clauses: []string{"MQTT-4.2-1"}, run: largePayload},
		{Name: "publish/empty payload", run: emptyPayload},
		{Name: "publish/properties travel", Clauses: []string{
			"MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20",
		}, run: propertiesTravel},
		{Name: "publish/QoS 2 sent twice", Clauses: []string{"MQTT-4.3.3-10"}, run: qos2Twice},
		{Name: "publish/QoS 2 sent twice over two connections", Clauses: []string{"MQTT-4.3.3-10"}, run: qos2TwiceReconnected},
		{Name: "publish/QoS 2 identifier used again", Clauses: []string{"MQTT-4.3.3-11", "MQTT-4.3.3-12", "MQTT-2.2.1-5"}, run: qos2Reused},
		{Name: "publish/PUBREL of nothing", Clauses: []string{"MQTT-4.3.3-11", "MQTT-3.7.2-1"}, run: pubRelUnknown},
		{Name: "publish/QoS 1 identifier used again", Clauses: []string{"MQTT-4.3.2-5"}, run: qos1Reused},
		{Name: "publish/DUP does not travel", Clauses: []string{"MQTT-3.3.1-3"}, run: dupStays},
		{Name: "publish/message expiry", Clauses: []string{"MQTT-3.3.2-5", "MQTT-3.3.2-6"}, Timed: true, run: messageExpiry},
		{Name: "publish/topic alias from the client", Clauses: []string{"MQTT-3.3.2-12"}, run: aliasInbound},
		{Name: "publish/every topic alias", Clauses: []string{"MQTT-3.3.2-12"}, run: aliasEvery},
		{Name: "publish/QoS 2 goes on when the message has expired", Clauses: []string{"MQTT-4.3.3-13"}, Timed: true, run: qos2Expired},
		{Name: "publish/topic alias is of one connection", Clauses: []string{"MQTT-3.3.2-7"}, run: aliasConnection},
		{Name: "publish/topic alias out of range", Clauses: []string{"MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-3.2.2-17"}, run: aliasInvalid},
		{Name: "publish/topic alias to the client", Clauses: []string{"MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-8", "MQTT-3.3.2-11"}, run: aliasOutbound},
	}
	for _, pub := range versions {
		cases = append(cases, Case{
			Name: "publish/all QoS from " + pub.String(), Clauses: []string{"MQTT-3.3.4-1", "MQTT-3.8.4-8", "MQTT-4.3.1-1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-3.3.1-2"},
			run: func(c *context) { allQoS(c, pub) },
		})
	}
	return cases
}

func allQoS(c *context, pv packets.Version) {
	pub := c.connect(0, pv, "pub")
	for i, sv := range versions {
		sub := c.connect(i+1, sv, "sub")
		for sq := range packets.QoS(3) {
			topic := fmt.Sprintf("t/%v/%d", sv, sq)
			sub.Subscribe(sq, topic)
			for pq := range packets.QoS(3) {
				payload := fmt.Sprintf("from QoS %d to %d", pq, sq)
				c.code(packets.Success, pub.Publish(pq, topic, payload))
				p := sub.ExpectPublish(topic, payload)
				require.Equal(c, min(sq, pq), p.QoS)
				require.False(c, p.Dup)
				require.False(c, p.Retain)
			}
		}
		sub.ExpectQuiet()
	}
}

func betweenVersions(c *context) {
	var subs []*mqtttest.Client
	for i, v := range versions {
		sub := c.connect(i, v, "sub"+v.String())
		sub.Subscribe(2, "t/#")
		subs = append(subs, sub)
	}
	for i, v := range versions {
		pub := c.connect(i+1, v, "pub"+v.String())
		pub.Publish(1, "t/"+v.String(), "from "+v.String())
		for _, sub := range subs {
			sub.ExpectPublish("t/"+v.String(), "from "+v.String())
		}
	}
}

func noMatching(c *context) {
	pub := c.v5(0, "pub")
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
	c.code(packets.NoMatchingSubscribers, pub.Publish(2, "t", "m"))
	sub := c.v5(1, "sub")
	sub.Subscribe(0, "t")
	c.code(packets.Success, pub.Publish(1, "t", "m"))
	c.code(packets.Success, pub.Publish(2, "t", "m"))
	c.code(packets.Success, sub.Unsubscribe("t")[0])
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
}

func order(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t/#")
	pub := c.v5(0, "pub")
	const n, window = 1000, 20
	var sent []*packets.Publish
	for i := range n {
		p := &packets.Publish{QoS: packets.QoS(i % 3), TopicName: "t/" + strconv.Itoa(i%3), Payload: []byte(strconv.Itoa(i))}
		sent = append(sent, p)
	}
	settled := 0
	for i, p := range sent {
		pub.PublishAsync(p)
		if i%window == window-1 || i == n-1 {
			// Answers of QoS 1 and 2 come interleaved; take all PUBACKs and PUBRECs, in the order of the packets [MQTT-4.6.0-2, -3].
			settle(c, pub, sent[settled:i+1])
			settled = i + 1
		}
	}
	var next [3]int
	for q := range next {
		next[q] = q
	}
	for range n {
		p := mqtttest.Expect[*packets.Publish](sub)
		i, err := strconv.Atoi(string(p.Payload))
		require.NoError(c, err)
		require.Equal(c, next[i%3], i, "QoS %d out of order", i%3)
		require.Equal(c, packets.QoS(i%3), p.QoS)
		next[i%3] += 3
	}
	sub.ExpectQuiet()
}

// settle completes the exchanges of what was sent. PUBRELs leave once all answers have come.
func settle(c *context, pub *mqtttest.Client, sent []*packets.Publish) {
	for _, p := range sent {
		switch p.QoS {
		case 1:
			require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubAck](pub).PacketID)
		case 2:
			require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubRec](pub).PacketID)
		}
	}
	for _, p := range sent {
		if p.QoS == 2 {
			pub.Send(&packets.PubRel{PacketID: p.PacketID})
		}
	}
	for _, p := range sent {
		if p.QoS == 2 {
			require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubComp](pub).PacketID)
		}
	}
}

func answersInOrder(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "there/#")
	for _, v := range versions {
		pub := c.connect(0, v, "pub")
		var sent []*packets.Publish
		for i := range 200 {
			topic := "there/" + strconv.Itoa(i%7)
			if i%2 == 0 {
				topic = "nowhere" // answered without waiting for anybody
			}
			p := &packets.Publish{QoS: packets.QoS(1 + i/2%2), TopicName: topic, Payload: []byte("m")}
			pub.PublishAsync(p)
			sent = append(sent, p)
		}
		settle(c, pub, sent)
	}
}

func largePayload(c *context) {
	for i, v := range versions {
		sub := c.connect(i+1, v, "sub")
		sub.Timeout = 30 * time.Second
		sub.Subscribe(2, "t")
		pub := c.connect(0, v, "pub")
		pub.Timeout = 30 * time.Second
		for qos := range packets.QoS(3) {
			pub.Publish(qos, "t", long)
			p := mqtttest.Expect[*packets.Publish](sub)
			require.Equal(c, qos, p.QoS)
			require.Len(c, p.Payload, len(long))
			require.Zero(c, strings.Compare(long, string(p.Payload)), "the payload was changed")
			pub.Publish(qos, "t", "small")
			sub.ExpectPublish("t", "small")
		}
	}
}

func emptyPayload(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for qos := range packets.QoS(3) {
		pub.Publish(qos, "t", "")
		sub.ExpectPublish("t", "")
	}
}

func propertiesTravel(c *context) {
	props := packets.Properties{
		PayloadFormatIndicator: packets.Some(byte(1)),
		ContentType:            packets.Some("text/plain"),
		ResponseTopic:          packets.Some("answers"),
		CorrelationData:        []byte{0, 1, 2},
		UserProperties:         []packets.UserProperty{{Key: "z", Value: "1"}, {Key: "a", Value: "2"}, {Key: "z", Value: "1"}, {Key: "", Value: ""}},
	}
	sub, old := c.v5(1, "sub"), c.connect(2, packets.V311, "old")
	sub.Subscribe(2, "t")
	old.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for qos := range packets.QoS(3) {
		pub.PublishWith(&packets.Publish{QoS: qos, TopicName: "t", Payload: []byte("m"), Properties: props})
		require.Equal(c, props, sub.ExpectPublish("t", "m").Properties)
		old.ExpectPublish("t", "m")
	}
	pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "t", Payload: []byte("r"), Properties: props})
	sub.ExpectPublish("t", "r")
	late := c.v5(2, "late")
	late.Subscribe(1, "t")
	require.Equal(c, props, late.ExpectPublish("t", "r").Properties)
}

func qos2Twice(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	for _, v := range versions {
		pub := c.connect(0, v, "pub")
		p := &packets.Publish{QoS: 2, PacketID: 7, TopicName: "t", Payload: []byte("m")}
		pub.Send(p)
		pub.Expect(packets.TypePubRec)
		p.Dup = true
		pub.Send(p)
		rec := mqtttest.Expect[*packets.PubRec](pub)
		c.code(packets.Success, rec.ReasonCode)
		pub.Send(&packets.PubRel{PacketID: 7})
		c.code(packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
		sub.ExpectPublish("t", "m")
		sub.ExpectQuiet()
	}
}

func qos2TwiceReconnected(c *context) {
	sub := c.v5(2, "sub")
	sub.Subscribe(2, "t")
	pub, _ := c.with(0, kept("pub", true))
	p := &packets.Publish{QoS: 2, PacketID: 7, TopicName: "t", Payload: []byte("m")}
	pub.Send(p)
	pub.Expect(packets.TypePubRec)
	sub.ExpectPublish("t", "m")
	for i := range 3 {
		pub.Close()
		var ack *packets.ConnAck
		pub, ack = c.with(1+i, kept("pub", false))
		require.True(c, ack.SessionPresent)
		p.Dup = true
		pub.Send(p)
		pub.Expect(packets.TypePubRec)
	}
	pub.Send(&packets.PubRel{PacketID: 7})
	c.code(packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
	sub.ExpectQuiet()
}

func qos2Reused(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for i := range 3 {
		payload := strconv.Itoa(i)
		pub.Send(&packets.Publish{QoS: 2, PacketID: 7, TopicName: "t", Payload: []byte(payload)})
		pub.Expect(packets.TypePubRec)
		pub.Send(&packets.PubRel{PacketID: 7})
		pub.Expect(packets.TypePubComp)
		sub.ExpectPublish("t", payload)
	}
}

func pubRelUnknown(c *context) {
	pub := c.v5(0, "pub")
	pub.Send(&packets.PubRel{PacketID: 9})
	c.code(packets.PacketIdentifierNotFound, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
	old := c.connect(0, packets.V311, "old")
	old.Send(&packets.PubRel{PacketID: 9})
	require.EqualValues(c, 9, mqtttest.Expect[*packets.PubComp](old).PacketID)
}

func qos1Reused(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	for i := range 3 {
		pub.Send(&packets.Publish{QoS: 1, PacketID: 7, Dup: i > 0, TopicName: "t", Payload: []byte("m")})
		require.EqualValues(c, 7, mqtttest.Expect[*packets.PubAck](pub).PacketID)
		sub.ExpectPublish("t", "m") // at least once
	}
}

func dupStays(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for qos := packets.QoS(1); qos <= 2; qos++ {
		pub.PublishWith(&packets.Publish{QoS: qos, Dup: true, TopicName: "t", Payload: []byte("m")})
		require.False(c, sub.ExpectPublish("t", "m").Dup)
	}
}

func messageExpiry(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Subscribe(1, "t")
	sub.Disconnect()
	pub := c.v5(0, "pub")
	publish := func(payload string, seconds uint32) {
		pub.PublishWith(&packets.Publish{QoS: 1, TopicName: "t", Payload: []byte(payload), Properties: packets.Properties{
			MessageExpiryInterval: packets.Some(seconds),
		}})
	}
	publish("short", 5)
	publish("long", 60)
	publish("nothing", 0)
	pub.Publish(1, "t", "ever")
	c.pass(20 * time.Second)
	sub, _ = c.with(2, kept("sub", false))
	p := sub.ExpectPublish("t", "long")
	left, ok := p.Properties.MessageExpiryInterval.Get()
	require.True(c, ok)
	require.InDelta(c, 40, left, 2)
	require.False(c, sub.ExpectPublish("t", "ever").Properties.MessageExpiryInterval.Set)
	publish("live", 60)
	left = sub.ExpectPublish("t", "live").Properties.MessageExpiryInterval.Value
	require.InDelta(c, 60, left, 1)
	sub.ExpectQuiet()
}

func aliasInbound(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "#")
	pub := c.v5(0, "pub")
	send := func(topic string, alias uint16, payload string) {
		pub.PublishWith(&packets.Publish{QoS: 1, TopicName: topic, Payload: []byte(payload), Properties: packets.Properties{
			TopicAlias: packets.Some(alias),
		}})
	}
	send("a", 1, "1")
	require.False(c, sub.ExpectPublish("a", "1").Properties.TopicAlias.Set)
	send("", 1, "2")
	sub.ExpectPublish("a", "2")
	send("b", 2, "3")
	sub.ExpectPublish("b", "3")
	send("c", 1, "4") // another meaning
	sub.ExpectPublish("c", "4")
	send("", 1, "5")
	sub.ExpectPublish("c", "5")
	send("", 2, "6")
	sub.ExpectPublish("b", "6")
}

// aliasEvery uses all aliases that the server has said it takes.
func aliasEvery(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(0, "t/+")
	pub, ack := c.with(0, &packets.Connect{ClientID: "pub", CleanStart: true})
	limit := int(ack.Properties.TopicAliasMaximum.Or(0))
	require.NotZero(c, limit)
	for _, named := range []bool{true, false} {
		for i := 1; i <= limit; i++ {
			p := &packets.Publish{Payload: []byte("m"), Properties: packets.Properties{TopicAlias: packets.Some(uint16(i))}}
			if named {
				p.TopicName = "t/" + strconv.Itoa(i)
			}
			pub.Send(p)
			sub.ExpectPublish("t/"+strconv.Itoa(i), "m")
		}
	}
	pub.ExpectQuiet()
}

func qos2Expired(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(2, "t")
	pub, _ := c.with(0, kept("pub", true))
	p := &packets.Publish{QoS: 2, PacketID: 7, TopicName: "t", Payload: []byte("m"), Properties: packets.Properties{MessageExpiryInterval: packets.Some(uint32(1))}}
	pub.Send(p)
	c.code(packets.Success, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
	sub.ExpectPublish("t", "m")
	for i := range 2 {
		c.pass(10 * time.Second)
		p.Dup = true
		pub.Send(p)
		c.code(packets.Success, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
		if i == 0 {
			pub.Close()
			pub, _ = c.with(2, kept("pub", false))
		}
	}
	pub.Send(&packets.PubRel{PacketID: 7})
	c.code(packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
	sub.ExpectQuiet()
}

func aliasConnection(c *context) {
	pub, _ := c.with(0, kept("pub", true))
	pub.PublishWith(&packets.Publish{QoS: 1, TopicName: "a", Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	pub.Disconnect()
	pub, _ = c.with(1, kept("pub", false))
	pub.PublishAsync(&packets.Publish{QoS: 1, Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	pub.ExpectDisconnect(packets.ProtocolError)
}

func aliasInvalid(c *context) {
	cl, ack := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true})
	limit := ack.Properties.TopicAliasMaximum.Value
	cl.PublishWith(&packets.Publish{QoS: 1, TopicName: "a", Properties: packets.Properties{TopicAlias: packets.Some(limit)}})
	cl.PublishAsync(&packets.Publish{QoS: 1, TopicName: "a", Properties: packets.Properties{TopicAlias: packets.Some(limit + 1)}})
	cl.ExpectDisconnect(packets.TopicAliasInvalid)
	cl = c.v5(1, "d")
	cl.SendRaw([]byte("\x30\x07\x00\x01a\x03\x23\x00\x00")) // alias 0
	d := mqtttest.Expect[*packets.Disconnect](cl)
	require.Contains(c, []packets.ReasonCode{packets.TopicAliasInvalid, packets.ProtocolError}, d.ReasonCode)
}

func aliasOutbound(c *context) {
	const aliases = 2
	sub, _ := c.with(1, &packets.Connect{ClientID: "sub", CleanStart: true, Properties: packets.Properties{TopicAliasMaximum: packets.Some(uint16(aliases))}})
	plain := c.v5(2, "plain")
	sub.Subscribe(1, "#")
	plain.Subscribe(1, "#")
	pub := c.v5(0, "pub")
	names := make(map[uint16]string)
	for round := range 3 {
		for i := range 4 {
			topic := "topic/" + strconv.Itoa(i)
			pub.Publish(packets.QoS(round%2), topic, "m")
			p := mqtttest.Expect[*packets.Publish](sub)
			if alias, ok := p.Properties.TopicAlias.Get(); ok {
				require.LessOrEqual(c, alias, uint16(aliases)) // [MQTT-3.1.2-26]
				if p.TopicName != "" {
					names[alias] = p.TopicName
				}
				p.TopicName = names[alias]
			}
			require.Equal(c, topic, p.TopicName)
			require.False(c, plain.ExpectPublish(topic, "m").Properties.TopicAlias.Set) // [MQTT-3.1.2-27]
		}
	}
}
