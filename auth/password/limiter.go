package password

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Limiter bounds how many slow hashes are computed at once. Use one for all sources of a process.
type Limiter struct {
	slots    chan struct{}
	waiting  atomic.Int64
	verified atomic.Uint64
	gaveUp   atomic.Uint64
}

// NewLimiter returns a Limiter of n hashes at once. 0 or less means one less than there are
// processors, and at least one. Each may use 256 MiB of memory if a stored hash asks for it.
func NewLimiter(n int) *Limiter {
	if n <= 0 {
		n = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return &Limiter{slots: make(chan struct{}, n)}
}

// Verify is h.Verify when it is this password's turn. Hashes that are not slow do not wait. It
// returns the error of ctx when that ends before.
func (l *Limiter) Verify(ctx context.Context, h *Hash, password []byte) (bool, error) {
	if !h.Slow() {
		return h.Verify(password), nil
	}
	l.waiting.Add(1)
	select {
	case l.slots <- struct{}{}:
		l.waiting.Add(-1)
	case <-ctx.Done():
		l.waiting.Add(-1)
		l.gaveUp.Add(1)
		return false, context.Cause(ctx)
	}
	defer func() { <-l.slots }()
	if ctx.Err() != nil { // both were ready
		l.gaveUp.Add(1)
		return false, context.Cause(ctx)
	}
	l.verified.Add(1)
	return h.Verify(password), nil
}

// LimiterStats is what a Limiter has counted.
type LimiterStats struct {
	Slots    int    // how many are computed at once
	Busy     int    // how many are now
	Waiting  int    // passwords whose turn has not come
	Verified uint64 // slow hashes that were computed
	GaveUp   uint64 // passwords whose context ended while they waited
}

// Stats returns what the Limiter has counted.
func (l *Limiter) Stats() LimiterStats {
	return LimiterStats{
		Slots: cap(l.slots), Busy: len(l.slots), Waiting: int(l.waiting.Load()),
		Verified: l.verified.Load(), GaveUp: l.gaveUp.Load(),
	}
}
