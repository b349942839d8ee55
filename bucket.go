package shoal

import (
	"math"
	"time"
)

// bucket fills by rate tokens a second, up to burst. It is not safe for concurrent use.
type bucket struct {
	rate, burst float64
	tokens      float64
	at          time.Time
}

// newBucket returns a full bucket. burst 0 means what comes in within a second, and one at least.
func newBucket(rate float64, burst int, now time.Time) bucket {
	b := bucket{rate: rate, burst: float64(burst), at: now}
	if burst == 0 {
		b.burst = max(1, rate)
	}
	b.tokens = b.burst
	return b
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(b.burst, b.tokens+passed.Seconds()*b.rate)
		b.at = now
	}
}

// has reports whether n tokens are there. A full bucket has any number: what is larger than the burst must pass some time.
func (b *bucket) has(n float64, now time.Time) bool {
	b.fill(now)
	return b.tokens >= min(n, b.burst)
}

// take takes n tokens, on credit if need be, and returns how long it takes until they are paid for.
func (b *bucket) take(n float64, now time.Time) (wait time.Duration) {
	b.fill(now)
	if b.tokens -= n; b.tokens >= 0 {
		return 0
	}
	return time.Duration(min(math.Ceil(-b.tokens/b.rate*float64(time.Second)), float64(longestWait)))
}

// longestWait keeps sums of durations from overflowing.
const longestWait = 24 * time.Hour

// full reports whether the bucket holds no memory of the past.
func (b *bucket) full(now time.Time) bool {
	b.fill(now)
	return b.tokens >= b.burst
}

// validRate reports whether v can be a rate.
func validRate(v float64) bool { return v >= 0 && !math.IsInf(v, 0) && !math.IsNaN(v) }
