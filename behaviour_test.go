package shoal_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
	"github.com/shoalmq/shoal/internal/behaviour"
	"github.com/shoalmq/shoal/internal/listen"
)

// start starts a broker that lets everybody in, and stops it when the test ends.
func start(t testing.TB, opts ...shoal.Option) *shoal.Broker {
	t.Helper()
	return startWith(t, append([]shoal.Option{shoal.WithAnonymous()}, opts...)...)
}

// startWith is start with an authenticator among the options.
func startWith(t testing.TB, opts ...shoal.Option) *shoal.Broker {
	t.Helper()
	b, err := shoal.New(opts...)
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { stop(t, b) })
	return b
}

func stop(t testing.TB, b *shoal.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	require.NoError(t, b.Shutdown(ctx))
}

// one is one broker whose clients connect without a socket.
type one struct{ b *shoal.Broker }

func (e one) Nodes() int { return 1 }

func (e one) Dial(t testing.TB, _ int) net.Conn {
	t.Helper()
	conn, err := e.b.Dial(t.Context())
	require.NoError(t, err)
	return conn
}

// TestBehaviour runs the whole table against one broker, with virtual time.
func TestBehaviour(t *testing.T) {
	behaviour.Run(t, func(t *testing.T, c *behaviour.Case, body func(*testing.T, behaviour.Env)) {
		synctest.Test(t, func(t *testing.T) { body(t, one{startWith(t, c.BrokerOptions()...)}) })
	})
}

// TestBehaviourTCP runs it over TCP: over sockets, or, where time matters, over a network in memory with virtual time.
func TestBehaviourTCP(t *testing.T) {
	behaviour.Run(t, func(t *testing.T, c *behaviour.Case, body func(*testing.T, behaviour.Env)) {
		if c.Timed {
			synctest.Test(t, func(t *testing.T) {
				l, dial := inMemory(t)
				body(t, over{one{startWith(t, append(c.BrokerOptions(), shoal.WithListener(l))...)}, dial})
			})
			return
		}
		b := startWith(t, append(c.BrokerOptions(), shoal.WithListen("tcp://127.0.0.1:0"))...)
		body(t, over{one{b}, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", b.Addrs()[0].String())
		}})
	})
}

// TestBehaviourWebSocket runs it over WebSocket, on top of either.
func TestBehaviourWebSocket(t *testing.T) {
	behaviour.Run(t, func(t *testing.T, c *behaviour.Case, body func(*testing.T, behaviour.Env)) {
		if c.Timed {
			synctest.Test(t, func(t *testing.T) {
				l, dial := inMemory(t)
				b := startWith(t, append(c.BrokerOptions(), shoal.WithListener(listen.WebSocket(l, "/mqtt")))...)
				body(t, over{one{b}, func(ctx context.Context) (net.Conn, error) {
					return listen.DialWebSocket(ctx, "ws://broker/mqtt", dial)
				}})
			})
			return
		}
		b := startWith(t, append(c.BrokerOptions(), shoal.WithListen("ws://127.0.0.1:0"))...)
		addr := b.Addrs()[0].String()
		body(t, over{one{b}, func(ctx context.Context) (net.Conn, error) {
			return listen.DialWebSocket(ctx, "ws://"+addr+"/mqtt", func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			})
		}})
	})
}

// over is one broker whose clients connect by dial.
type over struct {
	one
	dial func(context.Context) (net.Conn, error)
}

func (e over) Dial(t testing.TB, _ int) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := e.dial(ctx)
	require.NoError(t, err)
	return conn
}

// inMemory returns a listener of a network in memory, and how to reach it.
func inMemory(t *testing.T) (net.Listener, func(context.Context) (net.Conn, error)) {
	t.Helper()
	network := memnet.New(1)
	l, err := network.Host("broker").Listen(":1883")
	require.NoError(t, err)
	return l, func(ctx context.Context) (net.Conn, error) { return network.Host("client").Dial(ctx, "broker:1883") }
}
