// Package memory watches how much memory the process has, so that load can be refused before the kernel ends it, and finds
// out how much its container lets it have.
package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Budget is how much memory the process may have.
type Budget struct {
	limit uint64
	used  func() uint64
	free  func()
	now   atomic.Uint64
	over  atomic.Bool
	asked time.Time // when the garbage collector was asked to run
}

const (
	// interval is how often the memory is looked at.
	interval = 20 * time.Millisecond
	// freeInterval is how often the garbage collector is made to run at most.
	freeInterval = time.Second
	// Load is refused from highShare percent of the limit on, and until it is lowShare percent again. What is on its way meanwhile, and what the
	// collector needs, has the rest.
	highShare = 90
	lowShare  = 85
)

// New returns a budget of limit bytes; nil, which is never used up, for 0.
func New(limit int64) *Budget {
	if limit <= 0 {
		return nil
	}
	return NewOf(uint64(limit), Used, debug.FreeOSMemory)
}

// NewOf is New for memory of which used tells how much there is, and of which free gives up what is not needed.
func NewOf(limit uint64, used func() uint64, free func()) *Budget {
	return &Budget{limit: limit, used: used, free: free}
}

// Run watches until ctx ends.
func (b *Budget) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		b.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds out whether the budget is used up. Garbage does not count: if there may be some, it is collected first.
func (b *Budget) look(now time.Time) {
	used := b.used()
	if used >= b.limit/100*highShare && now.Sub(b.asked) >= freeInterval {
		b.asked = now
		b.free()
		used = b.used()
	}
	b.now.Store(used)
	switch {
	case used >= b.limit/100*highShare:
		b.over.Store(true)
	case used < b.limit/100*lowShare:
		b.over.Store(false)
	}
}

// Over reports whether no more may be taken on. It is cheap: it is asked for every message.
func (b *Budget) Over() bool { return b != nil && b.over.Load() }

// Now returns what is used and the limit, in bytes.
func (b *Budget) Now() (used, limit uint64) {
	if b == nil {
		return 0, 0
	}
	return b.now.Load(), b.limit
}

// Used returns what the Go runtime has of the system: all memory that it manages, without what it has given back.
func Used() uint64 {
	samples := [...]metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples[:])
	for i := range samples {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a later Go does not know it
		}
	}
	total, released := samples[0].Value.Uint64(), samples[1].Value.Uint64()
	return total - min(total, released)
}
