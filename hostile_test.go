package shoal_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// hostileConnections is for `make hostile`, which takes a hundred thousand.
var hostileConnections = flag.Int("hostile", 1000, "connections of TestHostileConnections")

// hostileAtOnce is how many hostile connections are open at a time: as many as a process may have files for, twice over.
const hostileAtOnce = 4000

// Connections that say nothing, that say it slowly, that say nonsense, that announce much, that do not read: none of them keeps a client that behaves
// from its messages, and none leaves anything behind.
func TestHostileConnections(t *testing.T) {
	b := start(t, shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithLimits(shoal.Limits{
		ConnectTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, QoS0Bytes: 64 << 10, OutboxBytes: 32 << 10,
	}))
	addr := b.Addrs()[0].String()
	goroutines := runtime.NumGoroutine()

	var failed atomic.Int64
	began := time.Now()
	over := make(chan struct{})
	go func() {
		defer close(over)
		var hostiles sync.WaitGroup
		places := make(chan struct{}, hostileAtOnce)
		for i := range *hostileConnections {
			places <- struct{}{}
			hostiles.Go(func() {
				if attack(addr, i) != nil {
					failed.Add(1)
				}
				<-places
			})
		}
		hostiles.Wait()
	}()
	times := behave(t, addr, over)
	took := time.Since(began)

	require.Zero(t, failed.Load(), "connections that could not be made, or that the broker did not end")
	slices.Sort(times)
	require.NotEmpty(t, times)
	t.Logf("%d hostile connections in %v; the client that behaved had %d messages back, p50 %v, p99 %v, at most %v",
		*hostileConnections, took.Round(time.Millisecond), len(times), times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
	require.Eventually(t, func() bool { return b.Metrics().ConnectionsOpen == 0 }, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, 20*time.Second, 10*time.Millisecond)
	require.Zero(t, b.Metrics().Sessions)
}

// behave publishes to itself, one message after another, until everything is over, and returns how long each took.
func behave(t *testing.T, addr string, over <-chan struct{}) (times []time.Duration) {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	cl := mqtttest.New(t, conn, packets.V5)
	cl.Timeout = 30 * time.Second
	cl.Connect(&packets.Connect{ClientID: "good", CleanStart: true})
	cl.Subscribe(1, "good")
	for i := 0; ; i++ {
		select {
		case <-over:
			cl.Disconnect()
			return times
		default:
		}
		began := time.Now()
		require.Equal(t, packets.Success, cl.Publish(1, "good", strconv.Itoa(i)))
		cl.ExpectPublish("good", strconv.Itoa(i))
		times = append(times, time.Since(began))
	}
}

// attack is one hostile connection, until the broker ends it.
func attack(addr string, i int) error {
	conn, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second)) // a connection that still stands then is one the broker has forgotten
	say := func(p packets.Packet) {
		b, err := packets.Append(nil, p, packets.V5)
		if err == nil {
			_, _ = conn.Write(b) // it may be closed
		}
	}
	connect := func() {
		say(&packets.Connect{ProtocolVersion: packets.V5, ClientID: "bad" + strconv.Itoa(i), CleanStart: true})
	}
	random := func(n int) {
		junk := make([]byte, n)
		for j := range junk {
			junk[j] = byte(rand.Uint32())
		}
		_, _ = conn.Write(junk)
	}
	switch i % 8 {
	case 0: // says nothing
	case 1: // says a CONNECT, a byte at a time, too slowly
		for _, b := range []byte{0x10, 0x20, 0, 4, 'M', 'Q', 'T', 'T', 5} {
			_, _ = conn.Write([]byte{b})
			time.Sleep(300 * time.Millisecond)
		}
	case 2:
		random(512)
	case 3: // announces 256 MB and sends some of it
		_, _ = conn.Write([]byte{0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, 'M', 'Q', 'T', 'T', 5, 2})
		random(4096)
	case 4: // is gone at once
		return nil
	case 5: // a good CONNECT, then nonsense, which begins with a reserved type: a PUBLISH that is long in coming may take its time
		connect()
		_, _ = conn.Write([]byte{0})
		random(512)
	case 6: // a good CONNECT, then an announcement that is not kept, then gone
		connect()
		_, _ = conn.Write([]byte{0x32, 0xFF, 0xFF, 0x03, 0, 1, 't'})
		return nil
	case 7: // floods itself and reads nothing for a while, then is gone
		connect()
		say(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "bad/" + strconv.Itoa(i)}}})
		for range 50 {
			say(&packets.Publish{TopicName: "bad/" + strconv.Itoa(i), Payload: make([]byte, 4096)})
		}
		return nil
	}
	_, err = io.Copy(io.Discard, conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return err
	}
	return nil // closed or reset: by the broker
}
