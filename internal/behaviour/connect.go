package behaviour

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func connectCases() []Case {
	return []Case{
		{Name: "connect/versions", Clauses: []string{"MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.2-2", "MQTT-4.2-1", "MQTT-4.12.0-6"}, run: connectVersions},
		{Name: "connect/second CONNECT", Clauses: []string{"MQTT-3.1.0-2", "MQTT-3.2.0-2", "MQTT-3.14.4-1", "MQTT-3.14.4-2", "3.1.1:MQTT-3.1.0-2"}, run: connectTwice},
		{Name: "connect/assigned client identifier", Clauses: []string{"MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16"}, run: connectAssigned},
		{Name: "connect/empty client identifier in 3", Clauses: []string{"3.1.1:MQTT-3.1.3-7", "3.1.1:MQTT-3.1.3-8"}, run: connectEmptyV3},
		{Name: "connect/unknown authentication method", Clauses: []string{"MQTT-4.12.0-1"}, run: connectAuthMethod},
		{Name: "connect/AUTH out of place", Clauses: []string{"MQTT-4.12.0-7"}, run: connectAuthPacket},
		{Name: "connect/packets behind CONNECT at once", run: connectEager},
		{Name: "connect/response information", Clauses: []string{"MQTT-3.1.2-28"}, run: responseInformation},
		{Name: "connect/limits in CONNACK", run: connectLimits},
		{Name: "connect/keep alive timeout", Clauses: []string{"MQTT-3.1.2-22", "MQTT-3.2.2-22"}, Timed: true, run: keepAlive},
		{Name: "connect/keep alive 0", Timed: true, run: keepAliveOff},
		{Name: "connect/no CONNECT in time", Timed: true, run: connectTimeout},
		{Name: "connect/half a CONNECT for ever", Timed: true, run: connectHalf},
		{Name: "connect/ping", Clauses: []string{"MQTT-3.12.4-1", "3.1.1:MQTT-3.12.4-1"}, run: ping},
		{Name: "connect/nothing after DISCONNECT", Clauses: []string{"3.1.1:MQTT-3.14.4-1"}, run: afterDisconnect},
		{Name: "connect/DUP of what 3.1 sends again", run: dupOf31},
	}
}

var versions = []packets.Version{packets.V31, packets.V311, packets.V5}

func connectVersions(c *context) {
	for i, v := range versions {
		cl := c.dial(i, v)
		ack := cl.Connect(&packets.Connect{ClientID: "c" + v.String(), CleanStart: true, KeepAlive: 60})
		require.False(c, ack.SessionPresent)
		cl.ExpectQuiet()
		cl.Disconnect()
	}
}

func connectTwice(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c")
		cl.Send(&packets.Connect{ClientID: "c", CleanStart: true})
		cl.ExpectDisconnect(packets.ProtocolError)
	}
}

func connectAssigned(c *context) {
	seen := make(map[string]bool)
	for i := range 3 {
		_, ack := c.with(i, &packets.Connect{CleanStart: i == 0})
		id, ok := ack.Properties.AssignedClientIdentifier.Get()
		require.True(c, ok)
		require.NotEmpty(c, id)
		require.False(c, seen[id], "the identifier was given out before")
		seen[id] = true
	}
	_, ack := c.with(0, &packets.Connect{ClientID: "mine", CleanStart: true})
	require.False(c, ack.Properties.AssignedClientIdentifier.Set)
	cl, ack := c.with(1, kept("", true)) // it is as good as one of the client's own
	cl.Subscribe(1, "t")
	cl.Disconnect()
	c.v5(0, "pub").Publish(1, "t", "m")
	cl, again := c.with(2, kept(ack.Properties.AssignedClientIdentifier.Value, false))
	require.True(c, again.SessionPresent)
	cl.ExpectPublish("t", "m")
}

func connectEmptyV3(c *context) {
	cl := c.dial(0, packets.V311)
	cl.Connect(&packets.Connect{CleanStart: true})
	cl.ExpectQuiet()
	cl = c.dial(1, packets.V311)
	c.code(packets.ClientIdentifierNotValid, cl.TryConnect(&packets.Connect{CleanStart: false}).ReasonCode)
	cl.ExpectClosed()
	cl = c.dial(2, packets.V31)
	c.code(packets.ClientIdentifierNotValid, cl.TryConnect(&packets.Connect{CleanStart: true}).ReasonCode)
	cl.ExpectClosed()
}

func connectAuthMethod(c *context) {
	cl := c.dial(0, packets.V5)
	ack := cl.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{
		AuthenticationMethod: packets.Some("none such"),
	}})
	c.code(packets.BadAuthenticationMethod, ack.ReasonCode)
	cl.ExpectClosed()
}

func connectAuthPacket(c *context) {
	cl := c.v5(0, "c")
	cl.Send(&packets.Auth{ReasonCode: packets.ReAuthenticate, Properties: packets.Properties{AuthenticationMethod: packets.Some("m")}})
	cl.ExpectDisconnect(packets.ProtocolError)
}

func connectEager(c *context) {
	cl := c.dial(0, packets.V5)
	var b []byte
	for _, p := range []packets.Packet{
		&packets.Connect{ClientID: "c", CleanStart: true},
		&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t"}}},
		&packets.Publish{TopicName: "t", Payload: []byte("m")},
		&packets.PingReq{},
	} {
		var err error
		b, err = packets.Append(b, p, packets.V5)
		require.NoError(c, err)
	}
	for _, x := range b { // one byte at a time
		cl.SendRaw([]byte{x})
	}
	cl.Expect(packets.TypeConnAck)
	cl.Expect(packets.TypeSubAck)
	cl.ExpectPublish("t", "m")
	cl.Expect(packets.TypePingResp)
}

// responseInformation holds that nobody gets what they have not asked for.
func responseInformation(c *context) {
	for i, asked := range []packets.Optional[byte]{{}, packets.Some(byte(0))} {
		_, ack := c.with(i, &packets.Connect{ClientID: "c", CleanStart: true, Properties: packets.Properties{RequestResponseInformation: asked}})
		require.False(c, ack.Properties.ResponseInformation.Set)
	}
}

func connectLimits(c *context) {
	_, ack := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true})
	p := ack.Properties
	require.NotZero(c, p.ReceiveMaximum.Or(65535))
	require.NotZero(c, p.MaximumPacketSize.Value)
	require.NotZero(c, p.TopicAliasMaximum.Value)
	require.False(c, p.MaximumQoS.Set) // 2 is said by leaving it out [MQTT-3.2.2-9]
	require.EqualValues(c, 1, p.RetainAvailable.Or(1))
	require.EqualValues(c, 1, p.SharedSubscriptionAvailable.Or(1))
}

func keepAlive(c *context) {
	cl, _ := c.with(0, &packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 10})
	for range 5 {
		c.pass(14 * time.Second)
		cl.ExpectQuiet()
	}
	began := time.Now()
	cl.Timeout = time.Minute
	cl.ExpectDisconnect(packets.KeepAliveTimeout)
	onTime(c, began, 15*time.Second)
}

// onTime holds that as much time has passed since began, to the second, and never less.
func onTime(c *context, began time.Time, want time.Duration) {
	c.Helper()
	took := time.Since(began)
	require.GreaterOrEqual(c, took, want, "too early")
	require.Less(c, took, want+time.Second, "too late")
}

func keepAliveOff(c *context) {
	cl := c.v5(0, "c")
	c.pass(48 * time.Second)
	cl.ExpectQuiet()
}

func connectTimeout(c *context) {
	cl := c.dial(0, packets.V5)
	cl.Timeout = time.Minute
	began := time.Now()
	cl.ExpectClosed()
	require.LessOrEqual(c, time.Since(began), 15*time.Second)
}

func connectHalf(c *context) {
	cl := c.dial(0, packets.V5)
	cl.SendRaw([]byte{0x10, 13, 0, 4, 'M', 'Q'})
	cl.Timeout = time.Minute
	began := time.Now()
	cl.ExpectClosed()
	require.LessOrEqual(c, time.Since(began), 15*time.Second)
}

func ping(c *context) {
	for i, v := range versions {
		cl := c.connect(i, v, "c"+v.String())
		for range 3 {
			cl.Send(&packets.PingReq{})
		}
		for range 3 {
			cl.Expect(packets.TypePingResp)
		}
	}
}

func afterDisconnect(c *context) {
	sub := c.v5(1, "sub")
	sub.Subscribe(1, "t")
	cl := c.v5(0, "c")
	var b []byte
	for _, p := range []packets.Packet{
		&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: []byte("before")},
		&packets.Disconnect{},
		&packets.Publish{TopicName: "t", QoS: 1, PacketID: 2, Payload: []byte("after")},
	} {
		var err error
		b, err = packets.Append(b, p, packets.V5)
		require.NoError(c, err)
	}
	cl.SendRaw(b)
	sub.ExpectPublish("t", "before")
	cl.Expect(packets.TypePubAck)
	cl.ExpectClosed()
	sub.ExpectQuiet()
}

func dupOf31(c *context) {
	cl := c.connect(0, packets.V31, "c")
	cl.SendRaw([]byte("\x8a\x06\x00\x01\x00\x01t\x00")) // SUBSCRIBE with DUP
	cl.Expect(packets.TypeSubAck)
	cl.SendRaw([]byte("\x34\x05\x00\x01t\x00\x02\x6a\x02\x00\x02")) // QoS 2, PUBREL with DUP
	cl.Expect(packets.TypePubRec)
	cl.Expect(packets.TypePubComp)
	cl.ExpectPublish("t", "")
	cl.SendRaw([]byte("\xaa\x05\x00\x03\x00\x01t")) // UNSUBSCRIBE with DUP
	cl.Expect(packets.TypeUnsubAck)
	old := c.connect(1, packets.V311, "d")
	old.SendRaw([]byte("\x8a\x06\x00\x01\x00\x01t\x00"))
	old.ExpectClosed()
}

var long = strings.Repeat("0123456789abcdef", 5<<20/16)
