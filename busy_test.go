package shoal_test

import (
	"bytes"
	"context"
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
	"github.com/shoalmq/shoal/storage/memory"
)

// onPublishing is a PublishInterceptor that is given the context.
type onPublishing func(context.Context, *shoal.PublishEvent) error

func (f onPublishing) InterceptPublish(ctx context.Context, e *shoal.PublishEvent) error {
	return f(ctx, e)
}

// TestTakeoverOfABusyReader holds that a client can connect again soon whatever its old connection's goroutine is doing, that a hook which looks at its
// context is ended, and that what comes out of one which does not is neither routed nor answered any more.
func TestTakeoverOfABusyReader(t *testing.T) {
	for name, deaf := range map[string]bool{"hook that looks at ctx": false, "hook that does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, shoal.WithHook(onPublishing(func(ctx context.Context, e *shoal.PublishEvent) error {
					switch {
					case e.Message.TopicName != "slow":
					case deaf:
						time.Sleep(time.Minute)
					default:
						<-ctx.Done()
					}
					return nil
				})))
				watch := connect(t, b, "watch")
				watch.Subscribe(1, "#")
				old := connect(t, b, "c")
				old.Send(&packets.Publish{TopicName: "slow", QoS: 1, PacketID: 1})
				old.Send(&packets.Publish{TopicName: "behind", QoS: 0})
				synctest.Wait()
				began := time.Now()
				again := connect(t, b, "c")
				require.LessOrEqual(t, time.Since(began), 2*time.Second)
				again.Publish(1, "new", "")
				time.Sleep(2 * time.Minute)
				watch.ExpectPublish("new", "")
				watch.ExpectQuiet()
			})
		})
	}
}

// TestNoConnAckBeforeTheOldConnectionHasEnded holds that a client which connects again while the broker shuts down is not told that it is connected, as
// long as its old connection may still be answering [MQTT-3.1.4-3].
func TestNoConnAckBeforeTheOldConnectionHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithHook(onPublish(func(*shoal.PublishEvent) error {
			<-release
			return nil
		})))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		old := connect(t, b, "c")
		old.Send(&packets.Publish{TopicName: "t"})
		again := dial(t, b, packets.V5)
		again.Send(&packets.Connect{ProtocolVersion: packets.V5, ClientID: "c", CleanStart: true})
		synctest.Wait() // it waits for the old connection
		stopped := make(chan error, 1)
		go func() { stopped <- b.Shutdown(context.Background()) }()
		answer, ok := again.Expect(packets.TypeConnAck).(*packets.ConnAck)
		require.True(t, ok)
		require.Equal(t, packets.ServerUnavailable, answer.ReasonCode)
		close(release)
		require.NoError(t, <-stopped)
	})
}

// TestTakeoverWhileRetainedMessagesAreSent holds that a client which does not read the retained messages it has asked for can connect again at once.
func TestTakeoverWhileRetainedMessagesAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{OutboxBytes: 10_000}))
		pub := connect(t, b, "pub")
		for i := range 300 {
			pub.PublishWith(&packets.Publish{TopicName: "r/" + strconv.Itoa(i), Retain: true, Payload: make([]byte, 1000)})
		}
		pub.Quiesce()
		old := connect(t, b, "c")
		old.Send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "r/#"}}})
		synctest.Wait()
		began := time.Now()
		connect(t, b, "c")
		require.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
	})
}

// TestIdleClientWithAFullJournal holds that a client which publishes nothing is read, and answered its PINGREQs, while the journal is full since the store
// does not answer.
func TestIdleClientWithAFullJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := stuckStore{memory.New(), stuck{make(chan struct{})}, make(chan struct{})}
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithStorage(store), shoal.WithLimits(shoal.Limits{QueuedBytes: 256 << 20}))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(1, "t")
		sub.Disconnect()
		idle, pub := connect(t, b, "idle"), connect(t, b, "pub")
		idle.Subscribe(1, "idle")
		close(store.now)
		full := false
		for i := uint16(1); i < 100 && !full; i++ { // until it is read no further
			p := &packets.Publish{TopicName: "t", QoS: 1, PacketID: i, Payload: make([]byte, 1<<20)}
			full = pub.TrySend(encoded(t, packets.V5, p)) != nil
		}
		require.True(t, full)
		synctest.Wait()
		began := time.Now()
		for range 3 {
			idle.Send(&packets.PingReq{})
			idle.Expect(packets.TypePingResp)
		}
		require.LessOrEqual(t, time.Since(began), time.Millisecond)
		close(store.release)
		stop(t, b)
	})
}

// TestKeepAliveOfABusyReader holds that a client which sends PINGREQ in time is not cut off because its messages take long to be dealt with
// [MQTT-3.1.2-22].
func TestKeepAliveOfABusyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithHook(onPublish(func(*shoal.PublishEvent) error { time.Sleep(14 * time.Second); return nil })))
		cl, _ := connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 4})
		cl.Timeout = time.Minute
		cl.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1})
		for range 16 {
			cl.Send(&packets.PingReq{})
			time.Sleep(time.Second)
		}
		cl.Expect(packets.TypePubAck)
		for range 16 {
			cl.Expect(packets.TypePingResp)
		}
		began := time.Now()
		cl.ExpectDisconnect(packets.KeepAliveTimeout)
		require.InDelta(t, 5, time.Since(began).Seconds(), 0.1, "after one and a half times the Keep Alive, of which a second has passed")
	})
}

// TestKeepAliveOfAPacketThatArrives holds that a packet which takes longer than the Keep Alive to arrive keeps its connection alive while it gets on, and
// that one that dribbles does not, nor one that stops.
func TestKeepAliveOfAPacketThatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		begin := func() (*mqtttest.Client, []byte) {
			cl, _ := connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 2})
			return cl, encoded(t, packets.V5, &packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: bytes.Repeat([]byte("x"), 100_000)})
		}
		cl, p := begin()
		for len(p) > 0 { // 20 kB/s
			n := min(2000, len(p))
			cl.SendRaw(p[:n])
			p = p[n:]
			time.Sleep(100 * time.Millisecond)
		}
		cl.Expect(packets.TypePubAck)

		cl, p = begin()
		began := time.Now()
		for i := 0; cl.TrySend(p[i:i+1]) == nil; i++ {
			time.Sleep(time.Second)
			require.Less(t, time.Since(began), 6*time.Second, "a dribbler lives on")
		}

		cl, p = begin()
		cl.SendRaw(p[:50_000])
		began = time.Now()
		cl.ExpectDisconnect(packets.KeepAliveTimeout)
		require.InDelta(t, 3, time.Since(began).Seconds(), 0.1)
	})
}

// TestWriteTimeoutCountsProgress holds that a client which takes something, however slowly, is not cut off, also while the kernel's buffer between is so
// full that no write goes on; and that one which stops is.
func TestWriteTimeoutCountsProgress(t *testing.T) {
	t.Parallel()
	ended := make(chan shoal.DisconnectedEvent, 1)
	b := start(t, shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithLimits(shoal.Limits{WriteTimeout: 500 * time.Millisecond}),
		shoal.WithHook(onDisconnected(func(e shoal.DisconnectedEvent) {
			if e.Client.ClientID == "slow" {
				ended <- e
			}
		})))
	conn, err := net.Dial("tcp", b.Addrs()[0].String())
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(256<<10))
	slow := mqtttest.New(t, conn, packets.V5)
	slow.Connect(&packets.Connect{ClientID: "slow", CleanStart: true})
	slow.Subscribe(1, "t")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a megabyte a second
		defer close(stopped)
		buf := make([]byte, 25_000)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(25 * time.Millisecond):
			}
		}
	}()
	pub := connect(t, b, "pub")
	for range 6 {
		pub.Publish(1, "t", strings.Repeat("x", 2<<20))
	}
	began := time.Now()
	select {
	case e := <-ended:
		t.Fatalf("cut off after %v: %v", time.Since(began), e.Err)
	case <-time.After(3 * time.Second):
	}
	close(stop)
	<-stopped
	began = time.Now()
	<-ended
	require.Less(t, time.Since(began), 20*time.Second)
}
