package source

import (
	"sync"
	"time"
)

const (
	breakAfter = 5 // failures in a row
	breakFor   = time.Second
)

// breaker keeps questions from a source that has failed several times in a row.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time // nobody asks before
}

// allow reports whether the source may be asked. After a break only one question is allowed until
// it has been answered or the next break is over.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakFor)
	return true
}

// answered notes how a question ended. first reports that the source has failed after an answer,
// or answered after a failure.
func (b *breaker) answered(ok bool, now time.Time) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		first = b.failures > 0
		b.failures = 0
		return first
	}
	b.failures++
	if b.failures >= breakAfter {
		b.until = now.Add(breakFor)
	}
	return b.failures == 1
}
