package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// dialled returns both ends of a stream from a to b.
func dialled(t *testing.T, n *Network) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(":1883")
	require.NoError(t, err)
	defer l.Close()
	a, err = n.Host("a").Dial(t.Context(), "b:1883")
	require.NoError(t, err)
	b, err = l.Accept()
	require.NoError(t, err)
	return a, b
}

func bubble(t *testing.T, fn func(t *testing.T, n *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(7)
		n.Host("a")
		n.Host("b")
		fn(t, n)
		n.Heal()
	})
}

func TestStream(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		require.Equal(t, "10.0.0.2:1883", a.RemoteAddr().String())
		require.Equal(t, a.LocalAddr().String(), b.RemoteAddr().String())
		big := make([]byte, 3*window)
		for i := range big {
			big[i] = byte(i * 7)
		}
		done := make(chan error, 1)
		go func() {
			_, err := a.Write(big)
			done <- errors.Join(err, a.Close())
		}()
		synctest.Wait()
		require.Empty(t, done, "the window is full")
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.Equal(t, big, got)
		require.NoError(t, <-done)
		_, err = b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, b.Close())
		require.NoError(t, b.Close())
		require.Empty(t, n.streams)
	})
}

func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		buf := make([]byte, 1)
		began := time.Now()
		require.NoError(t, a.SetReadDeadline(began.Add(time.Second)))
		_, err := a.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		require.Equal(t, time.Second, time.Since(began))
		// Moved while a Read waits, and then set to the past.
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		done := make(chan error, 1)
		go func() { _, err := a.Read(buf); done <- err }()
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Hour)))
		time.Sleep(time.Minute)
		require.Empty(t, done)
		require.NoError(t, a.SetReadDeadline(time.Unix(0, 0)))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetDeadline(time.Time{}))
		_, err = b.Write([]byte("x"))
		require.NoError(t, err)
		_, err = a.Read(buf)
		require.NoError(t, err)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		k, err := a.Write(make([]byte, 2*window))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, window, k)
		require.NoError(t, errors.Join(a.Close(), b.Close()))
	})
}

func TestCutStreamGoesOnAfterAShortCut(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		n.Partition([]string{"a"}, []string{"b"})
		_, err := a.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = b.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, b.SetReadDeadline(time.Time{}))
		time.Sleep(StreamTimeout - 2*time.Second)
		n.Heal()
		_, err = b.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = b.Write([]byte("y"))
		require.NoError(t, err)
		require.NoError(t, errors.Join(a.Close(), b.Close()))
	})
}

func TestCutStreamIsResetAfterALongCut(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		began := time.Now()
		n.Cut("a", "b") // one direction is enough
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, StreamTimeout, time.Since(began))
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, errors.Join(a.Close(), b.Close()))
	})
}

func TestDialOverACutWaits(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		l, err := n.Host("b").Listen(":1")
		require.NoError(t, err)
		n.Isolate("b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.Host("a").Dial(ctx, "b:1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		go func() {
			time.Sleep(3 * time.Second)
			n.Join("a", "b")
			n.Join("b", "a")
		}()
		began := time.Now()
		c, err := n.Host("a").Dial(t.Context(), "b:1")
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.NoError(t, l.Close())
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "it was not accepted")
		_, err = n.Host("a").Dial(t.Context(), "b:1")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = n.Host("a").Dial(t.Context(), "c:1")
		require.Error(t, err)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestKillAndRestart(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		old := n.Host("b")
		l, err := old.Listen(":9")
		require.NoError(t, err)
		p, err := old.ListenPacket(":9")
		require.NoError(t, err)
		n.Kill("b")
		for _, c := range []net.Conn{a, b} {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, _, err = p.ReadFrom(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = old.Listen(":10")
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = old.Dial(t.Context(), "a:1")
		require.ErrorIs(t, err, net.ErrClosed)
		n.Kill("b")
		fresh := n.Host("b")
		require.NotSame(t, old, fresh)
		require.Equal(t, old.IP(), fresh.IP())
		_, err = fresh.Listen(":9")
		require.NoError(t, err)
	})
}

func TestDelay(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		n.SetDelay("a", "b", 30*time.Millisecond)
		began := time.Now()
		a, b := dialled(t, n)
		require.Equal(t, 30*time.Millisecond, time.Since(began))
		began = time.Now()
		_, err := a.Write([]byte("x"))
		require.NoError(t, err)
		require.Zero(t, time.Since(began))
		_, err = b.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, 30*time.Millisecond, time.Since(began))
		_, err = b.Write([]byte("y"))
		require.NoError(t, err)
		_, err = a.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, 30*time.Millisecond, time.Since(began), "the way back is quick")
		require.NoError(t, errors.Join(a.Close(), b.Close()))
	})
}

func TestPackets(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		pa, err := n.Host("a").ListenPacket("0.0.0.0:7946")
		require.NoError(t, err)
		pb, err := n.Host("b").ListenPacket("127.0.0.1:0")
		require.NoError(t, err)
		_, err = n.Host("b").ListenPacket(pb.LocalAddr().String())
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		send := func() {
			_, err := pa.WriteTo([]byte("hello"), pb.LocalAddr())
			require.NoError(t, err)
		}
		read := func() error {
			require.NoError(t, pb.SetReadDeadline(time.Now().Add(time.Second)))
			buf := make([]byte, 10)
			k, from, err := pb.ReadFrom(buf)
			if err == nil {
				require.Equal(t, "hello", string(buf[:k]))
				require.Equal(t, "10.0.0.1:7946", from.String())
			}
			return err
		}
		send()
		require.NoError(t, read())
		n.Cut("a", "b")
		send()
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		n.Heal()
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded, "what was lost stays lost")
		n.SetDelay("a", "b", 20*time.Millisecond)
		began := time.Now()
		send()
		require.NoError(t, read())
		require.Equal(t, 20*time.Millisecond, time.Since(began))
		n.SetDelay("a", "b", 0)
		n.SetLoss(0.5)
		for range 1000 {
			send()
		}
		n.SetLoss(0)
		got := 0
		for read() == nil {
			got++
		}
		require.InDelta(t, 500, got, 100)
		for range 2 * packetQueue {
			send()
		}
		got = 0
		for read() == nil {
			got++
		}
		require.Equal(t, packetQueue, got, "the queue is bounded")
		require.NoError(t, errors.Join(pa.Close(), pb.Close()))
	})
}

func TestListenAddresses(t *testing.T) {
	n := New(1)
	h := n.Host("a")
	require.Equal(t, "a", h.Name())
	require.Equal(t, "10.0.0.1", h.IP())
	for _, addr := range []string{":0", "127.0.0.1:0", "localhost:0", "10.0.0.1:0", "0.0.0.0:0", "a:0"} {
		l, err := h.Listen(addr)
		require.NoError(t, err, addr)
		require.Contains(t, l.Addr().String(), "10.0.0.1:")
	}
	for _, addr := range []string{"10.0.0.2:0", "b:0", "nonsense", "a:x"} {
		_, err := h.Listen(addr)
		require.Error(t, err, addr)
	}
	_, err := h.Listen(":80")
	require.NoError(t, err)
	_, err = h.Listen(":80")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	ips, err := h.LookupHost(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []string{"10.0.0.1"}, ips)
	_, err = h.LookupHost(t.Context(), "z")
	require.Error(t, err)
}

// What a lossy link does to a stream: everything comes, in order, and late; opening one takes longer, too.
func TestLinkLoss(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network) {
		a, b := dialled(t, n)
		n.SetLinkLoss("a", "b", 0.4)
		began := time.Now()
		const pieces = 100
		go func() {
			for i := range pieces {
				_, _ = a.Write([]byte{byte(i)})
				time.Sleep(time.Millisecond)
			}
		}()
		got := make([]byte, pieces)
		_, err := io.ReadFull(b, got)
		require.NoError(t, err)
		for i := range pieces {
			require.EqualValues(t, i, got[i])
		}
		require.Greater(t, time.Since(began), retransmission)
		began = time.Now()
		_, err = b.Write([]byte("x"))
		require.NoError(t, err)
		_, err = a.Read(got)
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "the way back loses nothing")

		p, err := n.Host("b").ListenPacket(":5")
		require.NoError(t, err)
		from, err := n.Host("a").ListenPacket(":5")
		require.NoError(t, err)
		for range 1000 {
			_, err := from.WriteTo([]byte("x"), p.LocalAddr())
			require.NoError(t, err)
		}
		arrived := 0
		for ; p.SetReadDeadline(time.Now().Add(time.Second)) == nil; arrived++ {
			if _, _, err := p.ReadFrom(got); err != nil {
				break
			}
		}
		require.InDelta(t, 600, arrived, 100)

		l, err := n.Host("b").Listen(":6")
		require.NoError(t, err)
		n.SetLinkLoss("a", "b", 0.9)
		began = time.Now()
		for range 5 {
			c, err := n.Host("a").Dial(t.Context(), "b:6")
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
		require.Greater(t, time.Since(began), openRetransmission)
		require.NoError(t, errors.Join(a.Close(), b.Close(), p.Close(), from.Close(), l.Close()))
	})
}
