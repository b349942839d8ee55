package behaviour

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func packetSizeCases() []Case {
	return []Case{
		{Name: "packet size/CONNACK", Clauses: []string{"MQTT-3.1.2-24"}, Options: throughDoor, run: sizeOfConnAck},
		{Name: "packet size/CONNACK to a malformed CONNECT", Clauses: []string{"MQTT-3.1.2-24"}, run: sizeOfMalformed},
		{Name: "packet size/SUBACK and UNSUBACK", Clauses: []string{"MQTT-3.1.2-24"}, run: sizeOfSubAck},
		{Name: "packet size/DISCONNECT", Clauses: []string{"MQTT-3.1.2-24"}, run: sizeOfDisconnect},
	}
}

// small returns a client that takes packets of up to size bytes, and fails the test when a larger one comes.
func small(c *context, i int, size uint32) (*mqtttest.Client, *packets.Connect) {
	cl := c.dial(i, packets.V5)
	cl.MaxPacket = int(size)
	return cl, &packets.Connect{
		ClientID: "small", CleanStart: true, Properties: packets.Properties{MaximumPacketSize: packets.Some(size)},
	}
}

// sizeOfConnAck holds that a client which does not take the CONNACK it is owed is refused, and that one that does not take the refusal gets nothing.
func sizeOfConnAck(c *context) {
	cl, p := small(c, 0, 10)
	c.code(packets.PacketTooLarge, cl.TryConnect(p).ReasonCode)
	cl.ExpectClosed()
	cl, p = small(c, 1, 4)
	cl.Send(p)
	cl.ExpectClosed()
	cl, p = small(c, 2, 5)
	p.UserName = packets.Some("bob")
	ack := cl.TryConnect(p)
	c.code(packets.BadUserNameOrPassword, ack.ReasonCode)
	require.False(c, ack.Properties.ReasonString.Set)
	cl.ExpectClosed()
}

// sizeOfMalformed holds that the limit holds as soon as it was read.
func sizeOfMalformed(c *context) {
	for i, size := range []byte{5, 4} {
		cl := c.dial(i, packets.V5)
		cl.MaxPacket = int(size)
		cl.SendRaw(rawConnect(packets.V5, 6, props([]byte{0x27, 0, 0, 0, size}), text("c"), props(""), text("#"), text("")))
		if size == 5 {
			require.True(c, mqtttest.Expect[*packets.ConnAck](cl).ReasonCode.IsError())
		}
		cl.ExpectClosed()
	}
}

// sizeOfSubAck holds that a client that does not take the answer it waits for is told so.
func sizeOfSubAck(c *context) {
	for i, unsubscribe := range []bool{false, true} {
		cl, p := small(c, i, 30)
		cl.Connect(p)
		var sub packets.Subscribe
		var unsub packets.Unsubscribe
		for n := range 40 {
			filter := fmt.Sprint(n)
			sub.Subscriptions = append(sub.Subscriptions, packets.Subscription{TopicFilter: filter})
			unsub.TopicFilters = append(unsub.TopicFilters, filter)
		}
		sub.PacketID, unsub.PacketID = 1, 2
		if unsubscribe {
			cl.Send(&unsub)
		} else {
			cl.Send(&sub)
		}
		cl.ExpectDisconnect(packets.PacketTooLarge)
	}
}

// sizeOfDisconnect holds that a DISCONNECT leaves out its Reason String.
func sizeOfDisconnect(c *context) {
	cl, p := small(c, 0, 30)
	cl.Connect(p)
	cl.SendRaw([]byte{0xc1, 0})
	require.False(c, cl.ExpectDisconnect(packets.MalformedPacket).Properties.ReasonString.Set)
}
