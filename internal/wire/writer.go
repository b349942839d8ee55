package wire

import (
	"net"
	"syscall"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
)

// Writer writes batches to one connection. At most one goroutine uses it at a time.
type Writer struct {
	nc  net.Conn
	raw syscall.RawConn
	try func(fd uintptr) bool

	bufs [][]byte
	n    int
	err  error

	piece int // how much is written at a time by WriteAll
	watch progress
}

// Pieces that WriteAll writes. Where the kernel does not tell what the peer has taken, each piece is what shows that it
// takes anything.
const (
	largePiece = 256 << 10
	smallPiece = 16 << 10
)

// NewWriter returns a Writer to nc. timeout is how long WriteAll waits for the peer to take anything more, 0 for ever.
func NewWriter(nc net.Conn, timeout time.Duration) *Writer {
	w := &Writer{nc: nc, raw: rawConn(nc), piece: smallPiece}
	w.watch = progress{nc: nc, timeout: timeout, socket: rawConn(under(nc))}
	if w.watch.socket != nil {
		w.piece = largePiece
	}
	if w.raw != nil {
		w.try = w.tryWrite
	}
	return w
}

// Try writes as much of batch as the connection takes without waiting, and reports whether that was all. On a
// connection that cannot tell, it writes nothing.
func (w *Writer) Try(batch *outbox.Batch) (all bool, err error) {
	if w.raw == nil {
		return len(batch.Bytes) == 0, nil
	}
	w.bufs, w.n, w.err = batch.Bytes, 0, nil
	err = w.raw.Write(w.try)
	w.bufs = nil
	if err == nil {
		err = w.err
	}
	return batch.Consume(w.n), err
}

// WriteAll writes the rest of batch, waiting for the peer. It fails with os.ErrDeadlineExceeded (wrapped) when the peer has
// taken nothing for Timeout, or at the time given to Finish.
func (w *Writer) WriteAll(batch *outbox.Batch) error {
	w.watch.begin()
	defer w.watch.end()
	for len(batch.Bytes) > 0 {
		if err := w.watch.extend(); err != nil {
			return err
		}
		var n int
		var err error
		if first := batch.Bytes[0]; len(batch.Bytes) == 1 || len(first) >= w.piece {
			n, err = w.nc.Write(first[:min(len(first), w.piece)])
		} else {
			var bufs net.Buffers
			total := 0
			for _, b := range batch.Bytes {
				if total += len(b); total > w.piece && len(bufs) > 0 {
					break
				}
				bufs = append(bufs, b)
			}
			var n64 int64
			n64, err = bufs.WriteTo(w.nc)
			n = int(n64)
		}
		batch.Consume(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// Finish makes everything that is written from now on, also by a WriteAll that is going on, end at a time.
func (w *Writer) Finish(at time.Time) { w.watch.finish(at) }
