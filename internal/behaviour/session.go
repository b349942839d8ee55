package behaviour

import (
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

func sessionCases() []Case {
	return []Case{
		{Name: "session/present", Clauses: []string{"MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.1.2-6", "MQTT-3.1.3-2", "MQTT-3.1.4-4", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-4.1.0-2"}, run: sessionPresent},
		{Name: "session/clean session in 3", Clauses: []string{"3.1.1:MQTT-3.1.2-4", "3.1.1:MQTT-3.1.2-5", "3.1.1:MQTT-3.1.2-6", "3.1.1:MQTT-3.2.2-1"}, run: cleanSessionV3},
		{Name: "session/queue while away", Clauses: []string{"MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-4.5.0-1"}, run: queueWhileAway},
		{Name: "session/expiry", Clauses: []string{"MQTT-4.1.0-1", "MQTT-4.1.0-2", "MQTT-3.1.2-23"}, Timed: true, run: sessionExpiry},
		{Name: "session/ends to the second", Clauses: []string{"MQTT-4.1.0-2", "MQTT-3.1.2-23"}, Timed: true, run: sessionEnds},
		{Name: "session/expiry changed by DISCONNECT", Clauses: []string{"MQTT-4.1.0-2"}, Timed: true, run: expiryByDisconnect},
		{Name: "session/expiry must not grow from 0", run: expiryFromZero},
		{Name: "session/reconnecting renews the time", Timed: true, run: expiryRenewed},
		{Name: "session/expired subscriptions are gone", Timed: true, run: expiredGone},
		{Name: "session/resend of QoS 1", Clauses: []string{"MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.2-3", "MQTT-4.6.0-1"}, run: resendQoS1},
		{Name: "session/resend of QoS 2", Clauses: []string{"MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-6"}, run: resendQoS2},
		{Name: "session/what was sent does not expire", Clauses: []string{"MQTT-4.3.3-7"}, Timed: true, run: sentNeverExpires},
		{Name: "session/nothing is sent again on a live connection", Clauses: []string{"MQTT-4.4.0-1"}, Timed: true, run: noRetry},
		{Name: "session/what was refused is not sent again", Clauses: []string{"MQTT-4.4.0-2"}, run: refusedOnce},
		{Name: "session/acknowledgements of the server in order", Clauses: []string{"MQTT-4.6.0-4"}, run: pubRelOrder},
		{Name: "session/resend with another window", Clauses: []string{"MQTT-4.4.0-1", "MQTT-3.3.4-9"}, run: resendWindow},
		{Name: "session/resumed in another version", run: resumeVersions},
		{Name: "session/taken over", Clauses: []string{"MQTT-3.1.4-3", "MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-3.14.4-1", "MQTT-3.14.4-2", "3.1.1:MQTT-3.1.4-2"}, run: takeover},
		{Name: "session/taken over at once", Clauses: []string{"MQTT-3.1.4-3"}, Timed: true, Prompt: true, run: takeoverPrompt},
		{Name: "session/taken over with messages under way", Clauses: []string{"MQTT-3.1.4-3", "MQTT-4.4.0-1"}, run: takeoverInFlight},
		{Name: "session/taken over while messages flow", Clauses: []string{"MQTT-3.1.4-3", "MQTT-4.6.0-1"}, run: takeoverFlow},
		{Name: "session/taken over with a clean start", Clauses: []string{"MQTT-3.1.2-4"}, run: takeoverClean},
		{Name: "session/many connections at once", Clauses: []string{"MQTT-3.1.4-3"}, run: takeoverRace},
		{Name: "session/retained come once", run: resumeNoRetained},
		{Name: "session/QoS 2 publisher across nodes", Clauses: []string{"MQTT-4.3.3-10", "MQTT-4.3.3-12"}, run: qos2Publisher},
		{Name: "session/topic alias and resend", Clauses: []string{"MQTT-3.3.2-7"}, run: aliasAndResend},
	}
}

func sessionPresent(c *context) {
	cl, ack := c.with(0, kept("c", false))
	require.False(c, ack.SessionPresent)
	cl.Subscribe(1, "t")
	cl.Disconnect()
	cl, ack = c.with(1, kept("c", false))
	require.True(c, ack.SessionPresent)
	pub := c.v5(2, "pub")
	pub.Publish(1, "t", "m")
	cl.ExpectPublish("t", "m")
	cl.Disconnect()
	cl, ack = c.with(2, kept("c", true)) // a clean start forgets
	require.False(c, ack.SessionPresent)
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
	cl.Disconnect()
	cl, ack = c.with(0, &packets.Connect{ClientID: "c"}) // expiry 0 from here on
	require.True(c, ack.SessionPresent)
	cl.Disconnect()
	_, ack = c.with(1, kept("c", false))
	require.False(c, ack.SessionPresent)
}

func cleanSessionV3(c *context) {
	for _, v := range []packets.Version{packets.V31, packets.V311} {
		connect := func(i int, clean bool) (*mqtttest.Client, bool) {
			cl := c.dial(i, v)
			return cl, cl.Connect(&packets.Connect{ClientID: "c", CleanStart: clean}).SessionPresent
		}
		cl, _ := connect(0, true)
		cl.Disconnect()
		cl, present := connect(0, false)
		require.False(c, present)
		cl.Subscribe(1, "t")
		cl.Disconnect()
		pub := c.v5(2, "pub")
		pub.Publish(0, "t", "not kept")
		pub.Publish(1, "t", "m")
		cl, present = connect(1, false)
		require.Equal(c, v == packets.V311, present)
		cl.ExpectPublish("t", "m")
		cl.ExpectQuiet()
		cl.Disconnect()
		cl, present = connect(2, true)
		require.False(c, present)
		cl.ExpectQuiet()
		cl.Disconnect()
		cl, present = connect(0, false)
		require.False(c, present)
		cl.Disconnect()
	}
}

func queueWhileAway(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Subscribe(2, "t/#")
	sub.Disconnect()
	pub := c.v5(0, "pub")
	const n = 500
	for i := range n {
		pub.Publish(packets.QoS(1+i%2), "t/"+strconv.Itoa(i%3), strconv.Itoa(i))
	}
	sub, ack := c.with(2, kept("sub", false))
	require.True(c, ack.SessionPresent)
	for i := range n {
		p := sub.ExpectPublish("t/"+strconv.Itoa(i%3), strconv.Itoa(i))
		require.Equal(c, packets.QoS(1+i%2), p.QoS)
		require.False(c, p.Dup)
	}
	sub.ExpectQuiet()
}

func withExpiry(id string, clean bool, seconds uint32) *packets.Connect {
	return &packets.Connect{ClientID: id, CleanStart: clean, Properties: packets.Properties{SessionExpiryInterval: packets.Some(seconds)}}
}

func sessionExpiry(c *context) {
	cl, _ := c.with(0, withExpiry("c", true, 10))
	cl.Disconnect()
	c.pass(5 * time.Second)
	cl, ack := c.with(1, withExpiry("c", false, 10))
	require.True(c, ack.SessionPresent)
	c.pass(20 * time.Second) // it does not run while connected
	cl.ExpectQuiet()
	cl.Close()
	c.pass(15 * time.Second)
	_, ack = c.with(2, withExpiry("c", false, 10))
	require.False(c, ack.SessionPresent)
}

// sessionEnds holds that a session is there until its last second, and gone after it.
func sessionEnds(c *context) {
	pub := c.v5(1, "pub")
	for i, leave := range []func(*mqtttest.Client){(*mqtttest.Client).Close, (*mqtttest.Client).Disconnect} {
		for _, late := range []bool{false, true} {
			cl, _ := c.with(i, withExpiry("c", true, 10))
			cl.Subscribe(1, "t")
			leave(cl)
			cl.Close()
			after, want := 9900*time.Millisecond, packets.Success
			if late {
				after, want = 10900*time.Millisecond, packets.NoMatchingSubscribers
			}
			c.pass(after)
			c.code(want, pub.Publish(1, "t", "m"))
			cl, ack := c.with(i+1, withExpiry("c", false, 0))
			require.Equal(c, !late, ack.SessionPresent)
			if !late {
				cl.ExpectPublish("t", "m")
			}
			cl.Disconnect()
		}
	}
}

func expiryByDisconnect(c *context) {
	cl, _ := c.with(0, withExpiry("c", true, 10))
	cl.DisconnectWith(&packets.Disconnect{Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(40))}})
	c.pass(25 * time.Second)
	cl, ack := c.with(1, withExpiry("c", false, 10))
	require.True(c, ack.SessionPresent)
	cl.DisconnectWith(&packets.Disconnect{Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(0))}})
	_, ack = c.with(2, withExpiry("c", false, 10))
	require.False(c, ack.SessionPresent)
}

func expiryFromZero(c *context) {
	cl := c.v5(0, "c")
	cl.Send(&packets.Disconnect{Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(40))}})
	cl.ExpectDisconnect(packets.ProtocolError)
	_, ack := c.with(1, kept("c", false))
	require.False(c, ack.SessionPresent)
}

func expiryRenewed(c *context) {
	for i := range 6 {
		cl, ack := c.with(i, withExpiry("c", i == 0, 10))
		require.Equal(c, i > 0, ack.SessionPresent)
		cl.Close()
		c.pass(8 * time.Second)
	}
}

func expiredGone(c *context) {
	cl, _ := c.with(0, withExpiry("c", true, 5))
	cl.Subscribe(1, "t", "$share/g/u", "v/#")
	cl.Close()
	pub := c.v5(1, "pub")
	c.code(packets.Success, pub.Publish(1, "t", "m"))
	c.pass(20 * time.Second)
	for _, topic := range []string{"t", "u", "v/w"} {
		c.code(packets.NoMatchingSubscribers, pub.Publish(1, topic, "m"))
	}
}

func resendQoS1(c *context) {
	connect := kept("sub", true)
	connect.Properties.ReceiveMaximum = packets.Some(uint16(5))
	sub, _ := c.with(1, connect)
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	for _, payload := range numbers(8) {
		pub.Publish(1, "t", payload)
	}
	ids := make(map[string]uint16)
	for _, payload := range numbers(5) {
		ids[payload] = sub.ExpectPublish("t", payload).PacketID
	}
	sub.Send(&packets.PubAck{PacketID: ids["1"]})
	sub.Send(&packets.PubAck{PacketID: ids["3"]})
	for _, payload := range []string{"5", "6"} {
		ids[payload] = sub.ExpectPublish("t", payload).PacketID
	}
	connect.CleanStart = false
	for i := range 3 {
		sub.Close()
		var ack *packets.ConnAck
		sub, ack = c.with(2+i, connect)
		sub.Manual = true
		require.True(c, ack.SessionPresent)
		for _, payload := range []string{"0", "2", "4", "5", "6"} {
			p := sub.ExpectPublish("t", payload)
			require.Equal(c, ids[payload], p.PacketID)
			require.True(c, p.Dup) // [MQTT-3.3.1-1]
		}
		sub.ExpectQuiet()
	}
	sub.Send(&packets.PubAck{PacketID: ids["0"]})
	require.False(c, sub.ExpectPublish("t", "7").Dup)
}

func resendQoS2(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	var ids []uint16
	for _, payload := range numbers(4) {
		pub.Publish(2, "t", payload)
		ids = append(ids, sub.ExpectPublish("t", payload).PacketID)
	}
	for _, i := range []int{0, 2} { // received, and 0 released, too
		sub.Send(&packets.PubRec{PacketID: ids[i]})
		require.Equal(c, ids[i], mqtttest.Expect[*packets.PubRel](sub).PacketID)
	}
	sub.Send(&packets.PubComp{PacketID: ids[0]})
	sub.ExpectQuiet()
	for i := range 2 {
		sub.Close()
		var ack *packets.ConnAck
		sub, ack = c.with(2+i, kept("sub", false))
		sub.Manual = true
		require.True(c, ack.SessionPresent)
		for _, want := range []int{1, 2, 3} {
			if want == 2 { // never PUBLISH again after PUBREC
				require.Equal(c, ids[2], mqtttest.Expect[*packets.PubRel](sub).PacketID)
				continue
			}
			p := sub.ExpectPublish("t", strconv.Itoa(want))
			require.Equal(c, ids[want], p.PacketID)
			require.True(c, p.Dup)
		}
		sub.ExpectQuiet()
	}
	sub.Send(&packets.PubComp{PacketID: ids[2]})
	for _, i := range []int{1, 3} {
		sub.Send(&packets.PubRec{PacketID: ids[i]})
		sub.Expect(packets.TypePubRel)
		sub.Send(&packets.PubComp{PacketID: ids[i]})
	}
	sub.ExpectQuiet()
	sub.Close()
	sub, _ = c.with(1, kept("sub", false))
	sub.ExpectQuiet()
}

// sentNeverExpires holds that a message of QoS 2 is brought to its end once it was sent, however long that takes.
func sentNeverExpires(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	brief := packets.Properties{MessageExpiryInterval: packets.Some(uint32(2))}
	pub.PublishWith(&packets.Publish{QoS: 2, TopicName: "t", Payload: []byte("sent"), Properties: brief})
	p := sub.ExpectPublish("t", "sent")
	sub.Disconnect()
	pub.PublishWith(&packets.Publish{QoS: 2, TopicName: "t", Payload: []byte("waits"), Properties: brief})
	c.pass(20 * time.Second)
	sub, ack := c.with(2, kept("sub", false))
	sub.Manual = true
	require.True(c, ack.SessionPresent)
	again := sub.ExpectPublish("t", "sent")
	require.Equal(c, p.PacketID, again.PacketID)
	require.True(c, again.Dup)
	sub.Send(&packets.PubRec{PacketID: p.PacketID})
	require.Equal(c, p.PacketID, mqtttest.Expect[*packets.PubRel](sub).PacketID)
	sub.Send(&packets.PubComp{PacketID: p.PacketID})
	sub.ExpectQuiet()
}

func noRetry(c *context) {
	for i, v := range versions {
		sub := c.connect(i, v, "sub")
		sub.Manual = true
		sub.Subscribe(2, "t")
		pub := c.v5(i+1, "pub")
		pub.Publish(1, "t", "one")
		pub.Publish(2, "t", "two")
		pub.Publish(2, "t", "three")
		sub.ExpectPublish("t", "one")
		two := sub.ExpectPublish("t", "two")
		sub.ExpectPublish("t", "three")
		sub.Send(&packets.PubRec{PacketID: two.PacketID})
		sub.Expect(packets.TypePubRel)
		sub.ExpectNothing(2 * time.Minute)
		sub.ExpectQuiet()
	}
}

func refusedOnce(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	for _, code := range []packets.ReasonCode{packets.UnspecifiedError, packets.NotAuthorized, packets.QuotaExceeded, packets.PayloadFormatInvalid} {
		pub.Publish(1, "t", "one")
		pub.Publish(2, "t", "two")
		sub.Send(&packets.PubAck{PacketID: sub.ExpectPublish("t", "one").PacketID, ReasonCode: code})
		sub.Send(&packets.PubRec{PacketID: sub.ExpectPublish("t", "two").PacketID, ReasonCode: code})
		sub.ExpectQuiet()
	}
	sub.Close()
	sub, ack := c.with(2, kept("sub", false))
	require.True(c, ack.SessionPresent)
	sub.ExpectQuiet()
}

// pubRelOrder holds that PUBRELs follow the order of the PUBRECs, which need not be that of the messages.
func pubRelOrder(c *context) {
	sub := c.v5(1, "sub")
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	var ids []uint16
	for _, payload := range numbers(10) {
		pub.Publish(2, "t", payload)
		ids = append(ids, sub.ExpectPublish("t", payload).PacketID)
	}
	order := []int{3, 1, 4, 0, 5, 9, 2, 6, 8, 7}
	for _, i := range order {
		sub.Send(&packets.PubRec{PacketID: ids[i]})
	}
	for _, i := range order {
		require.Equal(c, ids[i], mqtttest.Expect[*packets.PubRel](sub).PacketID)
	}
}

func resendWindow(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub := c.v5(0, "pub")
	for _, payload := range numbers(6) {
		pub.Publish(1, "t", payload)
		sub.ExpectPublish("t", payload)
	}
	sub.Close()
	connect := kept("sub", false)
	connect.Properties.ReceiveMaximum = packets.Some(uint16(2))
	sub, _ = c.with(2, connect)
	sub.Manual = true
	for i := 0; i < 6; i += 2 {
		a, b := sub.ExpectPublish("t", strconv.Itoa(i)), sub.ExpectPublish("t", strconv.Itoa(i+1))
		require.True(c, a.Dup && b.Dup)
		sub.ExpectQuiet()
		sub.Send(&packets.PubAck{PacketID: a.PacketID})
		sub.Send(&packets.PubAck{PacketID: b.PacketID})
	}
	sub.ExpectQuiet()
}

func resumeVersions(c *context) {
	sub, _ := c.with(1, kept("sub", true))
	sub.Subscribe(1, "t")
	sub.Disconnect()
	pub := c.v5(0, "pub")
	for i, v := range []packets.Version{packets.V311, packets.V5, packets.V31, packets.V5} {
		payload := strconv.Itoa(i)
		pub.PublishWith(&packets.Publish{QoS: 1, TopicName: "t", Payload: []byte(payload), Properties: packets.Properties{ContentType: packets.Some("x")}})
		cl := c.dial(i, v)
		connect := kept("sub", false)
		if v != packets.V5 {
			connect.Properties = packets.Properties{}
		}
		require.Equal(c, v != packets.V31, cl.Connect(connect).SessionPresent)
		require.Equal(c, v == packets.V5, cl.ExpectPublish("t", payload).Properties.ContentType.Set)
		cl.Disconnect()
	}
}

func takeover(c *context) {
	for i, v := range versions {
		old := c.connect(0, v, "c")
		fresh := c.connect(1+i, versions[(i+1)%3], "c")
		old.ExpectDisconnect(packets.SessionTakenOver)
		fresh.ExpectQuiet()
	}
}

// takeoverPrompt holds that the CONNACK comes within 100 ms, whatever the connection that is taken over is doing.
func takeoverPrompt(c *context) {
	pub := c.v5(1, "pub")
	old, _ := c.with(0, kept("c", true))
	old.Manual = true
	for i := range 6 {
		switch i % 3 {
		case 1:
			old.Subscribe(2, "t") // and leaves unacknowledged what it gets
			for range 100 {
				pub.Publish(2, "t", "m")
			}
		case 2: // does not read what it gets
			old.Subscribe(0, "u")
			for range 100 {
				pub.Publish(0, "u", long[:100_000])
			}
			pub.Quiesce()
		}
		began := time.Now()
		fresh := c.dial(i+1, packets.V5)
		fresh.Manual = true
		ack := fresh.Connect(kept("c", false))
		require.Less(c, time.Since(began), 100*time.Millisecond)
		require.True(c, ack.SessionPresent)
		old.Close()
		old = fresh
	}
}

func takeoverInFlight(c *context) {
	old, _ := c.with(0, kept("c", true))
	old.Manual = true
	old.Subscribe(2, "t")
	pub := c.v5(1, "pub")
	var ids []uint16
	for _, payload := range numbers(5) {
		pub.Publish(2, "t", payload)
		ids = append(ids, old.ExpectPublish("t", payload).PacketID)
	}
	fresh, ack := c.with(2, kept("c", false))
	fresh.Manual = true
	require.True(c, ack.SessionPresent)
	old.ExpectDisconnect(packets.SessionTakenOver)
	for i, payload := range numbers(5) {
		p := fresh.ExpectPublish("t", payload)
		require.Equal(c, ids[i], p.PacketID)
		require.True(c, p.Dup)
	}
	pub.Publish(1, "t", "later")
	require.False(c, fresh.ExpectPublish("t", "later").Dup)
}

// receiver is the receiving side of a client whose session outlives its connections: a QoS 2 message is new unless its identifier was
// received and not released [MQTT-4.3.3-10].
type receiver struct {
	c          *context
	unreleased map[uint16]bool
}

// next returns the next message that is new, or, of QoS 1, may be.
func (r *receiver) next(cl *mqtttest.Client) *packets.Publish {
	r.c.Helper()
	for {
		switch p := cl.Next().(type) {
		case *packets.Publish:
			if p.QoS == 1 {
				cl.Send(&packets.PubAck{PacketID: p.PacketID})
				return p
			}
			cl.Send(&packets.PubRec{PacketID: p.PacketID})
			if !r.unreleased[p.PacketID] {
				r.unreleased[p.PacketID] = true
				return p
			}
		case *packets.PubRel:
			delete(r.unreleased, p.PacketID)
			cl.Send(&packets.PubComp{PacketID: p.PacketID})
		default:
			r.c.Fatalf("unexpected %+v", p)
		}
	}
}

// takeoverFlow moves a subscriber from connection to connection while a publisher goes on.
func takeoverFlow(c *context) {
	const n = 400
	sub, _ := c.with(1, kept("sub", true))
	sub.Subscribe(2, "t")
	pub := c.v5(0, "pub")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			pub.Publish(packets.QoS(1+i%2), "t", strconv.Itoa(i))
		}
	})
	sub.Manual = true
	r := receiver{c: c, unreleased: make(map[uint16]bool)}
	seen := make(map[int]bool)
	last := -1
	for moves := 0; len(seen) < n; {
		for range 20 {
			p := r.next(sub)
			i, err := strconv.Atoi(string(p.Payload))
			require.NoError(c, err)
			if seen[i] {
				require.True(c, p.Dup, "%d came twice, the second time without DUP", i)
				require.EqualValues(c, 1, p.QoS, "QoS 2 message %d came twice", i)
				continue
			}
			require.Greater(c, i, last, "out of order")
			seen[i], last = true, i
			if len(seen) == n {
				break
			}
		}
		if moves < 10 {
			moves++
			var ack *packets.ConnAck
			sub, ack = c.with(moves, kept("sub", false)) // what was on its way to the old connection is lost with it
			require.True(c, ack.SessionPresent)
			sub.Manual = true
		}
	}
	wg.Wait()
}

func takeoverClean(c *context) {
	old, _ := c.with(0, kept("c", true))
	old.Subscribe(1, "t")
	fresh, ack := c.with(1, kept("c", true))
	require.False(c, ack.SessionPresent)
	old.ExpectDisconnect(packets.SessionTakenOver)
	pub := c.v5(2, "pub")
	c.code(packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
	fresh.ExpectQuiet()
}

// takeoverRace connects one client many times at once: exactly one connection is left, and it works.
func takeoverRace(c *context) {
	const n = 9
	var all []*mqtttest.Client
	for i := range n {
		cl := c.dial(i, packets.V5)
		cl.Timeout = 20 * time.Second
		all = append(all, cl)
	}
	for _, cl := range all {
		cl.Send(kept("c", false))
	}
	left := 0
	refused := make(map[*mqtttest.Client]bool)
	for _, cl := range all {
		// Between nodes, a connection may lose the race before it was accepted.
		if ack := cl.Expect(packets.TypeConnAck).(*packets.ConnAck); ack.ReasonCode != packets.Success {
			c.code(packets.ServerBusy, ack.ReasonCode)
			refused[cl] = true
		}
	}
	for _, cl := range all {
		if refused[cl] || cl.TakenOver() {
			continue
		}
		left++
		cl.Subscribe(1, "t")
		pub := c.v5(0, "pub")
		pub.Publish(1, "t", "m")
		cl.ExpectPublish("t", "m")
	}
	require.Equal(c, 1, left)
}

func resumeNoRetained(c *context) {
	pub := c.v5(0, "pub")
	retain(pub, "t", "m")
	sub, _ := c.with(1, kept("sub", true))
	sub.Subscribe(1, "t")
	sub.ExpectPublish("t", "m")
	sub.ExpectQuiet()
	fresh, _ := c.with(2, kept("sub", false)) // a takeover
	fresh.ExpectQuiet()
	fresh.Disconnect()
	fresh, _ = c.with(0, kept("sub", false))
	fresh.ExpectQuiet()
}

func qos2Publisher(c *context) {
	sub := c.v5(2, "sub")
	sub.Subscribe(2, "t")
	pub, _ := c.with(0, kept("pub", true))
	pub.Send(&packets.Publish{QoS: 2, PacketID: 1, TopicName: "t", Payload: []byte("one")})
	pub.Expect(packets.TypePubRec)
	pub.Send(&packets.Publish{QoS: 2, PacketID: 2, TopicName: "t", Payload: []byte("two")})
	pub.Expect(packets.TypePubRec)
	pub.Send(&packets.PubRel{PacketID: 1})
	pub.Expect(packets.TypePubComp)
	pub.Close()
	pub, ack := c.with(1, kept("pub", false))
	require.True(c, ack.SessionPresent)
	pub.Send(&packets.Publish{QoS: 2, PacketID: 2, Dup: true, TopicName: "t", Payload: []byte("two")})
	pub.Expect(packets.TypePubRec)
	pub.Send(&packets.Publish{QoS: 2, PacketID: 1, TopicName: "t", Payload: []byte("three")})
	pub.Expect(packets.TypePubRec)
	for _, id := range []uint16{2, 1} {
		pub.Send(&packets.PubRel{PacketID: id})
		c.code(packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
	}
	for _, payload := range []string{"one", "two", "three"} {
		sub.ExpectPublish("t", payload)
	}
	sub.ExpectQuiet()
}

func aliasAndResend(c *context) {
	connect := kept("sub", true)
	connect.Properties.TopicAliasMaximum = packets.Some(uint16(10))
	sub, _ := c.with(1, connect)
	sub.Manual = true
	sub.Subscribe(1, "long/topic")
	pub := c.v5(0, "pub")
	for range 2 {
		pub.Publish(1, "long/topic", "m")
		sub.Expect(packets.TypePublish)
	}
	sub.Close()
	sub, _ = c.with(2, kept("sub", false)) // this connection knows no alias
	for range 2 {
		require.False(c, sub.ExpectPublish("long/topic", "m").Properties.TopicAlias.Set)
	}
}
