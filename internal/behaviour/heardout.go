package behaviour

import (
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func heardOutCases() []Case {
	return []Case{
		{Name: "takeover/the old connection is heard out", Clauses: []string{"MQTT-3.1.4-3", "MQTT-3.1.2-10", "MQTT-3.14.4-3"}, run: heardOut},
		{Name: "takeover/heard out, the session goes on", Clauses: []string{"MQTT-3.1.4-3", "MQTT-3.10.4-1"}, run: heardOutLasting},
		{Name: "takeover/heard out, nothing said", Clauses: []string{"MQTT-3.1.4-3"}, run: heardOutSilent},
	}
}

// heardOut holds that what a client has sent before it connects again, wherever, is dealt with first, its DISCONNECT included.
func heardOut(c *context) {
	watch := c.v5(2, "watch")
	watch.Subscribe(1, "will", "said")
	for i, v := range versions {
		for _, clean := range []bool{false, true} {
			old := c.dial(i, v)
			old.Connect(&packets.Connect{ClientID: "c", CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte("gone")}})
			old.Send(&packets.Publish{TopicName: "said", Payload: []byte("once")})
			old.Send(&packets.Publish{TopicName: "said", QoS: 1, PacketID: 7, Payload: []byte("at least once")})
			old.Send(&packets.Disconnect{})
			old.Close()
			again := c.dial(i+1, v)
			require.False(c, again.Connect(&packets.Connect{ClientID: "c", CleanStart: clean}).SessionPresent)
			watch.ExpectPublish("said", "once")
			watch.ExpectPublish("said", "at least once")
			again.Disconnect()
			watch.ExpectQuiet()
			// A client of MQTT 3 that does not ask for a clean session leaves one behind.
			c.connect(i, v, "c").Disconnect()
		}
	}
}

// heardOutLasting holds it for a session that goes on, with what its client has unsubscribed from and acknowledged.
func heardOutLasting(c *context) {
	pub := c.v5(2, "pub")
	old, _ := c.with(0, kept("c", true))
	old.Manual = true
	old.Subscribe(1, "stays", "goes")
	pub.Publish(1, "stays", "1")
	old.Send(&packets.PubAck{PacketID: old.ExpectPublish("stays", "1").PacketID})
	old.Send(&packets.Unsubscribe{PacketID: 9, TopicFilters: []string{"goes"}})
	old.Send(&packets.Disconnect{})
	old.Close()
	again, ack := c.with(1, kept("c", false))
	require.True(c, ack.SessionPresent)
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "goes", "2"))
	pub.Publish(1, "stays", "3")
	again.ExpectPublish("stays", "3")
	again.ExpectQuiet()
}

// heardOutSilent holds that a client which has said nothing more is told of the takeover, and that its will is published.
func heardOutSilent(c *context) {
	watch := watch(c)
	old := c.dial(0, packets.V5)
	old.Connect(withWill("c", 0, 0))
	again := c.v5(1, "c")
	old.ExpectDisconnect(packets.SessionTakenOver)
	watch.ExpectPublish("will", "c")
	again.Disconnect()
	watch.ExpectQuiet()
}
