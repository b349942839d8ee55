package shoal_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/behaviour"
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
	behaviour.Run(t, behaviour.Harness{
		Virtual: true,
		Case: func(t *testing.T, body func(*testing.T, behaviour.Env)) {
			synctest.Test(t, func(t *testing.T) { body(t, one{start(t)}) })
		},
	})
}

// overTCP is one broker whose clients connect over TCP.
type overTCP struct{ one }

func (e overTCP) Dial(t testing.TB, _ int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", e.b.Addrs()[0].String())
	require.NoError(t, err)
	return conn
}

// TestBehaviourTCP runs what needs no virtual time over sockets.
func TestBehaviourTCP(t *testing.T) {
	behaviour.Run(t, behaviour.Harness{
		Case: func(t *testing.T, body func(*testing.T, behaviour.Env)) {
			body(t, overTCP{one{start(t, shoal.WithListen("tcp://127.0.0.1:0"))}})
		},
	})
}
