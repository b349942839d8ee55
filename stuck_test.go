package shoal_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/pipe"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// stuck blocks, whatever context it has, until it is released.
type stuck struct{ release chan struct{} }

func (s stuck) block() { <-s.release }

// blockFor blocks on behalf of one client alone.
func (s stuck) blockFor(clientID string) {
	if clientID == "stuck" {
		s.block()
	}
}

// stuckStore is a store that blocks once it is told to.
type stuckStore struct {
	shoal.Storage
	stuck
	now chan struct{} // closed when it begins to block
}

func (s stuckStore) Commit(ctx context.Context, ops []shoal.Op) error {
	select {
	case <-s.now:
		s.block()
	default:
	}
	return s.Storage.Commit(ctx, ops)
}

// stuckConn is a connection one of whose methods blocks.
type stuckConn struct {
	net.Conn
	stuck
	method string
}

func (c stuckConn) in(method string) {
	if c.method == method {
		c.block()
	}
}

func (c stuckConn) RemoteAddr() net.Addr { c.in("RemoteAddr"); return c.Conn.RemoteAddr() }
func (c stuckConn) LocalAddr() net.Addr  { c.in("LocalAddr"); return c.Conn.LocalAddr() }
func (c stuckConn) Close() error         { c.in("Close"); return c.Conn.Close() }

func (c stuckConn) SetReadDeadline(t time.Time) error {
	c.in("SetReadDeadline")
	return c.Conn.SetReadDeadline(t)
}

func (c stuckConn) SetWriteDeadline(t time.Time) error {
	c.in("SetWriteDeadline")
	return c.Conn.SetWriteDeadline(t)
}

func (c stuckConn) Read(b []byte) (int, error) { c.in("Read"); return c.Conn.Read(b) }

func (c stuckConn) Write(b []byte) (int, error) { c.in("Write"); return c.Conn.Write(b) }

// handOut is a listener of connections that are given to it.
type handOut struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l handOut) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l handOut) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (handOut) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1883} }

type (
	onSubscribed   func(shoal.SubscribedEvent)
	onUnsubscribed func(shoal.UnsubscribedEvent)
)

func (f onSubscribed) Subscribed(e shoal.SubscribedEvent)       { f(e) }
func (f onUnsubscribed) Unsubscribed(e shoal.UnsubscribedEvent) { f(e) }

// TestNobodyWaitsForWhatIsStuck blocks in every hook, in the authenticator, the authoriser, the store and every method of a connection in turn, and holds that
// other clients go on, and that Shutdown ends with its context.
func TestNobodyWaitsForWhatIsStuck(t *testing.T) {
	hook := func(h func(s stuck) any) func(stuck) []shoal.Option {
		return func(s stuck) []shoal.Option { return []shoal.Option{shoal.WithAnonymous(), shoal.WithHook(h(s))} }
	}
	through := func(d func(s stuck) door) func(stuck) []shoal.Option {
		return func(s stuck) []shoal.Option { return []shoal.Option{shoal.WithAuthenticator(d(s))} }
	}
	cases := map[string]func(stuck) []shoal.Option{
		"authenticator": through(func(s stuck) door {
			return door{enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
				s.blockFor(c.ClientID)
				return &shoal.Principal{}, nil
			}}
		}),
		"authoriser": through(func(s stuck) door {
			return door{allow: func(r *shoal.AccessRequest) error { s.blockFor(r.ClientID); return nil }}
		}),
		"connect interceptor": hook(func(s stuck) any {
			return onConnect(func(e *shoal.ConnectEvent) error { s.blockFor(e.Client.ClientID); return nil })
		}),
		"connect observer": hook(func(s stuck) any {
			return onConnected(func(e shoal.ConnectedEvent) { s.blockFor(e.Client.ClientID) })
		}),
		"disconnect observer": hook(func(s stuck) any {
			return onDisconnected(func(e shoal.DisconnectedEvent) { s.blockFor(e.Client.ClientID) })
		}),
		"subscribe interceptor": hook(func(s stuck) any {
			return onSubscribe(func(e *shoal.SubscribeEvent) error { s.blockFor(e.Client.ClientID); return nil })
		}),
		"subscription observer": hook(func(s stuck) any {
			return onSubscribed(func(e shoal.SubscribedEvent) { s.blockFor(e.ClientID) })
		}),
		"unsubscription observer": hook(func(s stuck) any {
			return onUnsubscribed(func(e shoal.UnsubscribedEvent) { s.blockFor(e.ClientID) })
		}),
		"publish interceptor": hook(func(s stuck) any {
			return onPublish(func(e *shoal.PublishEvent) error { s.blockFor(e.Client.ClientID); return nil })
		}),
		"publish observer": hook(func(s stuck) any {
			return onPublished(func(e shoal.PublishedEvent) { s.blockFor(e.ClientID) })
		}),
		"will interceptor": hook(func(s stuck) any {
			return onWill(func(*shoal.PublishEvent) error { s.block(); return nil })
		}),
		"session observer": hook(func(s stuck) any { return onEnded(s.blockFor) }),
		"drop observer":    hook(func(s stuck) any { return onDrop(func(shoal.DroppedEvent) { s.block() }) }),
	}
	for name, opts := range cases {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { getStuck(t, opts, "") }) })
	}
	for _, method := range []string{"RemoteAddr", "LocalAddr", "Close", "SetReadDeadline", "SetWriteDeadline", "Read", "Write"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				getStuck(t, func(stuck) []shoal.Option { return []shoal.Option{shoal.WithAnonymous()} }, method)
			})
		})
	}
}

// getStuck has a client run into whatever blocks.
func getStuck(t *testing.T, opts func(stuck) []shoal.Option, method string) {
	s := stuck{make(chan struct{})}
	l := handOut{make(chan net.Conn), make(chan struct{})}
	b, err := shoal.New(append(opts(s), shoal.WithListener(l))...)
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	mine, brokers := pipe.New("stuck")
	l.conns <- stuckConn{brokers, s, method}
	will := &packets.Will{TopicName: "will"}
	all := encoded(t, packets.V5, &packets.Connect{
		ProtocolVersion: packets.V5, ClientID: "stuck", CleanStart: true, Will: will,
		Properties: packets.Properties{MaximumPacketSize: packets.Some(uint32(100))},
	})
	all = append(all, encoded(t, packets.V5,
		&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}}},
		&packets.Publish{TopicName: "t", QoS: 1, PacketID: 2},
		&packets.Publish{TopicName: "t", QoS: 1, PacketID: 3, Payload: make([]byte, 100)}, // larger than it takes
		&packets.Unsubscribe{PacketID: 4, TopicFilters: []string{"t"}},
		&packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage},
	)...)
	_, err = mine.Write(all)
	require.NoError(t, err)
	synctest.Wait()

	began := time.Now()
	one, two := connect(t, b, "one"), connect(t, b, "two")
	one.Subscribe(1, "t")
	for range 3 {
		require.Equal(t, packets.Success, two.Publish(1, "t", "m"))
		one.ExpectPublish("t", "m")
	}
	again, _ := connectWith(t, b, lasting("one", false))
	again.Disconnect()
	require.NoError(t, b.Ban(t.Context(), shoal.Ban{Principal: "nobody"}))
	require.LessOrEqual(t, time.Since(began), 100*time.Millisecond)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	began = time.Now()
	_ = b.Shutdown(ctx) // with an error, if anything is stuck still
	require.LessOrEqual(t, time.Since(began), 6*time.Second)
	close(s.release)
	_ = b.Shutdown(t.Context()) // what the first call has found
	require.NoError(t, mine.Close())
}

// TestShutdownWithAStuckStore holds that Shutdown ends with its context when the store does not answer.
func TestShutdownWithAStuckStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := stuckStore{memory.New(), stuck{make(chan struct{})}, make(chan struct{})}
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithStorage(store))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		connectWith(t, b, lasting("c", true))
		close(store.now)
		dial(t, b, packets.V5).Send(lasting("d", true))
		synctest.Wait()
		endsWithItsContext(t, b)
		close(store.release)
		_ = b.Shutdown(t.Context()) // what the first call has found
	})
}

func endsWithItsContext(t *testing.T, b *shoal.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Second)
	defer cancel()
	began := time.Now()
	require.ErrorIs(t, b.Shutdown(ctx), context.DeadlineExceeded)
	require.LessOrEqual(t, time.Since(began), 3*time.Second)
}

// TestShutdownFromAHook holds that a hook can shut the broker down: it ends with the context.
func TestShutdownFromAHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *shoal.Broker
		done := make(chan struct{})
		var err error
		b, err = shoal.New(shoal.WithAnonymous(), shoal.WithHook(onPublish(func(*shoal.PublishEvent) error {
			defer close(done)
			endsWithItsContext(t, b)
			return nil
		})))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		connect(t, b, "c").Send(&packets.Publish{TopicName: "t"})
		<-done
		synctest.Wait()
	})
}

// TestShutdownWithHalfOpenConnections holds that connections which have not sent a CONNECT, or not all of it, hold nothing up.
func TestShutdownWithHalfOpenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := shoal.New(shoal.WithAnonymous())
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		dial(t, b, packets.V5)
		dial(t, b, packets.V5).SendRaw([]byte{0x10, 20, 0, 4})
		synctest.Wait()
		began := time.Now()
		stop(t, b)
		require.LessOrEqual(t, time.Since(began), time.Second)
	})
}
