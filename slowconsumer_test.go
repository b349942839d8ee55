package shoal_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// TestSlowConsumerCostsOnlyItself holds that a client which does not read costs only itself: others get everything at once, its QoS 0 messages are dropped
// beyond a limit and counted, its QoS 1 messages wait, and all of them come when it reads.
func TestSlowConsumerCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{OutboxBytes: 10_000, QoS0Bytes: 100_000, InFlight: 20, WriteTimeout: time.Hour}))
		slow, quick, pub := connect(t, b, "slow"), connect(t, b, "quick"), connect(t, b, "pub")
		slow.Subscribe(1, "t/#")
		quick.Subscribe(1, "t/#")
		const n = 800 // what is being written does not count against the bound, and may be as much as that
		payload := func(i int) string { return fmt.Sprintf("%04d%s", i, strings.Repeat("x", 1000)) }
		for i := range n {
			topic := "t/" + strconv.Itoa(i%2)
			pub.Publish(packets.QoS(i%2), topic, payload(i))
			quick.ExpectPublish(topic, payload(i))
		}
		dropped := int(b.Metrics().Dropped[shoal.DropSlowConsumer])
		require.NotZero(t, dropped)
		var last [2]int
		for range n - dropped {
			p := mqtttest.Expect[*packets.Publish](slow)
			i, err := strconv.Atoi(string(p.Payload[:4]))
			require.NoError(t, err)
			require.GreaterOrEqual(t, i, last[p.QoS], "QoS %d out of order", p.QoS)
			require.Equal(t, packets.QoS(i%2), p.QoS)
			last[p.QoS] = i + 1
		}
		slow.ExpectQuiet()
		pub.Publish(1, "t/1", "again")
		slow.ExpectPublish("t/1", "again")
	})
}

// TestLongQueueDrainsByItself holds that a queue many times larger than the outbox drains by itself as the client reads, with no message coming in
// and, at the end, no acknowledgement either.
func TestLongQueueDrainsByItself(t *testing.T) {
	for name, dialer := range map[string]func(*shoal.Broker) net.Conn{
		"pipe": func(b *shoal.Broker) net.Conn {
			conn, err := b.Dial(t.Context())
			require.NoError(t, err)
			return conn
		},
		"tcp": func(b *shoal.Broker) net.Conn {
			conn, err := net.Dial("tcp", b.Addrs()[0].String())
			require.NoError(t, err)
			return conn
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithLimits(shoal.Limits{OutboxBytes: 5000, InFlight: 5000}))
			sub := mqtttest.New(t, dialer(b), packets.V5)
			sub.Manual = true
			sub.Connect(lasting("sub", true))
			sub.Subscribe(1, "t")
			pub := connect(t, b, "pub")
			const n = 3000
			payload := strings.Repeat("x", 3000)
			for i := range n {
				pub.Publish(1, "t", strconv.Itoa(i)+payload)
			}
			for i := range n {
				sub.ExpectPublish("t", strconv.Itoa(i)+payload)
			}
			sub.ExpectQuiet()
			sub.Close()
			sub = mqtttest.New(t, dialer(b), packets.V5)
			sub.Connect(lasting("sub", false))
			for i := range n {
				require.True(t, sub.ExpectPublish("t", strconv.Itoa(i)+payload).Dup)
			}
			sub.ExpectQuiet()
		})
	}
}

// TestClientThatTakesNothingIsCutOff holds that a client which takes nothing for the time allowed is cut off, and finds everything in its session.
func TestClientThatTakesNothingIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan shoal.DisconnectedEvent, 10)
		b := start(t, shoal.WithLimits(shoal.Limits{WriteTimeout: 10 * time.Second}), shoal.WithHook(onDisconnected(func(e shoal.DisconnectedEvent) { ended <- e })))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(1, "t")
		pub := connect(t, b, "pub")
		const n = 100
		for i := range n {
			pub.Publish(1, "t", strconv.Itoa(i)+strings.Repeat("x", 5000))
		}
		began := time.Now()
		require.Equal(t, "sub", (<-ended).Client.ClientID)
		require.LessOrEqual(t, time.Since(began), 15*time.Second)
		sub, ack := connectWith(t, b, lasting("sub", false))
		require.True(t, ack.SessionPresent)
		for i := range n {
			sub.ExpectPublish("t", strconv.Itoa(i)+strings.Repeat("x", 5000))
		}
		sub.ExpectQuiet()
	})
}

// TestFullQueueDropsByItsPolicy holds the policies of a full queue whose client is away, and that what is dropped is told.
func TestFullQueueDropsByItsPolicy(t *testing.T) {
	for _, policy := range []shoal.QueuePolicy{shoal.QueueWait, shoal.QueueDropNewest, shoal.QueueDropOldest} {
		synctest.Test(t, func(t *testing.T) {
			var dropped []string
			b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 10, WhenFull: policy}), shoal.WithHook(onDrop(func(e shoal.DroppedEvent) {
				dropped = append(dropped, e.ClientID+" "+string(e.Reason))
			})))
			sub, _ := connectWith(t, b, lasting("sub", true))
			sub.Subscribe(1, "t")
			sub.Disconnect()
			pub := connect(t, b, "pub")
			for i := range 15 {
				require.Equal(t, packets.Success, pub.Publish(1, "t", strconv.Itoa(i)))
			}
			synctest.Wait()
			require.Len(t, dropped, 5)
			require.Equal(t, "sub queue_full", dropped[0])
			require.EqualValues(t, 5, b.Metrics().Dropped[shoal.DropQueueFull])
			sub, _ = connectWith(t, b, lasting("sub", false))
			first := 0
			if policy == shoal.QueueDropOldest {
				first = 5
			}
			for i := range 10 {
				sub.ExpectPublish("t", strconv.Itoa(first+i))
			}
			sub.ExpectQuiet()
		})
	}
}

// TestReturnAtTheMomentOfExpiryIsWholeOrNew connects again at the very moment a session expires: either there is one, whole, or there is none.
func TestReturnAtTheMomentOfExpiryIsWholeOrNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		pub := connect(t, b, "pub")
		p := lasting("sub", false)
		p.Properties.SessionExpiryInterval = packets.Some(uint32(5))
		for i := range 50 {
			sub, ack := connectWith(t, b, p)
			if !ack.SessionPresent {
				require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"), i)
				sub.Subscribe(1, "t")
			}
			require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
			sub.ExpectPublish("t", "m")
			sub.ExpectQuiet()
			sub.Close()
			synctest.Wait()
			time.Sleep(5 * time.Second) // of the bubble
		}
	})
}
