package pace

import "time"

const (
	// Patience is the longest that a publisher is held back for one message.
	Patience = 2 * time.Second
	// Stalled is how long a queue that is not empty may lose nothing before its subscriber counts as one that has stopped.
	Stalled = 2 * time.Second

	window  = 100 * time.Millisecond // over which a rate is measured
	recent  = 20 * time.Millisecond  // from which on a window that is not over tells a rate
	old     = 2 * time.Second        // a window that is as long tells none
	unknown = 2 * recent             // to hold back while no rate is known
	least   = time.Millisecond
)

// Progress watches how fast a queue is emptied. Times are Unix nanoseconds. It is not safe for concurrent use; the zero value is
// that of an empty queue.
type Progress struct {
	taken uint64 // from the queue, ever
	seen  uint64 // of them, when it was looked at last
	last  int64  // when the queue was seen to have got on, or to be empty

	began int64   // of the window
	at    uint64  // what was taken before it
	rate  float64 // of the window before, a second; 0 if unknown

	behind int64 // since when the subscriber has been too slow; 0 if it is not
	slow   int64 // when it was last
}

// Empty says that the queue is empty at now: its subscriber owes nothing.
func (p *Progress) Empty(now int64) {
	p.last, p.seen = now, p.taken
	p.began, p.at, p.rate = now, p.taken, 0
	p.behind = 0
}

// CaughtUp says that the queue has room for some time again.
func (p *Progress) CaughtUp() { p.behind = 0 }

// Taken says that one message has left the queue because its subscriber has it.
func (p *Progress) Taken() { p.taken++ }

// Look notes how far the subscriber has come at now. Call it as messages come while the queue is on its way to be full. Those who
// call may have looked at the clock a while ago, and not all of them at the same time.
func (p *Progress) Look(now int64) {
	if p.taken != p.seen {
		p.seen, p.last = p.taken, max(p.last, now)
	}
	since := time.Duration(now - p.began)
	if since < window {
		return
	}
	p.rate = 0
	if since < old {
		p.rate = float64(p.taken-p.at) / since.Seconds()
	}
	p.began, p.at = now, p.taken
}

// Delay returns how long it takes until so many messages have left the queue, but no more than Patience. It reports false if nobody is to
// wait for that: the subscriber has stopped, or has been too slow for as long as Patience. For a while it may seem so: what makes
// its queue full may keep it from its work, too.
func (p *Progress) Delay(messages int, now int64) (time.Duration, bool) {
	p.Look(now)
	if time.Duration(now-p.last) >= Stalled {
		return 0, false
	}
	rate := p.rate
	if since := time.Duration(now - p.began); since >= recent {
		rate = max(rate, float64(p.taken-p.at)/since.Seconds())
	}
	if rate == 0 {
		return unknown, true
	}
	seconds := float64(messages) / rate
	if seconds > Patience.Seconds() {
		if p.behind == 0 || time.Duration(now-p.slow) > Stalled/2 {
			p.behind = now
		}
		p.slow = now
		return Patience, time.Duration(now-p.behind) < Patience
	}
	return max(least, time.Duration(seconds*float64(time.Second))), true
}
