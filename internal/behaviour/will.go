package behaviour

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func willCases() []Case {
	return []Case{
		{Name: "will/connection lost", Clauses: []string{"MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-12", "MQTT-3.1.2-14"}, run: willLost},
		{Name: "will/void after DISCONNECT", Clauses: []string{"MQTT-3.1.2-10", "MQTT-3.14.4-3"}, Timed: true, run: willVoid},
		{Name: "will/DISCONNECT 0x04", Clauses: []string{"MQTT-3.1.2-8"}, run: willOnDisconnect},
		{Name: "will/DISCONNECT with an error", Clauses: []string{"MQTT-3.1.2-8"}, run: willOnError},
		{Name: "will/protocol error", Clauses: []string{"MQTT-3.1.2-8"}, run: willProtocolError},
		{Name: "will/keep alive timeout", Clauses: []string{"MQTT-3.1.2-8"}, Timed: true, run: willKeepAlive},
		{Name: "will/delay", Clauses: []string{"MQTT-3.1.2-8"}, Timed: true, run: willDelay},
		{Name: "will/delay ends with the session", Clauses: []string{"MQTT-3.1.2-8"}, Timed: true, run: willSessionEnd},
		{Name: "will/delay after every end", Clauses: []string{"MQTT-3.1.2-8"}, Timed: true, run: willEveryEnd},
		{Name: "will/delay cancelled by reconnecting", Clauses: []string{"MQTT-3.1.3-9"}, Timed: true, run: willCancelled},
		{Name: "will/delay and clean start", Clauses: []string{"MQTT-3.1.2-8"}, run: willCleanStart},
		{Name: "will/taken over", Clauses: []string{"MQTT-3.1.4-3", "MQTT-3.1.2-8"}, run: willTakenOver},
		{Name: "will/taken over with delay", Clauses: []string{"MQTT-3.1.3-9"}, Timed: true, run: willTakenOverDelay},
		{Name: "will/properties", Clauses: []string{"MQTT-3.1.3-10", "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-18", "MQTT-3.3.2-20"}, run: willProperties},
		{Name: "will/retained", Clauses: []string{"MQTT-3.1.2-15"}, run: willRetained},
		{Name: "will/reconnecting at once after DISCONNECT", Clauses: []string{"MQTT-3.1.2-10"}, run: willReconnectAtOnce},
		{Name: "will/of the connection, not of the session", Clauses: []string{"MQTT-3.1.2-10"}, run: willOfConnection},
	}
}

func withWill(id string, delay, expiry uint32) *packets.Connect {
	p := &packets.Connect{ClientID: id, CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte(id), QoS: 1}}
	if delay > 0 {
		p.Will.Properties.WillDelayInterval = packets.Some(delay)
	}
	if expiry > 0 {
		p.Properties.SessionExpiryInterval = packets.Some(expiry)
	}
	return p
}

// watch returns a subscriber to the wills, on another node than client 0.
func watch(c *context) *mqtttest.Client {
	sub := c.v5(1, "watch")
	sub.Subscribe(2, "will")
	return sub
}

func willLost(c *context) {
	sub := watch(c)
	for i, v := range versions {
		for qos := range packets.QoS(3) {
			cl := c.dial(i, v)
			cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte("gone"), QoS: qos}})
			cl.Close()
			p := sub.ExpectPublish("will", "gone")
			require.Equal(c, qos, p.QoS)
			require.False(c, p.Retain)
			late := c.v5(i+1, "late")
			late.Subscribe(0, "will")
			late.Quiesce()
			for _, p := range late.Stashed() { // between nodes the one before may still be under way
				require.False(c, p.Retain, "it was retained")
			}
		}
	}
	sub.ExpectQuiet()
}

func willVoid(c *context) {
	sub := watch(c)
	for i, v := range versions {
		cl := c.dial(i, v)
		cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte("gone")}})
		cl.Disconnect()
	}
	cl, _ := c.with(0, withWill("delayed", 5, 20))
	cl.Disconnect()
	sub.ExpectNothing(40 * time.Second)
}

func willOnDisconnect(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 0, 0))
	cl.DisconnectWith(&packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage})
	sub.ExpectPublish("will", "c")
	sub.ExpectQuiet()
}

func willOnError(c *context) {
	sub := watch(c)
	for _, code := range []packets.ReasonCode{packets.UnspecifiedError, packets.AdministrativeAction, packets.QuotaExceeded} {
		cl, _ := c.with(0, withWill("c", 0, 0))
		cl.DisconnectWith(&packets.Disconnect{ReasonCode: code})
		sub.ExpectPublish("will", "c")
	}
	sub.ExpectQuiet()
}

func willProtocolError(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 0, 0))
	cl.SendRaw([]byte("\xc1\x00"))
	cl.ExpectDisconnect(packets.MalformedPacket)
	sub.ExpectPublish("will", "c")
}

func willKeepAlive(c *context) {
	sub := watch(c)
	p := withWill("c", 0, 0)
	p.KeepAlive = 4
	c.with(0, p)
	sub.Timeout = 20 * time.Second
	began := time.Now()
	sub.ExpectPublish("will", "c")
	onTime(c, began, 6*time.Second)
}

func willDelay(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 10, 100))
	began := time.Now()
	cl.Close()
	sub.Timeout = 30 * time.Second
	sub.ExpectPublish("will", "c")
	onTime(c, began, 10*time.Second)
	sub.ExpectNothing(20 * time.Second)
}

func willSessionEnd(c *context) {
	sub := watch(c)
	sub.Timeout = 30 * time.Second
	cl, _ := c.with(0, withWill("zero", 20, 0)) // the session ends with the connection
	began := time.Now()
	cl.Close()
	sub.ExpectPublish("will", "zero")
	onTime(c, began, 0)
	cl, _ = c.with(2, withWill("five", 20, 5))
	began = time.Now()
	cl.Close()
	sub.ExpectPublish("will", "five")
	onTime(c, began, 5*time.Second)
	sub.ExpectNothing(30 * time.Second)
}

// willEveryEnd ends connections in every way there is. The will comes when the delay has passed or the session has ended, whichever
// is earlier, counted from the end of the connection.
func willEveryEnd(c *context) {
	sub := watch(c)
	sub.Timeout = time.Minute
	expiry := func(p *packets.Disconnect, seconds uint32) *packets.Disconnect {
		p.Properties.SessionExpiryInterval = packets.Some(seconds)
		return p
	}
	withWillMessage := func() *packets.Disconnect {
		return &packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage}
	}
	for i, tc := range []struct {
		name string
		end  func(cl *mqtttest.Client)
		late float64 // seconds after end has returned
	}{
		{"lost", func(cl *mqtttest.Client) { cl.Close() }, 10},
		{"DISCONNECT 0x04", func(cl *mqtttest.Client) { cl.DisconnectWith(withWillMessage()) }, 10},
		{"DISCONNECT 0x04 and a session that ends", func(cl *mqtttest.Client) { cl.DisconnectWith(expiry(withWillMessage(), 0)) }, 0},
		{"DISCONNECT 0x04 and a session that ends before the delay", func(cl *mqtttest.Client) { cl.DisconnectWith(expiry(withWillMessage(), 5)) }, 5},
		{"DISCONNECT 0x04 and a session that lasts longer", func(cl *mqtttest.Client) { cl.DisconnectWith(expiry(withWillMessage(), 1000)) }, 10},
		{"DISCONNECT with an error", func(cl *mqtttest.Client) {
			cl.DisconnectWith(&packets.Disconnect{ReasonCode: packets.UnspecifiedError})
		}, 10},
		{"malformed packet", func(cl *mqtttest.Client) {
			cl.SendRaw([]byte{0xC1, 0})
			cl.ExpectDisconnect(packets.MalformedPacket)
		}, 10},
		{"protocol error", func(cl *mqtttest.Client) {
			cl.Send(&packets.Connect{ClientID: "x"})
			cl.ExpectDisconnect(packets.ProtocolError)
		}, 10},
		{"keep alive", func(cl *mqtttest.Client) {
			cl.Timeout = time.Minute
			cl.ExpectDisconnect(packets.KeepAliveTimeout)
		}, 10},
		{"half a packet", func(cl *mqtttest.Client) {
			cl.SendRaw([]byte{0x30, 100, 0})
			cl.Close()
		}, 10},
	} {
		p := withWill("c", 10, 100)
		p.Will.Payload, p.KeepAlive = []byte(tc.name), 20
		cl, _ := c.with(i, p)
		tc.end(cl)
		began := time.Now()
		sub.ExpectPublish("will", tc.name)
		require.InDelta(c, tc.late, time.Since(began).Seconds(), 1.1, tc.name)
	}
	sub.ExpectNothing(30 * time.Second)
}

func willCancelled(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 10, 100))
	cl.Close()
	c.pass(5 * time.Second)
	p := withWill("c", 10, 100)
	p.CleanStart, p.Will = false, nil
	_, ack := c.with(2, p)
	require.True(c, ack.SessionPresent)
	sub.ExpectNothing(30 * time.Second)
}

func willCleanStart(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 1000, 1000))
	cl.Close()
	c.with(2, kept("c", true)) // ends the session, and with it the wait
	sub.ExpectPublish("will", "c")
	sub.ExpectQuiet()
}

func willTakenOver(c *context) {
	sub := watch(c)
	old, _ := c.with(0, withWill("c", 0, 100))
	p := withWill("c", 0, 100)
	p.CleanStart = false
	p.Will.Payload = []byte("second")
	fresh, _ := c.with(2, p)
	old.ExpectDisconnect(packets.SessionTakenOver)
	sub.ExpectPublish("will", "c")
	fresh.Close()
	sub.ExpectPublish("will", "second")
	sub.ExpectQuiet()
}

func willTakenOverDelay(c *context) {
	sub := watch(c)
	old, _ := c.with(0, withWill("c", 5, 100))
	p := withWill("c", 5, 100)
	p.CleanStart = false
	fresh, _ := c.with(2, p)
	old.ExpectDisconnect(packets.SessionTakenOver)
	sub.ExpectNothing(20 * time.Second)
	fresh.Disconnect()
	sub.ExpectNothing(20 * time.Second)
}

func willProperties(c *context) {
	sub := watch(c)
	props := packets.Properties{
		PayloadFormatIndicator: packets.Some(byte(1)), ContentType: packets.Some("text/plain"), ResponseTopic: packets.Some("r"),
		CorrelationData: []byte("c"), UserProperties: []packets.UserProperty{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}},
		MessageExpiryInterval: packets.Some(uint32(60)),
	}
	p := withWill("c", 0, 0)
	p.Will.Properties = props
	p.Will.Properties.WillDelayInterval = packets.Some(uint32(0))
	cl, _ := c.with(0, p)
	cl.Close()
	require.Equal(c, props, sub.ExpectPublish("will", "c").Properties)
}

func willRetained(c *context) {
	sub := watch(c)
	p := withWill("c", 0, 0)
	p.Will.Retain = true
	cl, _ := c.with(0, p)
	cl.Close()
	require.False(c, sub.ExpectPublish("will", "c").Retain)
	c.soon("the will is retained", func() bool {
		late := c.v5(2, "late")
		defer late.Disconnect()
		late.Subscribe(1, "will")
		late.Quiesce()
		return slices.ContainsFunc(late.Stashed(), func(p *packets.Publish) bool { return p.Retain && string(p.Payload) == "c" })
	})
}

func willReconnectAtOnce(c *context) {
	sub := watch(c)
	for i := range 20 {
		p := withWill("c", 0, 100)
		p.CleanStart = false
		cl, _ := c.with(0, p)
		cl.Disconnect()
		p.Will = nil
		fresh, ack := c.with(i%2, p)
		require.True(c, ack.SessionPresent)
		fresh.Disconnect()
	}
	sub.ExpectQuiet()
}

func willOfConnection(c *context) {
	sub := watch(c)
	cl, _ := c.with(0, withWill("c", 0, 100))
	cl.Disconnect()
	p := withWill("c", 0, 100)
	p.CleanStart, p.Will = false, nil
	fresh, ack := c.with(1, p)
	require.True(c, ack.SessionPresent)
	fresh.Close() // this connection has none
	again, _ := c.with(2, p)
	again.ExpectQuiet()
	sub.ExpectQuiet()
}
