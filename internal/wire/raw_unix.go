//go:build unix

package wire

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the way to nc's file descriptor if nc is a plain socket.
func rawConn(nc net.Conn) syscall.RawConn {
	switch c := nc.(type) {
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	case *net.UnixConn:
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// tryRead reads once; the runtime calls it again when there is something to read. The buffer is borrowed here, not
// before waiting.
func (r *Reader) tryRead(fd uintptr) bool {
	r.makeRoom()
	for {
		n, err := syscall.Read(int(fd), r.buf[r.w:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			r.Release()
			return false
		case err != nil:
			r.err = err
		case n == 0:
			r.err = io.EOF
		default:
			r.n = n
		}
		return true
	}
}

// tryWrite writes as much as fits without waiting. It always returns true: the runtime is not to wait either.
func (w *Writer) tryWrite(fd uintptr) bool {
	for len(w.bufs) > 0 {
		n, err := syscall.Write(int(fd), w.bufs[0])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			w.err = err
			return true
		}
		w.n += n
		if n < len(w.bufs[0]) {
			return true
		}
		w.bufs = w.bufs[1:]
	}
	return true
}
