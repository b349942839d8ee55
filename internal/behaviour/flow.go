package behaviour

import (
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func flowCases() []Case {
	return []Case{
		{Name: "flow/receive maximum of the client", Clauses: []string{"MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2"}, run: receiveMaximumOut},
		{Name: "flow/receive maximum 1 and QoS 2", Clauses: []string{"MQTT-3.3.4-9", "MQTT-4.9.0-2"}, run: receiveMaximumQoS2},
		{Name: "flow/QoS 0 does not count", Clauses: []string{"MQTT-4.9.0-2", "MQTT-4.9.0-3"}, run: receiveMaximumQoS0},
		{Name: "flow/a full window holds up nothing else", Clauses: []string{"MQTT-3.3.4-10", "MQTT-4.9.0-3"}, run: fullWindow},
		{Name: "flow/receive maximum of the server", Clauses: []string{"MQTT-4.9.0-1"}, run: receiveMaximumIn},
		{Name: "flow/receive maximum exceeded", Clauses: []string{"MQTT-3.3.4-7"}, run: receiveMaximumExceeded},
		{Name: "flow/exceeding loses nothing", Clauses: []string{"MQTT-4.3.3-10"}, run: exceedingLosesNothing},
		{Name: "flow/PUBREC with an error frees the window", Clauses: []string{"MQTT-4.9.0-2"}, run: pubRecErrorFrees},
		{Name: "flow/maximum packet size of the client", Clauses: []string{"MQTT-3.1.2-24", "MQTT-3.1.2-25"}, run: maximumPacketOut},
		{Name: "flow/maximum packet size and answers", Clauses: []string{"MQTT-3.9.2-1", "MQTT-3.14.2-3"}, run: maximumPacketAnswers},
		{Name: "flow/maximum packet size of the server", Clauses: []string{"MQTT-3.2.2-15"}, run: maximumPacketIn},
		{Name: "flow/request problem information", Clauses: []string{"MQTT-3.1.2-29"}, run: problemInformation},
		{Name: "flow/identifiers of both ways", Clauses: []string{"MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"}, run: identifiers},
		{Name: "flow/acknowledgements of nothing", Clauses: []string{"MQTT-3.6.2-1"}, run: strayAcks},
	}
}

func withReceiveMaximum(id string, n uint16) *packets.Connect {
	return &packets.Connect{ClientID: id, CleanStart: true, Properties: packets.Properties{ReceiveMaximum: packets.Some(n)}}
}

func receiveMaximumOut(c *context) {
	sub, _ := c.with(1, withReceiveMaximum("sub", 2))
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	for i := range 8 {
		pub.Publish(1, "t", strconv.Itoa(i))
	}
	for i := 0; i < 8; i += 2 {
		first, second := sub.ExpectPublish("t", strconv.Itoa(i)), sub.ExpectPublish("t", strconv.Itoa(i+1))
		sub.ExpectQuiet()
		sub.Send(&packets.PubAck{PacketID: second.PacketID}) // in any order
		sub.Send(&packets.PubAck{PacketID: first.PacketID})
	}
	sub.ExpectQuiet()
}

func receiveMaximumQoS2(c *context) {
	sub, _ := c.with(1, withReceiveMaximum("sub", 1))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for i := range 4 {
		pub.Publish(2, "t", strconv.Itoa(i))
	}
	for i := range 4 {
		p := sub.ExpectPublish("t", strconv.Itoa(i))
		sub.ExpectQuiet()
		sub.Send(&packets.PubRec{PacketID: p.PacketID})
		require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubRel](sub).PacketID)
		sub.ExpectQuiet() // a place is free only with PUBCOMP
		sub.Send(&packets.PubComp{PacketID: p.PacketID})
	}
}

func receiveMaximumQoS0(c *context) {
	sub, _ := c.with(1, withReceiveMaximum("sub", 1))
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	pub.Publish(1, "t", "one")
	sub.ExpectPublish("t", "one")
	for i := range 5 {
		pub.Publish(0, "t", strconv.Itoa(i))
		sub.ExpectPublish("t", strconv.Itoa(i))
	}
	// And from a client it takes nothing from its quota.
	ack := c.v5(2, "other")
	for range 3000 {
		ack.Publish(0, "nowhere", "m")
	}
	ack.ExpectQuiet()
}

// fullWindow does everything else while the client may not be sent another message.
func fullWindow(c *context) {
	cl, _ := c.with(1, withReceiveMaximum("c", 1))
	cl.Manual = true
	cl.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	pub.Publish(1, "t", "one")
	pub.Publish(1, "t", "two")
	held := cl.ExpectPublish("t", "one")
	cl.Subscribe(2, "u")
	c.code(packets.NoMatchingSubscribers, cl.Publish(1, "nowhere", "m"))
	c.code(packets.NoMatchingSubscribers, cl.Publish(2, "nowhere", "m"))
	c.code(packets.Success, cl.Unsubscribe("u")[0])
	pub.Publish(0, "t", "zero")
	cl.ExpectPublish("t", "zero")
	cl.ExpectQuiet()
	cl.Send(&packets.PubAck{PacketID: held.PacketID})
	cl.ExpectPublish("t", "two")
}

func receiveMaximumIn(c *context) {
	pub, ack := c.with(0, &packets.Connect{ClientID: "pub", CleanStart: true})
	limit := int(ack.Properties.ReceiveMaximum.Or(65535))
	for range limit { // the whole quota, open
		pub.Send(&packets.Publish{QoS: 2, PacketID: pub.ID(), TopicName: "t"})
	}
	var ids []uint16
	for range limit {
		ids = append(ids, mqtttest.Expect[*packets.PubRec](pub).PacketID)
	}
	for _, id := range ids {
		pub.Send(&packets.PubRel{PacketID: id})
		pub.Expect(packets.TypePubComp)
	}
	for range 2 * limit { // the quota comes back
		pub.Publish(1, "t", "m")
	}
}

func receiveMaximumExceeded(c *context) {
	pub, ack := c.with(0, &packets.Connect{ClientID: "pub", CleanStart: true})
	limit := int(ack.Properties.ReceiveMaximum.Or(65535))
	for range limit {
		pub.Send(&packets.Publish{QoS: 2, PacketID: pub.ID(), TopicName: "t"})
		pub.Expect(packets.TypePubRec)
	}
	pub.Send(&packets.Publish{QoS: 2, PacketID: pub.ID(), TopicName: "t"})
	pub.ExpectDisconnect(packets.ReceiveMaximumExceeded)
}

func exceedingLosesNothing(c *context) {
	sub := c.v5(2, "sub")
	sub.Subscribe(2, "last")
	pub, ack := c.with(0, kept("pub", true))
	limit := int(ack.Properties.ReceiveMaximum.Or(65535))
	for range limit {
		pub.Send(&packets.Publish{QoS: 2, PacketID: pub.ID(), TopicName: "t"})
		pub.Expect(packets.TypePubRec)
	}
	last := &packets.Publish{QoS: 2, PacketID: pub.ID(), TopicName: "last", Payload: []byte("m")}
	pub.Send(last)
	pub.ExpectDisconnect(packets.ReceiveMaximumExceeded)
	pub.Close()
	pub, ack = c.with(1, kept("pub", false))
	require.True(c, ack.SessionPresent)
	last.Dup = true
	pub.Send(last)
	pub.Expect(packets.TypePubRec)
	sub.ExpectPublish("last", "m")
}

func pubRecErrorFrees(c *context) {
	sub, _ := c.with(1, withReceiveMaximum("sub", 1))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for i := range 3 {
		pub.Publish(2, "t", strconv.Itoa(i))
	}
	for i := range 3 {
		p := sub.ExpectPublish("t", strconv.Itoa(i))
		sub.Send(&packets.PubRec{PacketID: p.PacketID, ReasonCode: packets.QuotaExceeded})
	}
	sub.ExpectQuiet()
}

func maximumPacketOut(c *context) {
	for qos := range packets.QoS(3) {
		sub, _ := c.with(1, &packets.Connect{ClientID: "sub", CleanStart: true, Properties: packets.Properties{MaximumPacketSize: packets.Some(uint32(100))}})
		other := c.v5(2, "other")
		sub.Subscribe(qos, "t")
		other.Subscribe(qos, "t")
		pub := c.v5(0, "pub")
		for _, n := range []int{10, 95, 92, 91, 90, 89, 88, 200, 10} {
			payload := strings.Repeat("x", n)
			pub.Publish(qos, "t", payload)
			other.ExpectPublish("t", payload)
			size := (&packets.Publish{QoS: qos, PacketID: 1, TopicName: "t", Payload: []byte(payload)})
			if qos == 0 {
				size.PacketID = 0
			}
			if size.Size(packets.V5) <= 100 {
				sub.ExpectPublish("t", payload)
			}
		}
		sub.ExpectQuiet() // a larger one fails the test in the client
	}
}

func maximumPacketAnswers(c *context) {
	connect := &packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{MaximumPacketSize: packets.Some(uint32(30))}}
	cl, _ := c.with(0, connect)
	p := new(packets.Subscribe)
	for range 5 {
		p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: "a/#/b"})
	}
	for _, code := range cl.SubscribeWith(p).ReasonCodes {
		c.code(packets.TopicFilterInvalid, code)
	}
	cl.Send(&packets.Connect{ClientID: "c"})
	cl.ExpectDisconnect(packets.ProtocolError) // without a Reason String, which would not fit
}

func maximumPacketIn(c *context) {
	cl, ack := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true})
	limit := ack.Properties.MaximumPacketSize.Value
	require.NotZero(c, limit)
	b := []byte{0x30}
	for n := limit; n > 0; n >>= 7 { // a Remaining Length of limit makes the packet a little larger
		x := byte(n & 0x7f)
		if n>>7 > 0 {
			x |= 0x80
		}
		b = append(b, x)
	}
	cl.SendRaw(b)
	cl.ExpectDisconnect(packets.PacketTooLarge)
}

func problemInformation(c *context) {
	for _, want := range []bool{true, false} {
		p := &packets.Connect{ClientID: "c", CleanStart: true}
		if !want {
			p.Properties.RequestProblemInformation = packets.Some(byte(0))
		}
		cl, _ := c.with(0, p)
		ack := cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "a/#/b"}}})
		c.code(packets.TopicFilterInvalid, ack.ReasonCodes[0])
		require.Equal(c, want, ack.Properties.ReasonString.Set)
		require.Empty(c, ack.Properties.UserProperties)
	}
}

func identifiers(c *context) {
	// The server's identifiers and the client's are two spaces.
	sub := c.v5(0, "sub")
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub := c.v5(1, "pub")
	pub.Publish(1, "t", "m")
	p := sub.ExpectPublish("t", "m")
	sub.Send(&packets.Subscribe{PacketID: p.PacketID, Subscriptions: []packets.Subscription{{TopicFilter: "u", QoS: 1}}})
	c.code(packets.GrantedQoS1, mqtttest.Expect[*packets.SubAck](sub).ReasonCodes[0])
	sub.Send(&packets.Publish{QoS: 2, PacketID: p.PacketID, TopicName: "v"})
	sub.Expect(packets.TypePubRec)
	pub.Publish(1, "u", "n")
	q := sub.ExpectPublish("u", "n")
	require.NotEqual(c, p.PacketID, q.PacketID)
	sub.Send(&packets.PubAck{PacketID: p.PacketID})
	sub.Send(&packets.PubAck{PacketID: q.PacketID})
	sub.Send(&packets.PubRel{PacketID: p.PacketID})
	c.code(packets.Success, mqtttest.Expect[*packets.PubComp](sub).ReasonCode)
	sub.ExpectQuiet()
}

func strayAcks(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c"+v.String())
		cl.Manual = true
		cl.Send(&packets.PubAck{PacketID: 5})
		cl.Send(&packets.PubComp{PacketID: 5})
		cl.Send(&packets.PubRec{PacketID: 5})
		rel := mqtttest.Expect[*packets.PubRel](cl)
		require.EqualValues(c, 5, rel.PacketID)
		cl.ExpectQuiet()
	}
}
