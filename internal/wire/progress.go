package wire

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// progress moves the write deadline of a connection on as long as the peer takes something. A write that waits says nothing of
// that: the kernel lets it go on only when a good part of its buffer is free, which a slow peer may need minutes for. So the
// kernel is asked how much is left to send.
type progress struct {
	nc      net.Conn
	socket  syscall.RawConn // under nc; nil if it is not known
	timeout time.Duration   // 0: for ever

	mu      sync.Mutex
	timer   *time.Timer
	writing bool
	until   time.Time // zero: no end
	unsent  int       // in the kernel, when it was asked last
}

// looks is how many times within the timeout the kernel is asked.
const looks = 4

// begin begins to look while a write goes on.
func (p *progress) begin() {
	if p.timeout == 0 || p.socket == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing, p.unsent = true, unsent(p.socket)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout/looks, p.look)
	} else {
		p.timer.Reset(p.timeout / looks)
	}
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = false
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *progress) look() {
	if p.hasMoved() {
		_ = p.extend() // fails only on a closed connection, which the write tells
	}
}

// hasMoved reports whether the peer has taken anything since it was asked last.
func (p *progress) hasMoved() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.writing {
		return false
	}
	n := unsent(p.socket)
	moved := n < p.unsent
	p.unsent = n
	p.timer.Reset(p.timeout / looks)
	return moved
}

// extend moves the deadline on, because a piece was written, or is about to be. No lock is held while the connection, which may be anybody's, is called.
func (p *progress) extend() error {
	for {
		at := p.due()
		if at.IsZero() {
			return nil
		}
		if !time.Now().Before(at) {
			return os.ErrDeadlineExceeded
		}
		if err := p.nc.SetWriteDeadline(at); err != nil {
			return err
		}
		if !p.due().Before(at) { // else everything was made to end meanwhile
			return nil
		}
	}
}

// due is when the peer must have taken something more; zero for never.
func (p *progress) due() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.until
	if p.timeout > 0 {
		if next := time.Now().Add(p.timeout); at.IsZero() || next.Before(at) {
			at = next
		}
	}
	return at
}

// finish makes everything end at a time.
func (p *progress) finish(at time.Time) {
	p.mu.Lock()
	p.until = at
	p.mu.Unlock()
	_ = p.nc.SetWriteDeadline(at) // fails only on a closed connection, which the write tells
}

// under returns the connection at the bottom of nc, below TLS and WebSocket.
func under(nc net.Conn) net.Conn {
	for {
		u, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = u.NetConn()
	}
}
