package memnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes one direction of a stream holds before Write blocks.
const window = 256 << 10

// stream is a connection between two hosts: two halves, one each way.
type stream struct {
	a, b         *Host
	connA, connB *conn
}

func newStream(a, b *Host, from, to netip.AddrPort) *stream {
	s := &stream{a: a, b: b}
	there, back := newHalf(a, b), newHalf(b, a)
	s.connA = &conn{stream: s, in: back, out: there, local: from, remote: to, readLimit: newDeadline(), writeLimit: newDeadline()}
	s.connB = &conn{stream: s, in: there, out: back, local: to, remote: from, readLimit: newDeadline(), writeLimit: newDeadline()}
	return s
}

// reset breaks the stream at both ends; what was not read is lost.
func (s *stream) reset() {
	s.a.net.remove(s)
	s.connA.in.fail(syscall.ECONNRESET)
	s.connB.in.fail(syscall.ECONNRESET)
}

// half is one direction of a stream.
type half struct {
	from, to *Host

	mu       sync.Mutex
	segments []segment
	size     int
	err      error         // the direction is broken
	noWrite  bool          // the writer has closed: io.EOF after what is there
	noRead   bool          // the reader has closed: writing is an error
	changed  chan struct{} // closed and replaced on every change
}

type segment struct {
	data []byte
	due  time.Time
}

func newHalf(from, to *Host) *half { return &half{from: from, to: to, changed: make(chan struct{})} }

// wake is called with h.mu held.
func (h *half) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *half) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		h.segments, h.size = nil, 0
		h.wake()
	}
}

// read takes what has arrived. Without any it returns what to wait for: a change of the half, of the network, or a time.
func (h *half) read(b []byte) (n int, wait time.Duration, changed, links <-chan struct{}, err error) {
	isCut, _, links := h.from.net.state(h.from.name, h.to.name)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.to.gone.Load():
		return 0, 0, nil, nil, syscall.ECONNRESET
	case h.noRead:
		return 0, 0, nil, nil, net.ErrClosed
	case h.err != nil:
		return 0, 0, nil, nil, h.err
	case isCut:
		return 0, 0, h.changed, links, nil
	case len(h.segments) == 0 && h.noWrite:
		return 0, 0, nil, nil, io.EOF
	case len(h.segments) == 0:
		return 0, 0, h.changed, links, nil
	}
	if due := h.segments[0].due; !due.IsZero() {
		if wait := time.Until(due); wait > 0 {
			return 0, wait, h.changed, links, nil
		}
	}
	for n < len(b) && len(h.segments) > 0 {
		s := &h.segments[0]
		if !s.due.IsZero() && n > 0 && time.Until(s.due) > 0 {
			break
		}
		c := copy(b[n:], s.data)
		n += c
		s.data = s.data[c:]
		if len(s.data) == 0 {
			h.segments[0] = segment{}
			h.segments = h.segments[1:]
		}
	}
	h.size -= n
	h.wake()
	return n, 0, nil, nil, nil
}

// write puts in as much as fits. Nothing written and no error means: wait for changed.
func (h *half) write(b []byte) (n int, changed <-chan struct{}, err error) {
	_, delay, _ := h.from.net.state(h.from.name, h.to.name)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.from.gone.Load():
		return 0, nil, syscall.ECONNRESET
	case h.noWrite:
		return 0, nil, net.ErrClosed
	case h.err != nil:
		return 0, nil, h.err
	case h.noRead:
		return 0, nil, syscall.EPIPE
	case h.size >= window:
		return 0, h.changed, nil
	}
	n = min(len(b), window-h.size)
	s := segment{data: append([]byte(nil), b[:n]...)}
	if delay += h.from.net.resent(h.from.name, h.to.name, retransmission); delay > 0 {
		s.due = time.Now().Add(delay)
	}
	h.segments = append(h.segments, s)
	h.size += n
	h.wake()
	return n, nil, nil
}

// conn is one end of a stream.
type conn struct {
	stream                *stream
	in, out               *half
	local, remote         netip.AddrPort
	readLimit, writeLimit *deadline
	once                  sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		past := c.readLimit.passed()
		c.in.to.running()
		select {
		case <-past:
			return 0, opError("read", c.remote.String(), os.ErrDeadlineExceeded)
		default:
		}
		if len(b) == 0 {
			return 0, nil
		}
		n, wait, changed, links, err := c.in.read(b)
		switch {
		case err == io.EOF:
			return 0, err
		case err != nil:
			return 0, opError("read", c.remote.String(), err)
		case n > 0:
			return n, nil
		}
		pause(wait, past, changed, links)
	}
}

func (c *conn) Write(b []byte) (int, error) {
	written := 0
	for {
		past := c.writeLimit.passed()
		c.out.from.running()
		select {
		case <-past:
			return written, opError("write", c.remote.String(), os.ErrDeadlineExceeded)
		default:
		}
		n, changed, err := c.out.write(b[written:])
		if err != nil {
			return written, opError("write", c.remote.String(), err)
		}
		if written += n; written == len(b) {
			return written, nil
		}
		if n == 0 {
			pause(0, past, changed, nil)
		}
	}
}

// pause waits for one of the channels, and no longer than wait unless that is 0.
func pause(wait time.Duration, a, b, c <-chan struct{}) {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-a:
	case <-b:
	case <-c:
	case <-due:
	}
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.out.mu.Lock()
		c.out.noWrite = true
		c.out.wake()
		c.out.mu.Unlock()
		c.in.mu.Lock()
		c.in.noRead = true
		c.in.segments, c.in.size = nil, 0
		bothClosed := c.in.noWrite
		c.in.wake()
		c.in.mu.Unlock()
		c.readLimit.stop()
		c.writeLimit.stop()
		if bothClosed {
			c.stream.a.net.remove(c.stream)
		}
	})
	return nil
}

// CloseWrite ends the writing side; the other end reads what is left and then io.EOF.
func (c *conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.noWrite = true
	c.out.wake()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) SetDeadline(t time.Time) error {
	c.readLimit.set(t)
	c.writeLimit.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error  { c.readLimit.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.writeLimit.set(t); return nil }
