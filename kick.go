package shoal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// kicked says why a connection is to end.
type kicked struct {
	code      packets.ReasonCode
	reason    string
	reference string // Server Reference
	silent    bool   // without a DISCONNECT
	// hearOut lets the reader first deal with what has arrived; see hearout.go.
	hearOut bool
}

// kick makes the connection end, from any goroutine and under any lock. Only the first reason counts; one that lets the
// reader hear the client out gives way to one that does not.
func (c *conn) kick(k kicked) {
	for {
		old := c.order.Load()
		if old != nil && (!old.hearOut || k.hearOut) {
			return
		}
		if c.order.CompareAndSwap(old, &k) {
			break
		}
	}
	c.wakeReader()
	if !k.hearOut {
		c.waits.end()
	}
	if c.rd.IsSocket() {
		c.interruptRead()
		return
	}
	go c.interruptRead() // it may be a method of the embedder's, and take its time; it ends with the connection
}

// interruptRead wakes a reader that waits for bytes.
func (c *conn) interruptRead() {
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection, which the read tells
}

// kickedHard reports whether the connection is to end now, whatever has arrived.
func (c *conn) kickedHard() bool {
	k := c.order.Load()
	return k != nil && !k.hearOut
}

func (c *conn) kickedEnd(k *kicked) ended {
	return ended{
		code: k.code, reason: k.reason, reference: k.reference, notify: !k.silent,
		err: errors.New("ended by the server: " + k.code.String()),
	}
}

// context is what the connection's goroutine waits with for anything but bytes: a hook, the store, other nodes. It ends
// when the connection is kicked, and when the broker has drained.
func (c *conn) context() context.Context {
	ctx := c.waits.context()
	if c.b.life.Err() != nil {
		c.waits.end()
	}
	return ctx
}

// waits holds the context of a connection, which most connections that are idle have no need of.
type waits struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	over   bool
}

func (w *waits) context() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		w.ctx, w.cancel = context.WithCancel(context.Background())
		if w.over {
			w.cancel()
		}
	}
	return w.ctx
}

// end ends the context that there is, or that there is going to be.
func (w *waits) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.cancel != nil {
		w.cancel()
	}
}
