package shoal

import (
	"errors"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// Writing. Whoever has appended to a connection's outbox flushes it, after everything that became due at the same time. Flushing
// writes at once as much as the socket takes. What it does not take is left to a goroutine that waits for the client and
// ends when the outbox is empty; so only a slow client has one.

// appendPacket appends a packet that is not on the hot path, made to fit (see fit.go).
func (c *conn) appendPacket(p packets.Packet) {
	b, err := c.encodeAnswer(p)
	if err != nil {
		c.cannotSay(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Append(b)
}

// cannotSay ends a connection whose client cannot be told something that it waits for.
func (c *conn) cannotSay(err error) {
	if errors.Is(err, errTooLarge) {
		c.kick(kicked{code: errTooLarge.ReasonCode, reason: errTooLarge.Reason})
		return
	}
	c.b.log.Error("a packet could not be encoded", "client_id", c.clientID, "error", err)
}

func (b *Broker) batch() *outbox.Batch {
	if t, ok := b.batches.Get().(*outbox.Batch); ok {
		return t
	}
	return new(outbox.Batch)
}

// flush writes the outbox without waiting. It may be called on any goroutine, without locks.
func (c *conn) flush() {
	c.mu.Lock()
	c.dirty = false
	if c.out.Refused() {
		c.cannotSay(errTooLarge)
	}
	if c.writing || c.broken != nil || c.out.Len() == 0 {
		c.mu.Unlock()
		return
	}
	c.writing = true
	batch := c.b.batch()
	// A few rounds, to take along what comes in meanwhile; then others can wait no longer.
	for range 4 {
		c.takeOut(batch)
		c.mu.Unlock()
		all, err := c.wr.Try(batch)
		if err != nil {
			c.endWrite(batch, err)
			return
		}
		if !all {
			c.startWriter(batch)
			return
		}
		batch.Release()
		c.pumpStalled()
		c.mu.Lock()
		if c.out.Len() == 0 {
			c.writing = false
			c.wakeIdle()
			c.mu.Unlock()
			c.b.batches.Put(batch)
			return
		}
	}
	c.mu.Unlock()
	c.startWriter(batch)
}

// startWriter hands what is left to a goroutine. The caller has set writing, and holds no lock.
func (c *conn) startWriter(batch *outbox.Batch) {
	c.b.wg.Add(1)
	go func() {
		defer c.b.wg.Done()
		c.write(batch)
	}()
}

// write writes batch and whatever comes in meanwhile, waiting for the client.
func (c *conn) write(batch *outbox.Batch) {
	for {
		if err := c.wr.WriteAll(batch); err != nil {
			c.endWrite(batch, err)
			return
		}
		batch.Release()
		c.pumpStalled()
		c.mu.Lock()
		if c.out.Len() == 0 || c.broken != nil {
			c.writing = false
			c.wakeIdle()
			c.mu.Unlock()
			c.b.batches.Put(batch)
			return
		}
		c.takeOut(batch)
		c.mu.Unlock()
	}
}

// takeOut takes the outbox to write it. The caller holds c.mu.
func (c *conn) takeOut(batch *outbox.Batch) {
	c.out.TakeInto(batch)
	c.b.metrics.out.add(&batch.Traffic)
}

// endWrite ends the connection after a failed write: half a packet may be on the wire, nothing may follow it.
func (c *conn) endWrite(batch *outbox.Batch, err error) {
	batch.Release()
	c.b.batches.Put(batch)
	c.mu.Lock()
	c.broken, c.writing = err, false
	c.out.Reset()
	c.wakeIdle()
	c.mu.Unlock()
	c.kick(kicked{code: packets.UnspecifiedError, silent: true})
}

// wakeIdle tells writeOut that nobody writes any more. The caller holds c.mu.
func (c *conn) wakeIdle() {
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// pumpStalled lets the session send on after the outbox was drained.
func (c *conn) pumpStalled() {
	c.mu.Lock()
	stalled := c.stalled
	c.mu.Unlock()
	if !stalled || c.s == nil {
		return
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conn == c {
		c.s.pump(c.b.nano())
	}
}

// writeOut writes the outbox, waiting for the client up to a time limit. It is for the end of a connection, on its own goroutine.
func (c *conn) writeOut(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	c.wr.Finish(time.Now().Add(limit)) // also for a writer that is at it
	for {
		c.mu.Lock()
		if c.broken != nil || (!c.writing && c.out.Len() == 0) {
			c.mu.Unlock()
			return
		}
		if !c.writing {
			c.writing = true
			batch := c.b.batch()
			c.takeOut(batch)
			c.mu.Unlock()
			c.write(batch)
			continue
		}
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		select {
		case <-idle:
		case <-timer.C:
			return
		}
	}
}

func (c *conn) hasOutput() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Len() > 0 || c.writing
}

// discard makes the outbox take nothing more.
func (c *conn) discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = errGone
	}
	if !c.writing {
		c.out.Reset()
	}
}

// soil notes that the connection must be flushed. It reports whether the caller is the one to do that. The caller holds c.mu.
func (c *conn) soil() bool {
	first := !c.dirty
	c.dirty = true
	return first
}
