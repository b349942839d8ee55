package shoal_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
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

// TestNewJoinsErrors holds that New names everything that is wrong, at once.
func TestNewJoinsErrors(t *testing.T) {
	_, err := shoal.New(
		shoal.WithListen("http://x:1", "tls://127.0.0.1:0", "tcp://nowhere"),
		shoal.WithListener(nil),
		shoal.WithHook(42),
		shoal.WithLimits(shoal.Limits{
			QueuedMessages: -1, QueuedBytes: -1, OutboxBytes: -1, QoS0Bytes: -1, ConnectTimeout: -1, WriteTimeout: -1, Subscriptions: -1,
		}),
		shoal.WithCapabilities(shoal.Capabilities{MaximumQoS: packets.Some(packets.QoS(3))}),
	)
	require.Error(t, err)
	for _, want := range []string{
		"WithAnonymous", `"http://x:1"`, `"tls://127.0.0.1:0"`, "WithTLSConfig", `"tcp://nowhere"`, "WithListener", "WithHook: int",
		"QueuedMessages", "QueuedBytes", "OutboxBytes", "QoS0Bytes", "ConnectTimeout", "WriteTimeout", "Subscriptions", "MaximumQoS",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "<nil>")
	for _, opts := range [][]shoal.Option{
		{shoal.WithAnonymous(), shoal.WithAnonymous()},
		{shoal.WithAnonymous(), shoal.WithAuthenticator(door{})},
		{shoal.WithAuthenticator(nil)},
		{shoal.WithAnonymous(), shoal.WithCluster(nil)},
		{shoal.WithAnonymous(), shoal.WithHook(nil)},
	} {
		_, err := shoal.New(opts...)
		require.Error(t, err)
	}
}

// Alone there is nowhere to send clients: Drain ends all connections at once, and lets nobody in. What the broker itself does goes on.
func TestDrainAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := shoal.New(shoal.WithAnonymous())
		require.NoError(t, err)
		require.ErrorIs(t, b.Drain(t.Context(), shoal.DrainOptions{}), shoal.ErrNotStarted)
		require.NoError(t, b.Start(t.Context()))
		conn, err := b.Dial(t.Context())
		require.NoError(t, err)
		c := mqtttest.New(t, conn, packets.V5)
		c.Connect(&packets.Connect{ClientID: "c", CleanStart: true})
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- b.Drain(context.Background(), shoal.DrainOptions{Rate: 1}) }()
		require.Equal(t, packets.ServerShuttingDown, mqtttest.Expect[*packets.Disconnect](c).ReasonCode)
		require.NoError(t, <-done)
		require.Zero(t, time.Since(began))
		_, err = b.Dial(t.Context())
		require.ErrorIs(t, err, shoal.ErrClosed)
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t"}))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestBeforeStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	store := memory.New()
	b, err := shoal.New(shoal.WithAnonymous(), shoal.WithListener(l), shoal.WithStorage(store))
	require.NoError(t, err)
	require.ErrorIs(t, b.Publish(t.Context(), shoal.Message{TopicName: "t"}), shoal.ErrNotStarted)
	_, err = b.Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{})
	require.ErrorIs(t, err, shoal.ErrNotStarted)
	_, err = b.Dial(t.Context())
	require.ErrorIs(t, err, shoal.ErrNotStarted)
	require.ErrorIs(t, b.Ready(t.Context()), shoal.ErrNotStarted)
	require.Empty(t, b.Addrs())
	require.Zero(t, b.Metrics().Sessions)
	require.NoError(t, b.Shutdown(t.Context()))
	require.NoError(t, b.Shutdown(t.Context()))
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed) // the broker closes what it was given
	require.ErrorIs(t, store.Commit(t.Context(), nil), shoal.ErrStorageClosed)
	require.ErrorIs(t, b.Start(t.Context()), shoal.ErrStarted)
}

func TestStartTwice(t *testing.T) {
	b := start(t)
	require.NoError(t, b.Ready(t.Context()))
	require.ErrorIs(t, b.Start(t.Context()), shoal.ErrStarted)
	require.ErrorIs(t, b.Run(t.Context()), shoal.ErrStarted)
	connect(t, b, "c").ExpectQuiet() // and nothing was undone
}

// TestPortInUse holds that Start says what is wrong and leaves nothing behind.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	own, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	socket := filepath.Join(t.TempDir(), "mqtt.sock")
	store := memory.New()
	b, err := shoal.New(
		shoal.WithAnonymous(), shoal.WithListen("unix://"+socket, "ws://127.0.0.1:0", "tcp://"+taken.Addr().String()),
		shoal.WithListener(own), shoal.WithStorage(store), shoal.WithHook(onDrop(func(shoal.DroppedEvent) {})),
	)
	require.NoError(t, err)
	err = b.Start(t.Context())
	require.ErrorContains(t, err, taken.Addr().String())
	require.Equal(t, 1, strings.Count(err.Error(), "\n")+1, "one error: %v", err)
	_, err = os.Stat(socket)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, store.Commit(t.Context(), nil), shoal.ErrStorageClosed)
	_, err = own.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, b.Shutdown(t.Context()))
	require.ErrorIs(t, b.Publish(t.Context(), shoal.Message{TopicName: "t"}), shoal.ErrClosed)
}

// broken is a store that cannot be opened, or read.
type broken struct {
	*memory.Store
	open, scan error
}

func (b broken) Open(context.Context) error { return b.open }

func (b broken) Scan(ctx context.Context, space string, from []byte, fn func(k, v []byte) error) error {
	if b.scan != nil {
		return b.scan
	}
	return b.Store.Scan(ctx, space, from, fn)
}

func TestStorageFailsToStart(t *testing.T) {
	cause := errors.New("the disk is on fire")
	for _, s := range []broken{{Store: memory.New(), open: cause}, {Store: memory.New(), scan: cause}} {
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithStorage(s))
		require.NoError(t, err)
		require.ErrorIs(t, b.Start(t.Context()), cause)
		require.ErrorIs(t, s.Commit(t.Context(), nil), shoal.ErrStorageClosed)
	}
}

func TestRun(t *testing.T) {
	b, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	require.Eventually(t, func() bool { return b.Ready(ctx) == nil && len(b.Addrs()) == 2 }, 5*time.Second, time.Millisecond)
	conn, err := net.Dial("tcp", b.Addrs()[1].String())
	require.NoError(t, err)
	c := mqtttest.New(t, conn, packets.V5)
	c.Connect(&packets.Connect{ClientID: "c", CleanStart: true})
	cancel()
	c.ExpectDisconnect(packets.ServerShuttingDown)
	require.NoError(t, <-done)
	_, err = net.Dial("tcp", b.Addrs()[0].String())
	require.Error(t, err)
}

// TestShutdown holds that clients are told, that what is theirs reaches them first, and that all calls wait for the same end.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		own := subscribe(t, b, shoal.SubscribeOptions{}, "t")
		five, three := connect(t, b, "five"), dial(t, b, packets.V311)
		three.Connect(&packets.Connect{ClientID: "three", CleanStart: true})
		silent := dial(t, b, packets.V5) // no CONNECT yet
		five.Subscribe(1, "t")
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Payload: []byte("m")}))
		done := make(chan error, 3)
		for range 3 {
			go func() { done <- b.Shutdown(t.Context()) }()
		}
		five.ExpectPublish("t", "m")
		five.ExpectDisconnect(packets.ServerShuttingDown)
		three.ExpectClosed()
		silent.ExpectClosed()
		for range 3 {
			require.NoError(t, <-done)
		}
		next(t, own)
		_, err := own.Next(t.Context())
		require.ErrorIs(t, err, shoal.ErrClosed)
		_, err = b.Dial(t.Context())
		require.ErrorIs(t, err, shoal.ErrClosed)
	})
}

// TestShutdownSlowClients holds that clients which do not read hold Shutdown up for seconds, not for ever.
func TestShutdownSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := shoal.New(shoal.WithAnonymous())
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		pub := connect(t, b, "pub")
		for i := range 5 {
			sub := connect(t, b, string(rune('a'+i)))
			sub.Subscribe(packets.QoS(i%3), "t")
		}
		for range 50 {
			pub.Publish(1, "t", strings.Repeat("x", 20_000))
		}
		began := time.Now()
		require.NoError(t, b.Shutdown(t.Context()))
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
	})
}

// TestShutdownCutOff holds that the end of ctx ends a Shutdown.
func TestShutdownCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := shoal.New(shoal.WithAnonymous())
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		sub, pub := connect(t, b, "sub"), connect(t, b, "pub")
		sub.Subscribe(0, "t")
		for range 50 {
			pub.Publish(0, "t", strings.Repeat("x", 20_000))
		}
		pub.Quiesce()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, b.Shutdown(ctx), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), time.Second)
	})
}

// TestListenerNames holds that a client is told apart by the listener it came over.
func TestListenerNames(t *testing.T) {
	var got []string
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := start(t, shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithListener(l), shoal.WithHook(onConnect(func(e *shoal.ConnectEvent) error {
		got = append(got, e.Client.Listener)
		require.NotNil(t, e.Client.RemoteAddr)
		return nil
	})))
	for _, addr := range b.Addrs() {
		conn, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		mqtttest.New(t, conn, packets.V5).Connect(&packets.Connect{CleanStart: true})
	}
	require.Equal(t, []string{"tcp://127.0.0.1:0", l.Addr().String()}, got)
}

// TestTLSSilence holds that a connection which never begins its handshake ends.
func TestTLSSilence(t *testing.T) {
	b := start(t, shoal.WithListen("tls://127.0.0.1:0"), shoal.WithTLSConfig(&tls.Config{}), shoal.WithLimits(shoal.Limits{ConnectTimeout: 50 * time.Millisecond}))
	conn, err := net.Dial("tcp", b.Addrs()[0].String())
	require.NoError(t, err)
	mqtttest.New(t, conn, packets.V5).ExpectClosed()
}

// TestCapabilities holds that what is turned off is said in CONNACK and refused.
func TestCapabilities(t *testing.T) {
	b := start(t, shoal.WithCapabilities(shoal.Capabilities{
		MaximumQoS: packets.Some(packets.QoS(1)), NoRetain: true, NoWildcardSubscriptions: true, NoSubscriptionIdentifiers: true, NoSharedSubscriptions: true,
	}), shoal.WithLimits(shoal.Limits{KeepAliveMaximum: 100, SessionExpiryMaximum: 50, ReceiveMaximum: 5, MaximumPacketSize: 500, TopicAliasMaximum: 3, Subscriptions: 2}))
	c, ack := connectWith(t, b, lasting("c", true))
	p := ack.Properties
	zero := packets.Some(byte(0))
	require.Equal(t, packets.Properties{
		MaximumQoS: packets.Some(byte(1)), RetainAvailable: zero, WildcardSubscriptionAvailable: zero, SubscriptionIdentifierAvailable: zero,
		SharedSubscriptionAvailable: zero, ServerKeepAlive: packets.Some(uint16(100)), SessionExpiryInterval: packets.Some(uint32(50)),
		ReceiveMaximum: packets.Some(uint16(5)), MaximumPacketSize: packets.Some(uint32(500)), TopicAliasMaximum: packets.Some(uint16(3)),
	}, p)
	require.Equal(t, []packets.ReasonCode{
		1, packets.WildcardSubscriptionsNotSupported, packets.SharedSubscriptionsNotSupported, 0, packets.QuotaExceeded,
	}, c.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{
		{TopicFilter: "a", QoS: 2}, {TopicFilter: "a/#"}, {TopicFilter: "$share/g/a"}, {TopicFilter: "b"}, {TopicFilter: "c"},
	}}).ReasonCodes)
	for code, send := range map[packets.ReasonCode]packets.Packet{
		packets.QoSNotSupported:    &packets.Publish{QoS: 2, PacketID: 1, TopicName: "t"}, // [MQTT-3.2.2-11]
		packets.RetainNotSupported: &packets.Publish{Retain: true, TopicName: "t"},        // [MQTT-3.2.2-14]
		packets.PacketTooLarge:     &packets.Publish{TopicName: "t", Payload: make([]byte, 500)},
		packets.SubscriptionIdentifiersNotSupported: &packets.Subscribe{
			PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t"}}, Properties: packets.Properties{SubscriptionIdentifiers: []uint32{1}},
		},
	} {
		c := connect(t, b, "d")
		c.Send(send)
		c.ExpectDisconnect(code)
	}
	for code, will := range map[packets.ReasonCode]packets.Will{
		packets.QoSNotSupported: {TopicName: "t", QoS: 2}, packets.RetainNotSupported: {TopicName: "t", Retain: true}, // [MQTT-3.2.2-12, -13]
	} {
		c := dial(t, b, packets.V5)
		require.Equal(t, code, c.TryConnect(&packets.Connect{CleanStart: true, Will: &will}).ReasonCode)
	}
}
