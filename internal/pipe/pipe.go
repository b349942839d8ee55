// Package pipe is a connection in memory: two net.Conn, each of which reads what was written to the other. Unlike net.Pipe it
// buffers, up to 64 KiB a direction, so that writing does not wait for the reader.
package pipe

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const capacity = 64 << 10

// New returns the two ends of a new connection. Both addresses are name.
func New(name string) (a, b net.Conn) {
	x, y := newHalf(), newHalf()
	return &end{in: x, out: y, addr: addr(name), read: newDeadline(), write: newDeadline()},
		&end{in: y, out: x, addr: addr(name), read: newDeadline(), write: newDeadline()}
}

type addr string

func (addr) Network() string  { return "pipe" }
func (a addr) String() string { return string(a) }

// half is one direction.
type half struct {
	mu      sync.Mutex
	buf     []byte
	closed  bool          // no more will be written
	broken  bool          // nobody will read
	changed chan struct{} // closed, and made anew, at every change
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

func (h *half) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

type end struct {
	in, out     *half
	addr        addr
	read, write *deadline
}

func (e *end) Read(p []byte) (int, error) {
	for {
		deadline := e.read.wait() // before looking, so that no change is missed
		if e.read.passed() {
			return 0, os.ErrDeadlineExceeded
		}
		e.in.mu.Lock()
		switch {
		case e.in.broken:
			e.in.mu.Unlock()
			return 0, net.ErrClosed
		case len(e.in.buf) > 0 || len(p) == 0:
			n := copy(p, e.in.buf)
			e.in.buf = e.in.buf[:copy(e.in.buf, e.in.buf[n:])]
			if len(e.in.buf) == 0 {
				e.in.buf = nil
			}
			e.in.change()
			e.in.mu.Unlock()
			return n, nil
		case e.in.closed:
			e.in.mu.Unlock()
			return 0, io.EOF
		}
		changed := e.in.changed
		e.in.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
		}
	}
}

func (e *end) Write(p []byte) (n int, err error) {
	for {
		deadline := e.write.wait()
		if e.write.passed() {
			return n, os.ErrDeadlineExceeded
		}
		e.out.mu.Lock()
		if e.out.closed || e.out.broken {
			e.out.mu.Unlock()
			return n, io.ErrClosedPipe
		}
		if room := min(capacity-len(e.out.buf), len(p)-n); room > 0 {
			e.out.buf = append(e.out.buf, p[n:n+room]...)
			n += room
			e.out.change()
		}
		changed := e.out.changed
		e.out.mu.Unlock()
		if n == len(p) {
			return n, nil
		}
		select {
		case <-changed:
		case <-deadline:
		}
	}
}

// CloseWrite tells the other end that nothing more comes.
func (e *end) CloseWrite() error {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.closed = true
	e.out.change()
	return nil
}

func (e *end) Close() error {
	_ = e.CloseWrite()
	e.in.mu.Lock()
	e.in.broken = true
	e.in.buf = nil
	e.in.change()
	e.in.mu.Unlock()
	e.read.stop()
	e.write.stop()
	return nil
}

func (e *end) LocalAddr() net.Addr  { return e.addr }
func (e *end) RemoteAddr() net.Addr { return e.addr }

func (e *end) SetDeadline(t time.Time) error {
	e.read.set(t)
	e.write.set(t)
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error {
	e.read.set(t)
	return nil
}

func (e *end) SetWriteDeadline(t time.Time) error {
	e.write.set(t)
	return nil
}

// deadline is a point in time that can be moved while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	at    time.Time
	timer *time.Timer
	ch    chan struct{} // closed when the deadline passes or moves
}

func newDeadline() *deadline { return &deadline{ch: make(chan struct{})} }

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	close(d.ch)
	d.ch = make(chan struct{})
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		ch := d.ch
		d.timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.ch == ch {
				close(d.ch)
				d.ch = make(chan struct{})
			}
		})
	}
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}
