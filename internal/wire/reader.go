package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// Reader cuts the stream of one connection into packets. One goroutine uses it.
type Reader struct {
	nc   net.Conn
	raw  syscall.RawConn // nil: read through nc
	pool *outbox.Pool
	try  func(fd uintptr) bool

	buf  []byte // borrowed or grown; nil while idle
	r, w int    // unread bytes are buf[r:w]
	n    int    // result of the last try
	err  error
	busy bool // the last read filled a small buffer; only where reading blocks with the buffer in hand

	// MaxPacket is the largest packet accepted, in bytes, fixed header included. It may be changed between packets.
	MaxPacket int
	// V31 is set for a client that speaks MQTT 3.1, which has a DUP flag where later versions have reserved ones.
	V31 bool
	// Traffic counts the packets that Next has returned. Whoever reads it may set it back.
	Traffic outbox.Traffic
}

// NewReader returns a Reader of nc that borrows its buffers from pool.
func NewReader(nc net.Conn, pool *outbox.Pool, maxPacket int) *Reader {
	r := &Reader{nc: nc, raw: rawConn(nc), pool: pool, MaxPacket: maxPacket}
	if r.raw != nil {
		r.try = r.tryRead
	}
	return r
}

// Fill waits for more bytes and reads them. It returns io.EOF at the end of the stream, io.ErrUnexpectedEOF if that
// is in the middle of a packet, and os.ErrDeadlineExceeded (wrapped) after the connection's read deadline, upon which
// it may be called again.
func (r *Reader) Fill() error {
	r.n, r.err = 0, nil
	var err error
	if r.raw != nil {
		err = r.raw.Read(r.try)
	} else {
		r.makeRoom()
		r.n, err = r.nc.Read(r.buf[r.w:])
		r.busy = r.n >= outbox.SmallChunk/2
		if r.n > 0 {
			err = nil // what came with the error is dealt with first; the error comes again
		}
	}
	return r.filled(err)
}

// filled takes what the last read has brought, and returns its error.
func (r *Reader) filled(err error) error {
	r.w += r.n
	switch {
	case err == nil:
		err = r.err
	case r.n > 0:
		err = nil
	}
	if errors.Is(err, io.EOF) && r.w > r.r {
		return io.ErrUnexpectedEOF
	}
	return err
}

// FillArrived is Fill that does not wait for what has not arrived: it returns how many bytes it has read, 0 if there were
// none. What has arrived on a connection that is no socket can only be known by waiting, which quiet bounds; the
// connection's read deadline is another one then.
func (r *Reader) FillArrived(quiet time.Duration) (n int, err error) {
	if r.raw != nil {
		r.n, r.err = 0, nil
		err = r.raw.Control(func(fd uintptr) { r.try(fd) })
		err = r.filled(err)
		return r.n, err
	}
	before := r.w - r.r
	for end := time.Now().Add(quiet); ; {
		if err := r.nc.SetReadDeadline(end); err != nil {
			return 0, err
		}
		err := r.Fill()
		switch {
		case err == nil:
			return r.w - r.r - before, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case !time.Now().Before(end):
			return 0, nil
		}
	}
}

// IsSocket reports whether the connection is a socket, whose methods do not block but to read and write.
func (r *Reader) IsSocket() bool { return r.raw != nil }

// Buffered returns how many bytes have been read that make no packet yet.
func (r *Reader) Buffered() int { return r.w - r.r }

// makeRoom sees to it that there is room behind the unread bytes. Memory grows with what has arrived, never with what a
// length field announces.
func (r *Reader) makeRoom() {
	switch {
	case r.buf == nil:
		b := r.pool.Get(r.firstSize())
		r.buf, r.r, r.w = b[:cap(b)], 0, 0
	case r.r == r.w:
		r.r, r.w = 0, 0
	case r.w < len(r.buf):
	case r.r > 0 && r.w-r.r <= len(r.buf)/2:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	default:
		grown := make([]byte, 2*len(r.buf))
		w := copy(grown, r.buf[r.r:r.w])
		r.pool.Put(r.buf)
		r.buf, r.r, r.w = grown, 0, w
	}
}

func (r *Reader) firstSize() int {
	if r.raw == nil && !r.busy {
		return outbox.SmallChunk // held while waiting
	}
	return outbox.LargeChunk
}

// Next returns the next whole packet's header and body, and whether there was one. The body is valid until the next
// call of Fill or Release.
func (r *Reader) Next() (h packets.FixedHeader, body []byte, ok bool, err error) {
	if r.V31 {
		h, err = packets.ParseFixedHeaderV31(r.buf[r.r:r.w])
	} else {
		h, err = packets.ParseFixedHeader(r.buf[r.r:r.w])
	}
	if err == packets.ErrIncomplete { //nolint:errorlint // the hot path; ParseFixedHeader returns it as it is
		return h, nil, false, nil
	}
	if err != nil {
		return h, nil, false, err
	}
	size := h.Size + h.Remaining
	if size > r.MaxPacket {
		return h, nil, false, &packets.Error{
			Code: packets.PacketTooLarge, Packet: h.Type, Field: "Remaining Length",
			Problem: "packet is larger than this server's Maximum Packet Size", Clause: "MQTT-3.2.2-15",
		}
	}
	if r.w-r.r < size {
		return h, nil, false, nil
	}
	r.Traffic.Add(r.buf[r.r], size)
	body = r.buf[r.r+h.Size : r.r+size : r.r+size]
	r.r += size
	return h, body, true, nil
}

// Release gives the buffer back if it holds no bytes.
func (r *Reader) Release() {
	if r.buf != nil && r.r == r.w {
		r.pool.Put(r.buf)
		r.buf, r.r, r.w = nil, 0, 0
	}
}

// Close gives the buffer back, whatever it holds. The connection is not closed.
func (r *Reader) Close() {
	r.r = r.w
	r.Release()
}
