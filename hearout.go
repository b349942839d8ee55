package shoal

import (
	"context"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// A client that connects again may have said something on its old connection that the broker has not read yet: messages,
// an UNSUBSCRIBE, its DISCONNECT. The old connection is heard out before anything is decided about the will and the
// session: its reader deals with what has arrived, within the bounds below, and ends as it would have ended by itself.
// Only a connection that does not come to its end in time is cut off.

const (
	// hearOutBytes is how much is read from a connection that is taken over.
	hearOutBytes = 8 << 20
	// hearOutTime is how long that may take.
	hearOutTime = time.Second
	// hearOutQuiet is how long a connection that is no socket may take to hand over what has arrived.
	hearOutQuiet = 20 * time.Millisecond
	// cutOffTime is how long the end of a connection that was cut off is waited for: until then it may be handing on a message.
	cutOffTime = time.Second
)

// hearOut makes the connection end after its reader has dealt with what has arrived. It returns when the connection has
// ended, or when that takes too long.
func (c *conn) hearOut(ctx context.Context) {
	c.kick(kicked{code: packets.SessionTakenOver, reason: reasonTakenOver, hearOut: true})
	c.awaitStopped(ctx, hearOutTime)
}

const reasonTakenOver = "another connection uses this Client Identifier"

// awaitStopped reports whether the connection ends within a time.
func (c *conn) awaitStopped(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.stopped:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// hear reads more of what has arrived on a connection that was told to end. It returns false when there is no more to
// deal with.
func (c *conn) hear(k *kicked) (ended, bool) {
	if k.hearOut && c.heard < hearOutBytes {
		n, err := c.rd.FillArrived(hearOutQuiet)
		c.heard += n
		switch {
		case err != nil:
			return ended{code: packets.UnspecifiedError, err: err}, false
		case n > 0:
			return ended{}, true
		}
	}
	return c.kickedEnd(c.order.Load()), false
}
