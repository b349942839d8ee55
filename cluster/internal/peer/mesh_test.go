package peer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink accepts everything.
type sink struct {
	mu  sync.Mutex
	got []string
}

func (s *sink) Receive(_ string, batch []byte, accepted func(error)) {
	s.mu.Lock()
	s.got = append(s.got, string(batch))
	s.mu.Unlock()
	accepted(nil)
}

func (s *sink) Serve(_ context.Context, _ string, req []byte) ([]byte, error) { return req, nil }
func (s *sink) Control(context.Context, string, []byte) ([]byte, error) {
	return []byte("control"), nil
}

func start(t testing.TB, h *memnet.Host, name string, boot uint64) (*Mesh, *sink) {
	t.Helper()
	l, err := h.Listen(":9946")
	require.NoError(t, err)
	s := &sink{}
	m := New(Config{Self: name, Boot: boot, Listener: l, Dial: h.Dial, Handler: s, Logger: slog.New(slog.DiscardHandler)})
	m.Start()
	return m, s
}

func pair(t *testing.T, fn func(net *memnet.Network, a, b *Mesh, sb *sink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		a, _ := start(t, net.Host("a"), "a", 1)
		b, sb := start(t, net.Host("b"), "b", 2)
		a.SetAddress("b", "b:9946")
		b.SetAddress("a", "a:9946")
		a.NodeUp("b")
		b.NodeUp("a")
		fn(net, a, b, sb)
		a.Close()
		b.Close()
	})
}

func send(m *Mesh, to, batch string) error {
	done := make(chan error, 1)
	m.Forward(to, []byte(batch), func(err error) { done <- err })
	return <-done
}

// C15: nothing is sent for an hour, and the link and calls are as quick as before.
func TestIdleLinkIsHealthy(t *testing.T) {
	pair(t, func(_ *memnet.Network, a, b *Mesh, _ *sink) {
		require.NoError(t, send(a, "b", "x"))
		require.NoError(t, send(b, "a", "x"))
		a.mu.Lock()
		data := a.remotes["b"].data
		a.mu.Unlock()
		time.Sleep(time.Hour)
		began := time.Now()
		require.NoError(t, send(a, "b", "y"))
		answer, err := a.Call(context.Background(), "b", []byte("z"))
		require.NoError(t, err)
		require.Equal(t, "z", string(answer))
		require.Zero(t, time.Since(began))
		require.Same(t, data, a.remotes["b"].data)
	})
}

// A connection that is dead without a word is found by its keep-alive pings.
func TestDeadLinkIsFound(t *testing.T) {
	pair(t, func(net *memnet.Network, a, b *Mesh, sb *sink) {
		require.NoError(t, send(a, "b", "x"))
		net.Isolate("b")
		done := make(chan error, 1)
		a.Forward("b", []byte("y"), func(err error) { done <- err })
		time.Sleep(time.Minute)
		require.Empty(t, done, "only NodeDown gives a batch up")
		net.Heal()
		began := time.Now()
		require.NoError(t, <-done)
		require.Less(t, time.Since(began), 4*time.Second)
		require.Equal(t, []string{"x", "y"}, sb.got)
	})
}

func TestTunnel(t *testing.T) {
	pair(t, func(_ *memnet.Network, a, b *Mesh, _ *sink) {
		c, err := a.DialTunnel(context.Background(), "b")
		require.NoError(t, err)
		d, err := b.AcceptTunnel()
		require.NoError(t, err)
		big := make([]byte, 1<<20)
		go func() {
			_, _ = c.Write(big)
		}()
		buf := make([]byte, len(big))
		n := 0
		for n < len(buf) {
			k, err := d.Read(buf[n:])
			require.NoError(t, err)
			n += k
		}
		require.NoError(t, d.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = d.Read(buf)
		require.Error(t, err, "a deadline holds")
		require.NoError(t, c.Close())
		require.NoError(t, d.SetReadDeadline(time.Time{}))
		_, err = d.Read(buf)
		require.Error(t, err, "the other end closed")
		require.NoError(t, d.Close())
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = a.DialTunnel(ctx, "nobody")
		require.Error(t, err)
	})
}

// A node under another's address does not take what is meant for the other.
func TestWrongNodeRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		a, _ := start(t, net.Host("a"), "a", 1)
		c, sc := start(t, net.Host("b"), "c", 3)
		a.SetAddress("b", "b:9946")
		a.NodeUp("b")
		done := make(chan error, 1)
		a.Forward("b", []byte("x"), func(err error) { done <- err })
		_, err := a.Call(context.Background(), "b", nil)
		require.ErrorContains(t, err, `this is node "c"`)
		time.Sleep(10 * time.Second)
		require.Empty(t, sc.got)
		a.NodeDown("b")
		require.ErrorIs(t, <-done, shoal.ErrNodeLost)
		a.Close()
		c.Close()
	})
}

// A slow receiver holds back what is on the way, not the caller.
func TestForwardNeverBlocks(t *testing.T) {
	pair(t, func(net *memnet.Network, a, b *Mesh, sb *sink) {
		net.Isolate("b")
		batch := make([]byte, 1<<20)
		done := make(chan error, 200)
		began := time.Now()
		for range 80 {
			a.Forward("b", batch, func(err error) { done <- err })
		}
		require.Zero(t, time.Since(began))
		net.Heal()
		for range 80 {
			require.NoError(t, <-done)
		}
		require.Len(t, sb.got, 80)
	})
}

func TestCloseFailsWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New(1)
		a, _ := start(t, net.Host("a"), "a", 1)
		a.NodeUp("b") // its address is not known
		done := make(chan error, 10)
		for range 10 {
			a.Forward("b", nil, func(err error) { done <- err })
		}
		time.Sleep(time.Second)
		a.Close()
		for range 10 {
			require.ErrorIs(t, <-done, shoal.ErrClosed)
		}
		require.False(t, a.Forward("b", nil, func(error) { t.Error("done is called after Close") }))
		_, err := a.Control(context.Background(), "b", nil)
		require.ErrorIs(t, err, shoal.ErrClosed)
		a.SetAddress("b", "x")
		a.NodeUp("b")
		a.NodeDown("b")
	})
}

// BenchmarkForward sends batches of 100-byte messages over loopback-like memory; ns/op is per message.
func BenchmarkForward(b *testing.B) {
	for _, messages := range []int{1, 20, 200} {
		b.Run(fmt.Sprintf("%d-per-batch", messages), func(b *testing.B) {
			net := memnet.New(1)
			x, _ := start(b, net.Host("a"), "a", 1)
			l, err := net.Host("b").Listen(":9946")
			require.NoError(b, err)
			y := New(Config{Self: "b", Boot: 2, Listener: l, Dial: net.Host("b").Dial, Handler: accepting{&sink{}}, Logger: slog.New(slog.DiscardHandler)})
			y.Start()
			defer x.Close()
			defer y.Close()
			forwardAll(b, x, messages)
		})
	}
}

type accepting struct{ *sink }

func (accepting) Receive(_ string, _ []byte, accepted func(error)) { accepted(nil) }

// forwardAll keeps up to 64 MiB outstanding.
func forwardAll(b *testing.B, x *Mesh, messages int) {
	x.SetAddress("b", "b:9946")
	x.NodeUp("b")
	batch := make([]byte, 100*messages)
	window := make(chan struct{}, 4096)
	var wg sync.WaitGroup
	b.SetBytes(100)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += messages {
		window <- struct{}{}
		wg.Add(1)
		x.Forward("b", batch, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-window
			wg.Done()
		})
	}
	wg.Wait()
}
