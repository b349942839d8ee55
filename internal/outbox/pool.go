package outbox

import "sync"

// The sizes, in bytes, that a Pool lends. Anything larger is made for the occasion.
const (
	SmallChunk = 2 << 10
	LargeChunk = 32 << 10
)

// Pool lends chunks to Buffers. One Pool serves a whole broker. The zero value is ready.
type Pool struct {
	small, large sync.Pool
}

// Get returns an empty slice with room for at least n bytes. Whoever took it gives it to Put.
func (p *Pool) Get(n int) []byte {
	if n <= SmallChunk {
		if a, ok := p.small.Get().(*[SmallChunk]byte); ok {
			return a[:0]
		}
		return new([SmallChunk]byte)[:0]
	}
	if n <= LargeChunk {
		if a, ok := p.large.Get().(*[LargeChunk]byte); ok {
			return a[:0]
		}
		return new([LargeChunk]byte)[:0]
	}
	return make([]byte, 0, n)
}

// Put takes back a slice that Get returned; others are left to the garbage collector.
func (p *Pool) Put(b []byte) {
	switch cap(b) {
	case SmallChunk:
		p.small.Put((*[SmallChunk]byte)(b[:SmallChunk]))
	case LargeChunk:
		p.large.Put((*[LargeChunk]byte)(b[:LargeChunk]))
	}
}
