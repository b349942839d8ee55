package shoal

import "time"

// now is the time that the ends of messages and sessions are compared with: the one that a cluster's nodes agree on; else what the clock on the wall showed when the
// broker started, and what has gone by since. So nothing ends early, or late, because a clock is set.
//
// What only this process measures, such as timeouts, is measured by time.Now, which has a monotonic reading. A ban ends at a time on the wall.
func (b *Broker) now() time.Time {
	if b.timekeeper != nil {
		return b.timekeeper.Now()
	}
	if b.began.IsZero() {
		return time.Now().Round(0)
	}
	return b.began.Add(time.Since(b.began)).Round(0)
}

// nano is now in Unix nanoseconds.
func (b *Broker) nano() int64 { return b.now().UnixNano() }

// timely reports whether now can be relied on: a node of a cluster that has just started has not heard the time yet, and lets nothing end.
func (b *Broker) timely() bool { return b.timekeeper == nil || b.serving() }

// untimely is how long what may have ended waits while nobody knows.
const untimely = time.Second
