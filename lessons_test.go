package shoal_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// What other brokers got wrong; see docs/lessons.md.

// TestIdentifiersOfBothDirectionsAreTwoSpaces holds that the identifiers of both directions are two spaces.
func TestIdentifiersOfBothDirectionsAreTwoSpaces(t *testing.T) {
	b := start(t)
	sub, pub := connect(t, b, "sub"), connect(t, b, "pub")
	sub.Manual = true
	sub.Subscribe(1, "t")
	pub.Publish(1, "t", "m")
	id := sub.ExpectPublish("t", "m").PacketID
	sub.Send(&packets.Subscribe{PacketID: id, Subscriptions: []packets.Subscription{{TopicFilter: "u"}}})
	require.Equal(t, []packets.ReasonCode{0}, mqtttest.Expect[*packets.SubAck](sub).ReasonCodes)
	sub.Send(&packets.Publish{QoS: 1, PacketID: id, TopicName: "v"})
	sub.Expect(packets.TypePubAck)
	sub.Send(&packets.Unsubscribe{PacketID: id, TopicFilters: []string{"u"}})
	sub.Expect(packets.TypeUnsubAck)
	sub.Send(&packets.PubAck{PacketID: id}) // which is still in flight: no PUBLISH again, no error
	sub.ExpectQuiet()
}

// TestMessagesThatWaitedForTheWindowGiveTheirPlaceBack holds that messages which waited for the window give their place back.
func TestMessagesThatWaitedForTheWindowGiveTheirPlaceBack(t *testing.T) {
	b := start(t)
	for qos := packets.QoS(1); qos <= 2; qos++ {
		sub, _ := connectWith(t, b, &packets.Connect{ClientID: "sub", CleanStart: true, Properties: packets.Properties{ReceiveMaximum: packets.Some(uint16(2))}})
		sub.Subscribe(qos, "t")
		pub := connect(t, b, "pub")
		for i := range 8 {
			pub.Publish(qos, "t", strconv.Itoa(i))
		}
		for i := range 8 {
			sub.ExpectPublish("t", strconv.Itoa(i))
		}
	}
}

// TestTopicAliasIsNoPartOfAStoredMessage holds that a Topic Alias is not part of a stored message.
func TestTopicAliasIsNoPartOfAStoredMessage(t *testing.T) {
	b := start(t)
	sub, _ := connectWith(t, b, lasting("sub", true))
	sub.Subscribe(1, "t")
	sub.Disconnect()
	pub := connect(t, b, "pub")
	pub.PublishWith(&packets.Publish{QoS: 1, TopicName: "t", Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}})
	sub, _ = connectWith(t, b, lasting("sub", false))
	for range 2 {
		require.False(t, sub.ExpectPublish("t", "").Properties.TopicAlias.Set)
	}
	// Nor one that the program or an interceptor put there.
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}}))
	require.False(t, sub.ExpectPublish("t", "").Properties.TopicAlias.Set)
}

// TestPermissionIsAskedForTheTopicBehindAnAlias holds that permission is asked for the topic behind an alias.
func TestPermissionIsAskedForTheTopicBehindAnAlias(t *testing.T) {
	var asked []string
	b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
		asked = append(asked, r.Topic)
		if r.Topic == "secret" {
			return errRefused
		}
		return nil
	}}))
	pub := connect(t, b, "pub")
	for _, topic := range []string{"secret", ""} {
		p := &packets.Publish{QoS: 1, TopicName: topic, Properties: packets.Properties{TopicAlias: packets.Some(uint16(1))}}
		require.Equal(t, packets.NotAuthorized, pub.PublishWith(p))
	}
	require.Equal(t, []string{"secret"}, asked)
}

// TestTakeoverSendsConnackFirstAndLosesNothing holds that a takeover sends CONNACK first, no retained message again, and loses nothing that is published meanwhile.
func TestTakeoverSendsConnackFirstAndLosesNothing(t *testing.T) {
	b := start(t)
	pub := connect(t, b, "pub")
	pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "t", Payload: []byte("retained")})
	sub, _ := connectWith(t, b, lasting("sub", true))
	sub.Subscribe(1, "t")
	sub.ExpectPublish("t", "retained")
	sub.Quiesce()
	done := make(chan struct{})
	var codes []packets.ReasonCode
	go func() {
		defer close(done)
		for i := range 200 {
			codes = append(codes, pub.Publish(1, "t", strconv.Itoa(i)))
		}
	}()
	for range 10 {
		c := dial(t, b, packets.V5)
		c.Manual = true
		c.Send(lasting("sub", false))
		ack, ok := c.Next().(*packets.ConnAck)
		require.True(t, ok, "something came before CONNACK")
		require.True(t, ack.SessionPresent)
		sub = c
	}
	<-done
	for i, code := range codes {
		require.Equal(t, packets.Success, code, "the subscription was gone for message %d", i)
	}
	for i := range 200 { // none was acknowledged: all are still there
		p := sub.ExpectPublish("t", strconv.Itoa(i))
		sub.Send(&packets.PubAck{PacketID: p.PacketID})
	}
	sub.ExpectQuiet()
}

// TestExpiredSessionLeavesNothingBehind holds that an expired session leaves nothing behind.
func TestExpiredSessionLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		p := lasting("c", true)
		p.Properties.SessionExpiryInterval = packets.Some(uint32(10))
		c, _ := connectWith(t, b, p)
		c.Subscribe(1, "t", "a/#", "$share/g/t", "+")
		c.Close()
		require.Equal(t, 4, b.Metrics().Subscriptions)
		time.Sleep(11 * time.Second) // of the bubble
		synctest.Wait()
		m := b.Metrics()
		require.Zero(t, m.Subscriptions)
		require.Zero(t, m.Sessions)
	})
}

// TestQoS2DuplicateIsAnsweredAsTheFirst holds that a duplicate of QoS 2 is answered as the first was, and that QoS 0 needs no quota.
func TestQoS2DuplicateIsAnsweredAsTheFirst(t *testing.T) {
	b := start(t, shoal.WithLimits(shoal.Limits{ReceiveMaximum: 2}))
	pub := connect(t, b, "pub")
	for range 3 {
		pub.Send(&packets.Publish{QoS: 2, PacketID: 1, TopicName: "t"})
		require.False(t, mqtttest.Expect[*packets.PubRec](pub).ReasonCode.IsError())
	}
	for range 10 {
		pub.Publish(0, "t", "m")
	}
	pub.Publish(1, "t", "m")
}

// TestDisconnectWithWillSendsItWithPermission holds that DISCONNECT 0x04 sends the will, with all its properties, and that wills need permission.
func TestDisconnectWithWillSendsItWithPermission(t *testing.T) {
	b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
		if r.Action == shoal.ActionPublish && r.Topic == "secret" {
			require.True(t, r.Will)
			return errRefused
		}
		return nil
	}}))
	sub := connect(t, b, "sub")
	sub.Subscribe(1, "#")
	props := packets.Properties{ContentType: packets.Some("x"), CorrelationData: []byte("y"), UserProperties: []packets.UserProperty{{Key: "a", Value: "b"}}}
	for _, topic := range []string{"secret", "open"} {
		c, _ := connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, Will: &packets.Will{TopicName: topic, QoS: 1, Payload: []byte("w"), Properties: props}})
		c.DisconnectWith(&packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage})
	}
	require.Equal(t, props, sub.ExpectPublish("open", "w").Properties)
	sub.ExpectQuiet()
	require.EqualValues(t, 1, b.Metrics().Dropped[shoal.DropNotAuthorized])
}

// TestLongResendKeepsItsOrder holds the order of a long resend.
func TestLongResendKeepsItsOrder(t *testing.T) {
	b := start(t)
	sub, _ := connectWith(t, b, lasting("sub", true))
	sub.Manual = true
	sub.Subscribe(2, "t")
	pub := connect(t, b, "pub")
	const n = 1000
	for i := range n {
		pub.Publish(packets.QoS(1+i%2), "t", strconv.Itoa(i))
	}
	var ids []uint16
	for i := range n {
		ids = append(ids, sub.ExpectPublish("t", strconv.Itoa(i)).PacketID)
	}
	sub.Close()
	sub, _ = connectWith(t, b, lasting("sub", false))
	for i := range n {
		p := sub.ExpectPublish("t", strconv.Itoa(i))
		require.Equal(t, ids[i], p.PacketID)
		require.True(t, p.Dup)
	}
}

// TestLongKeepAliveDoesNotOverflow holds that one and a half times a long Keep Alive does not overflow.
func TestLongKeepAliveDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		c, _ := connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 60_000})
		time.Sleep(89_000 * time.Second) // of the bubble
		c.ExpectQuiet()
		c.Timeout = 100_000 * time.Second
		began := time.Now()
		c.ExpectDisconnect(packets.KeepAliveTimeout)
		require.InDelta(t, 90_000, time.Since(began).Seconds(), 2)
	})
}

// faulty is a connection whose writes begin to fail in the middle of a packet, with an error that is not "closed".
type faulty struct {
	net.Conn
	mu    sync.Mutex
	left  int
	after int // bytes written after the failure
}

func (f *faulty) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left < 0 {
		f.after += len(p)
		return len(p), nil
	}
	if f.left < len(p) {
		n, _ := f.Conn.Write(p[:f.left])
		f.left = -1
		return n, errors.New("no buffer space available")
	}
	f.left -= len(p)
	return f.Conn.Write(p)
}

// handed is a listener that hands out one connection.
type handed struct {
	net.Listener
	conns chan net.Conn
}

func (h handed) Accept() (net.Conn, error) {
	if c, ok := <-h.conns; ok {
		return c, nil
	}
	return h.Listener.Accept()
}

// TestNothingIsWrittenBehindHalfAPacket holds that nothing is written behind half a packet.
func TestNothingIsWrittenBehindHalfAPacket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	client, server := net.Pipe()
	f := &faulty{Conn: server, left: 200}
	h := handed{l, make(chan net.Conn, 1)}
	h.conns <- f
	close(h.conns)
	ended := make(chan shoal.DisconnectedEvent, 1)
	b := start(t, shoal.WithListener(h), shoal.WithHook(onDisconnected(func(e shoal.DisconnectedEvent) {
		if e.Client.ClientID == "sub" {
			ended <- e
		}
	})))
	sub := mqtttest.New(t, client, packets.V5)
	sub.Connect(&packets.Connect{ClientID: "sub", CleanStart: true})
	sub.Subscribe(0, "t")
	pub := connect(t, b, "pub")
	go func() { // net.Pipe does not buffer
		buf := make([]byte, 1000)
		for {
			if _, err := client.Read(buf); err != nil {
				return
			}
		}
	}()
	for range 100 {
		pub.Publish(0, "t", "0123456789012345678901234567890123456789")
		pub.Quiesce()
	}
	e := <-ended
	require.Error(t, e.Err)
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Negative(t, f.left)
	require.Zero(t, f.after)
}

// TestStrangersGetNeitherTimeNorMemory holds that who has not said who he is gets neither time nor memory.
func TestStrangersGetNeitherTimeNorMemory(t *testing.T) {
	t.Run("time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, shoal.WithLimits(shoal.Limits{ConnectTimeout: 3 * time.Second}))
			for _, said := range []string{"", "\x10", "\x10\xff\xff\xff\x7f", "\x10\x10\x00\x04MQTT"} {
				c := dial(t, b, packets.V5)
				c.SendRaw([]byte(said))
				began := time.Now()
				c.ExpectClosed()
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
			}
		})
	})
	t.Run("memory", func(t *testing.T) {
		b := start(t, shoal.WithListen("tcp://127.0.0.1:0"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 20 {
			conn, err := net.Dial("tcp", b.Addrs()[0].String())
			require.NoError(t, err)
			c := mqtttest.New(t, conn, packets.V5)
			c.SendRaw([]byte("\x10\xff\xff\xff\x7f\x00\x04MQTT\x05")) // 256 MB are announced
			c.ExpectClosed()
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(20<<20))
	})
}

// TestIdleConnectionCostsOneGoroutineAndNoBuffers holds what an idle connection costs: one goroutine, and no buffers.
func TestIdleConnectionCostsOneGoroutineAndNoBuffers(t *testing.T) {
	b := start(t, shoal.WithListen("tcp://127.0.0.1:0"))
	const n = 300
	goroutines := runtime.NumGoroutine()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		conn, err := net.Dial("tcp", b.Addrs()[0].String())
		require.NoError(t, err)
		c := mqtttest.New(t, conn, packets.V5)
		c.Connect(&packets.Connect{ClientID: fmt.Sprintf("c%d", i), CleanStart: true})
		c.ExpectQuiet()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Including this test's own clients, whose buffers of 4 KiB are about half of it.
	require.Less(t, (after.HeapAlloc-before.HeapAlloc)/n, uint64(20<<10))
}
