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

	// Timeout is how long WriteAll waits for the peer to take anything more, 0 for ever.
	Timeout time.Duration
}

// NewWriter returns a Writer to nc.
func NewWriter(nc net.Conn, timeout time.Duration) *Writer {
	w := &Writer{nc: nc, raw: rawConn(nc), Timeout: timeout}
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

// WriteAll writes the rest of batch, waiting for the peer.
func (w *Writer) WriteAll(batch *outbox.Batch) error {
	// Each piece gets the whole timeout, so that a slow peer that still reads is not cut off in the middle of a large packet.
	const piece = 256 << 10
	for len(batch.Bytes) > 0 {
		if w.Timeout > 0 {
			if err := w.nc.SetWriteDeadline(time.Now().Add(w.Timeout)); err != nil {
				return err
			}
		}
		var n int
		var err error
		if first := batch.Bytes[0]; len(batch.Bytes) == 1 || len(first) >= piece {
			n, err = w.nc.Write(first[:min(len(first), piece)])
		} else {
			var bufs net.Buffers
			total := 0
			for _, b := range batch.Bytes {
				if total += len(b); total > piece && len(bufs) > 0 {
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
