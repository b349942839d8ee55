package outbox

// ShareFrom is the payload size, in bytes, from which AppendShared refers to a slice instead of copying it.
const ShareFrom = 4 << 10

// Buffer is a queue of bytes. It is not safe for concurrent use. The zero value with a Pool set is ready.
type Buffer struct {
	Pool *Pool
	// Max is the size of the largest packet that is taken, in bytes; 0 for no limit. Commit leaves a larger one out, and Refused tells.
	// What AppendShared adds is the caller's to count.
	Max int

	full []segment // in order, before tail
	tail []byte    // the chunk being filled; nil when none is borrowed
	n    int

	traffic Traffic
	publish bool // what was committed last begins a PUBLISH
	refused bool
}

// Traffic counts MQTT packets.
type Traffic struct {
	Packets, Bytes               int // of any type
	PublishPackets, PublishBytes int
}

// Add counts one packet. first is its first byte, n its size in bytes.
func (t *Traffic) Add(first byte, n int) {
	t.Packets++
	t.Bytes += n
	if isPublish(first) {
		t.PublishPackets++
		t.PublishBytes += n
	}
}

func isPublish(first byte) bool { return first>>4 == 3 }

type segment struct {
	b    []byte
	lent bool // from the Pool
}

// Len returns the number of bytes in the Buffer.
func (b *Buffer) Len() int { return b.n }

// Reserve returns the chunk being filled, with room for n more bytes. The caller appends at most n bytes to it and
// hands the result to Commit before any other call.
func (b *Buffer) Reserve(n int) []byte {
	if cap(b.tail)-len(b.tail) >= n {
		return b.tail
	}
	old := b.tail
	switch {
	case old == nil:
		b.tail = b.Pool.Get(n)
	case cap(old) == SmallChunk && len(old)+n <= LargeChunk:
		// A connection that needs more than the first small chunk is a busy one: move on to a large one.
		b.tail = append(b.Pool.Get(LargeChunk), old...)
		b.Pool.Put(old)
	default:
		b.full = append(b.full, segment{old, true})
		b.tail = b.Pool.Get(max(n, LargeChunk))
	}
	return b.tail
}

// Commit takes what was appended to the slice Reserve returned: one packet, or the beginning of one that AppendShared completes.
func (b *Buffer) Commit(tail []byte) {
	n := len(tail) - len(b.tail)
	if b.Max > 0 && n > b.Max {
		b.refused = true
		return
	}
	if n > 0 {
		first := tail[len(b.tail)]
		b.publish = isPublish(first)
		b.traffic.Add(first, n)
	}
	b.n += n
	b.tail = tail
}

// Refused reports whether a packet was left out because it is larger than Max.
func (b *Buffer) Refused() bool { return b.refused }

// Append copies p, which is a packet, to the end.
func (b *Buffer) Append(p []byte) {
	b.Commit(append(b.Reserve(len(p)), p...))
}

// AppendShared adds p, the rest of the packet committed last, to the end, by reference if it is large. The caller never changes p
// afterwards.
func (b *Buffer) AppendShared(p []byte) {
	b.traffic.Bytes += len(p)
	if b.publish {
		b.traffic.PublishBytes += len(p)
	}
	if len(p) < ShareFrom {
		b.tail = append(b.Reserve(len(p)), p...)
		b.n += len(p)
		return
	}
	if len(b.tail) > 0 {
		b.full = append(b.full, segment{b.tail, true})
		b.tail = nil
	}
	b.full = append(b.full, segment{p, false})
	b.n += len(p)
}

// Batch is what one write takes from a Buffer.
type Batch struct {
	pool  *Pool
	segs  []segment
	store [][]byte // the memory behind Bytes, kept for the next use
	// Bytes is what is to be written, in order. The writer may shorten it as it goes on, as net.Buffers does.
	Bytes [][]byte
	// Traffic counts what is in it.
	Traffic Traffic
}

// TakeInto moves everything from the Buffer into batch, which must be empty.
func (b *Buffer) TakeInto(batch *Batch) {
	batch.pool = b.Pool
	batch.Traffic, b.traffic = b.traffic, Traffic{}
	batch.segs = append(batch.segs[:0], b.full...)
	if len(b.tail) > 0 {
		batch.segs = append(batch.segs, segment{b.tail, true})
	} else if b.tail != nil {
		b.Pool.Put(b.tail)
	}
	batch.store = batch.store[:0]
	for _, s := range batch.segs {
		batch.store = append(batch.store, s.b)
	}
	batch.Bytes = batch.store
	clear(b.full)
	b.full, b.tail, b.n = b.full[:0], nil, 0
	if cap(b.full) > 64 {
		b.full = nil
	}
}

// Consume drops the first n bytes, which have been written, and reports whether all are.
func (t *Batch) Consume(n int) (empty bool) {
	for len(t.Bytes) > 0 && n >= len(t.Bytes[0]) {
		n -= len(t.Bytes[0])
		t.Bytes = t.Bytes[1:]
	}
	if len(t.Bytes) > 0 && n > 0 {
		t.Bytes[0] = t.Bytes[0][n:]
	}
	return len(t.Bytes) == 0
}

// Release gives the chunks back to the Pool and empties the Batch.
func (t *Batch) Release() {
	for i, s := range t.segs {
		if s.lent {
			t.pool.Put(s.b)
		}
		t.segs[i] = segment{}
	}
	clear(t.store)
	t.segs, t.Bytes = t.segs[:0], nil
}

// Bytes returns a copy of everything in the Buffer.
func (b *Buffer) Bytes() []byte {
	all := make([]byte, 0, b.n)
	for _, s := range b.full {
		all = append(all, s.b...)
	}
	return append(all, b.tail...)
}

// Reset drops everything, giving the chunks back.
func (b *Buffer) Reset() {
	var t Batch
	b.TakeInto(&t)
	t.Release()
}
