package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/pipe"
	"github.com/shoalmq/shoal/packets"
)

// pairs are the kinds of connections: one that is read by the file descriptor and one that is not.
var pairs = map[string]func(t testing.TB) (a, b net.Conn){
	"tcp": func(t testing.TB) (net.Conn, net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		a, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		b, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		return a, b
	},
	"pipe": func(t testing.TB) (net.Conn, net.Conn) {
		a, b := pipe.New("")
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		return a, b
	},
}

func each(t *testing.T, fn func(t *testing.T, a, b net.Conn)) {
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			fn(t, a, b)
		})
	}
}

// stream is a few packets of all sizes.
func stream(t testing.TB) (b []byte, bodies [][]byte) {
	for _, n := range []int{0, 1, 100, 127, 128, outbox.SmallChunk, 5000, outbox.LargeChunk, 70_000, 3} {
		p := &packets.Publish{TopicName: "t", Payload: bytes.Repeat([]byte{byte(n)}, n)}
		enc, err := p.Append(nil, packets.V311)
		require.NoError(t, err)
		b = append(b, enc...)
		h, err := packets.ParseFixedHeader(enc)
		require.NoError(t, err)
		bodies = append(bodies, enc[h.Size:])
	}
	return append(b, 0xc0, 0), append(bodies, []byte{})
}

// readAll reads n packets. After each batch the buffer is given back, as the broker does.
func readAll(t testing.TB, r *Reader, n int) (bodies [][]byte) {
	for len(bodies) < n {
		require.NoError(t, r.Fill())
		for {
			_, body, ok, err := r.Next()
			require.NoError(t, err)
			if !ok {
				break
			}
			bodies = append(bodies, append([]byte{}, body...))
		}
		r.Release()
	}
	return bodies
}

// TestSplit holds that packets come out whole wherever the stream is cut.
func TestSplit(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		all, want := stream(t)
		for _, piece := range []int{1000, 2048, 4096, 33_000, len(all)} {
			r := NewReader(b, new(outbox.Pool), 1<<20)
			sent := make(chan error, 1)
			go func() {
				for rest := all; len(rest) > 0; {
					n := min(piece, len(rest))
					if _, err := a.Write(rest[:n]); err != nil {
						sent <- err
						return
					}
					rest = rest[n:]
				}
				sent <- nil
			}()
			require.Equal(t, want, readAll(t, r, len(want)))
			require.NoError(t, <-sent)
			require.Nil(t, r.buf, "an idle reader holds a buffer")
			r.Close()
		}
	})
}

// TestEveryBoundary cuts a short stream at every place.
func TestEveryBoundary(t *testing.T) {
	short := []byte("\x30\x04\x00\x01tx\xc0\x00\x82\x06\x00\x01\x00\x01t\x00\x30\x03\x00\x01t")
	each(t, func(t *testing.T, a, b net.Conn) {
		for cut := range len(short) {
			r := NewReader(b, new(outbox.Pool), 1000)
			_, err := a.Write(short[:cut])
			require.NoError(t, err)
			var types []packets.Type
			next := func() {
				for {
					h, _, ok, err := r.Next()
					require.NoError(t, err)
					if !ok {
						return
					}
					types = append(types, h.Type)
				}
			}
			if cut > 0 {
				require.NoError(t, r.Fill())
				next()
			}
			_, err = a.Write(short[cut:])
			require.NoError(t, err)
			for len(types) < 4 {
				require.NoError(t, r.Fill())
				next()
			}
			require.Equal(t, []packets.Type{packets.TypePublish, packets.TypePingReq, packets.TypeSubscribe, packets.TypePublish}, types)
			r.Close()
		}
	})
}

func TestEnd(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		r := NewReader(b, new(outbox.Pool), 1000)
		_, err := a.Write([]byte("\xc0\x00\x30\x05\x00"))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		var last error
		for last == nil {
			if last = r.Fill(); last == nil {
				_, _, _, err := r.Next()
				require.NoError(t, err)
			}
		}
		require.ErrorIs(t, last, io.ErrUnexpectedEOF)
		r.Close()
		r = NewReader(b, new(outbox.Pool), 1000)
		require.ErrorIs(t, r.Fill(), io.EOF)
	})
}

// TestDeadline holds that the Reader goes on after a deadline.
func TestDeadline(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		r := NewReader(b, new(outbox.Pool), 1000)
		_, err := a.Write([]byte("\x30"))
		require.NoError(t, err)
		require.NoError(t, r.Fill())
		require.NoError(t, b.SetReadDeadline(time.Unix(1, 0)))
		require.ErrorIs(t, r.Fill(), os.ErrDeadlineExceeded)
		require.NoError(t, b.SetReadDeadline(time.Time{}))
		_, err = a.Write([]byte("\x03\x00\x01t"))
		require.NoError(t, err)
		require.Len(t, readAll(t, r, 1), 1)
	})
}

func TestTooLarge(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		r := NewReader(b, new(outbox.Pool), 100)
		_, err := a.Write([]byte{0x30, 98}) // 100 in all
		require.NoError(t, err)
		require.NoError(t, r.Fill())
		_, _, ok, err := r.Next()
		require.NoError(t, err)
		require.False(t, ok)
		r = NewReader(b, new(outbox.Pool), 100)
		_, err = a.Write([]byte{0x30, 99})
		require.NoError(t, err)
		require.NoError(t, r.Fill())
		_, _, _, err = r.Next()
		var perr *packets.Error
		require.ErrorAs(t, err, &perr)
		require.Equal(t, packets.PacketTooLarge, perr.Code)
	})
}

// TestMemoryFollowsBytes holds that a length field alone gets no memory (X6).
func TestMemoryFollowsBytes(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		r := NewReader(b, new(outbox.Pool), packets.MaxRemainingLength+5)
		_, err := a.Write([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 't'})
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, r.Fill())
		_, _, ok, err := r.Next()
		require.NoError(t, err)
		require.False(t, ok)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<10))
		require.LessOrEqual(t, len(r.buf), outbox.LargeChunk)
	})
}

// TestV31 holds that the DUP flag of MQTT 3.1 is let through only for that version.
func TestV31(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		r := NewReader(b, new(outbox.Pool), 100)
		r.V31 = true
		_, err := a.Write([]byte{0x6a, 2, 0, 1, 0x6a, 2, 0, 1})
		require.NoError(t, err)
		require.NoError(t, r.Fill())
		_, _, ok, err := r.Next()
		require.NoError(t, err)
		require.True(t, ok)
		r.V31 = false
		_, _, _, err = r.Next()
		require.ErrorIs(t, err, packets.ErrMalformed)
	})
}

func batchOf(parts ...[]byte) *outbox.Batch {
	b := outbox.Buffer{Pool: new(outbox.Pool)}
	for _, p := range parts {
		b.AppendShared(p)
	}
	batch := new(outbox.Batch)
	b.TakeInto(batch)
	return batch
}

func TestWrite(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		w := NewWriter(a, time.Minute)
		var parts [][]byte
		var want []byte
		for i := range 60 {
			p := bytes.Repeat([]byte{byte(i)}, 1+i*i*10)
			parts = append(parts, p)
			want = append(want, p...)
		}
		got := make(chan []byte, 1)
		go func() {
			all := make([]byte, len(want))
			_, _ = io.ReadFull(b, all) // what is missing is found missing
			got <- all
		}()
		batch := batchOf(parts...)
		all, err := w.Try(batch)
		require.NoError(t, err)
		if !all {
			require.NoError(t, w.WriteAll(batch))
		}
		require.True(t, bytes.Equal(want, <-got))
		batch.Release()
		all, err = w.Try(batch)
		require.NoError(t, err)
		require.True(t, all)
	})
}

// TestTryDoesNotWait holds that Try comes back from a peer that does not read, and that nothing is lost or doubled after it.
func TestTryDoesNotWait(t *testing.T) {
	each(t, func(t *testing.T, a, b net.Conn) {
		w := NewWriter(a, time.Minute)
		want := make([]byte, 20<<20)
		for i := range want {
			want[i] = byte(i >> 8)
		}
		batch := batchOf(want[:100], want[100:])
		all, err := w.Try(batch)
		require.NoError(t, err)
		require.False(t, all)
		done := make(chan error, 1)
		go func() { done <- w.WriteAll(batch) }()
		got := make([]byte, len(want))
		_, err = io.ReadFull(b, got)
		require.NoError(t, err)
		require.NoError(t, <-done)
		require.True(t, bytes.Equal(want, got))
	})
}

func TestWriteTimeout(t *testing.T) {
	each(t, func(t *testing.T, a, _ net.Conn) {
		w := NewWriter(a, 30*time.Millisecond)
		err := w.WriteAll(batchOf(make([]byte, 20<<20)))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestWriteToClosed(t *testing.T) {
	each(t, func(t *testing.T, a, _ net.Conn) {
		require.NoError(t, a.Close())
		w := NewWriter(a, time.Minute)
		batch := batchOf([]byte("x"))
		all, err := w.Try(batch)
		if err == nil { // a connection that cannot tell has written nothing
			require.False(t, all)
			err = w.WriteAll(batch)
		}
		require.Error(t, err)
	})
}

// FuzzReader cuts anything into pieces and holds that it reads as the codec reads it in one piece.
func FuzzReader(f *testing.F) {
	all, _ := stream(f)
	f.Add([]byte("\x30\x03\x00\x01t\xc0\x00"), uint16(2))
	f.Add(all[:300], uint16(7))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, piece uint16) {
		client, server := pipe.New("")
		b = b[:min(len(b), 60_000)]
		go func() {
			for rest := b; len(rest) > 0; {
				n := min(int(piece)+1, len(rest))
				if _, err := client.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			_ = client.Close()
		}()
		defer func() { _ = server.Close() }()
		r := NewReader(server, new(outbox.Pool), 1<<20)
		rest := b
		for {
			fill := r.Fill()
			for {
				h, body, ok, err := r.Next()
				want, wantErr := packets.ParseFixedHeader(rest)
				if err != nil {
					require.True(t, wantErr != nil && !errors.Is(wantErr, packets.ErrIncomplete) || want.Size+want.Remaining > 1<<20)
					return
				}
				if !ok {
					break
				}
				require.NoError(t, wantErr)
				require.Equal(t, want, h)
				require.Equal(t, rest[h.Size:h.Size+h.Remaining], body)
				rest = rest[h.Size+h.Remaining:]
			}
			if fill != nil {
				require.True(t, errors.Is(fill, io.EOF) && len(rest) == 0 || errors.Is(fill, io.ErrUnexpectedEOF) && len(rest) > 0, "%v", fill)
				return
			}
		}
	})
}
