package shoal

import (
	"errors"
	"os"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// The Keep Alive is judged by what has arrived, not by when the reader, which may have been busy, has looked at it. Bytes
// of a packet that is still arriving keep the connection alive, too, as long as the packet gets on.

var errExpired = errors.New("shoal: the login has expired")

const (
	// slowestArrival is how many bytes a second of a packet must arrive, on average, for the connection to stay alive
	// beyond its Keep Alive without a whole packet.
	slowestArrival = 1 << 10
	// arrivalQuiet is how long a connection that is no socket may take to hand over what has arrived.
	arrivalQuiet = 20 * time.Millisecond
)

// arrivedBefore reads what has arrived, if anything may have before the reader began to wait.
func (c *conn) arrivedBefore(began time.Time) (n int, err error) {
	if !c.rd.IsSocket() && time.Since(began) >= arrivalQuiet {
		return 0, nil // it would have been read
	}
	return c.rd.FillArrived(arrivalQuiet)
}

// outstayed returns false when the client's login has expired.
func (c *conn) outstayed() (ended, bool) {
	if expires := c.principal.Expires; !expires.IsZero() && !time.Now().Before(expires) {
		return ended{
			code: packets.MaximumConnectTime, err: errExpired, notify: true, reason: "the login has expired",
		}, false
	}
	return ended{}, true
}

// overdue returns false when the client has been silent, or connected, for too long.
func (c *conn) overdue() (ended, bool) {
	now := time.Now()
	if e := c.enhanced; e != nil && e.exchange != nil && !now.Before(e.due) {
		return ended{
			code: packets.NotAuthorized, err: os.ErrDeadlineExceeded, notify: true, reason: "the re-authentication took too long",
		}, false
	}
	if c.keepAlive > 0 && !now.Before(c.aliveUntil()) {
		return ended{
			code: packets.KeepAliveTimeout, err: os.ErrDeadlineExceeded, notify: true,
			reason: "no packet within one and a half times the Keep Alive [MQTT-3.1.2-22]",
		}, false
	}
	return c.outstayed()
}

// aliveUntil is when the client must have sent more.
func (c *conn) aliveUntil() time.Time {
	due := c.lastBytes.Add(c.keepAlive)
	if n := c.rd.Buffered(); n > 0 {
		whole := c.lastRead.Add(c.keepAlive + time.Duration(n)*time.Second/slowestArrival)
		if whole.Before(due) {
			due = whole
		}
	}
	return due
}

// nextDue is when the reader must look at the time again: for the Keep Alive, for a re-authentication that must be over, or for a login
// that expires.
// It is zero for never.
func (c *conn) nextDue() (due time.Time) {
	if c.keepAlive > 0 {
		due = c.aliveUntil()
	}
	if e := c.enhanced; e != nil && e.exchange != nil && (due.IsZero() || e.due.Before(due)) {
		due = e.due
	}
	if expires := c.principal.Expires; !expires.IsZero() && (due.IsZero() || expires.Before(due)) {
		due = expires
	}
	return due
}

// setDeadline makes the reader look at the time at due, unless it has been kicked already.
func (c *conn) setDeadline(due time.Time) {
	_ = c.nc.SetReadDeadline(due) // fails only on a closed connection, which the next read tells
	if c.order.Load() != nil {
		c.interruptRead()
	}
}
