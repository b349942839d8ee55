package outbox

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// machine holds a Buffer against a plain slice of bytes.
type machine struct {
	pool  Pool
	b     Buffer
	want  []byte // in the Buffer
	batch Batch
	taken []byte // in the Batch
	n     byte
}

func (m *machine) fresh(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		m.n++
		b[i] = m.n
	}
	return b
}

func (m *machine) step(t *rapid.T) {
	size := rapid.SampledFrom([]int{0, 1, 5, 100, SmallChunk - 1, SmallChunk, SmallChunk + 1, ShareFrom - 1, ShareFrom, LargeChunk - 3, LargeChunk, LargeChunk + 1, 100_000}).Draw(t, "size")
	switch rapid.SampledFrom([]string{"append", "append", "reserve", "shared", "take", "consume", "release", "reset"}).Draw(t, "step") {
	case "append":
		p := m.fresh(size)
		m.want = append(m.want, p...)
		m.b.Append(p)
		for i := range p {
			p[i] = 0 // it was copied
		}
	case "reserve":
		p := m.fresh(rapid.IntRange(0, size).Draw(t, "used")) // less than was reserved
		tail := m.b.Reserve(size)
		require.GreaterOrEqual(t, cap(tail)-len(tail), size)
		m.b.Commit(append(tail, p...))
		m.want = append(m.want, p...)
	case "shared":
		p := m.fresh(size)
		m.b.AppendShared(p)
		m.want = append(m.want, p...)
	case "take":
		if len(m.taken) == 0 {
			m.batch.Release()
			m.b.TakeInto(&m.batch)
			m.taken, m.want = m.want, nil
			require.Zero(t, m.b.Len())
		}
	case "consume":
		n := rapid.IntRange(0, len(m.taken)).Draw(t, "n")
		require.Equal(t, n == len(m.taken), m.batch.Consume(n))
		m.taken = m.taken[n:]
	case "release":
		m.batch.Release()
		m.taken = nil
	case "reset":
		m.b.Reset()
		m.want = nil
	}
	require.Equal(t, len(m.want), m.b.Len())
	require.True(t, bytes.Equal(m.taken, bytes.Join(m.batch.Bytes, nil)), "the batch holds something else")
}

func property(t *rapid.T) {
	m := new(machine)
	m.b.Pool = &m.pool
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		m.step(t)
	}
	m.batch.Release()
	m.b.TakeInto(&m.batch)
	require.True(t, bytes.Equal(m.want, bytes.Join(m.batch.Bytes, nil)), "the buffer held something else")
}

func TestBuffer(t *testing.T) { rapid.Check(t, property) }

func FuzzBuffer(f *testing.F) {
	for seed := range byte(3) {
		b := make([]byte, 2048)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(property))
}

// TestShared holds that a large payload is referred to, and a small one copied.
func TestShared(t *testing.T) {
	b := Buffer{Pool: new(Pool)}
	b.Append([]byte("head"))
	large := make([]byte, ShareFrom)
	b.AppendShared(large)
	var batch Batch
	b.TakeInto(&batch)
	require.Len(t, batch.Bytes, 2)
	require.Same(t, &large[0], &batch.Bytes[1][0])
	batch.Release()
	require.Equal(t, make([]byte, ShareFrom), large, "what was lent by others must not go to the pool")
}

// TestIdleHoldsNothing holds that an empty Buffer has no memory.
func TestIdleHoldsNothing(t *testing.T) {
	b := Buffer{Pool: new(Pool)}
	for range 3 {
		b.Append(make([]byte, 100_000))
		var batch Batch
		b.TakeInto(&batch)
		batch.Release()
		require.Nil(t, b.tail)
		require.Empty(t, b.full)
		require.Zero(t, b.Len())
	}
}

func TestPool(t *testing.T) {
	var p Pool
	for _, n := range []int{0, 1, SmallChunk, SmallChunk + 1, LargeChunk, LargeChunk + 1} {
		b := p.Get(n)
		require.Empty(t, b)
		require.GreaterOrEqual(t, cap(b), n)
		p.Put(b[:cap(b)])
		p.Put(b[1:1]) // not what Get returned; left alone
		require.Empty(t, p.Get(n))
	}
}

// What is handed over is counted in packets: a payload that follows its header, by reference or not, is no packet of its own.
func TestTraffic(t *testing.T) {
	b := Buffer{Pool: new(Pool)}
	b.Append([]byte{0xD0, 0})
	b.Commit(append(b.Reserve(4), 0x30, 3, 0, 1))
	b.AppendShared([]byte("t"))
	b.Commit(append(b.Reserve(8), 0x32, 0x85, 0x20, 0, 1, 't', 0, 1))
	b.AppendShared(make([]byte, ShareFrom))
	var batch Batch
	b.TakeInto(&batch)
	require.Equal(t, Traffic{Packets: 3, Bytes: 2 + 5 + 8 + ShareFrom, PublishPackets: 2, PublishBytes: 5 + 8 + ShareFrom}, batch.Traffic)
	batch.Release()
	b.TakeInto(&batch)
	require.Zero(t, batch.Traffic)
}
