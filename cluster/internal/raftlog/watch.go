package raftlog

import (
	"context"
	"sync"
	"sync/atomic"
)

// indexWatch lets many wait for the applied index.
type indexWatch struct {
	applied atomic.Uint64

	mu      sync.Mutex
	waiters map[chan struct{}]uint64
}

// reach notes that an index has been applied.
func (w *indexWatch) reach(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied.Store(index)
	for ch, want := range w.waiters {
		if want <= index {
			delete(w.waiters, ch)
			close(ch)
		}
	}
}

// wait returns once index has been applied.
func (w *indexWatch) wait(ctx context.Context, index uint64) error {
	w.mu.Lock()
	if w.applied.Load() >= index {
		w.mu.Unlock()
		return nil
	}
	ch := make(chan struct{})
	if w.waiters == nil {
		w.waiters = make(map[chan struct{}]uint64)
	}
	w.waiters[ch] = index
	w.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiters, ch)
		return ctx.Err()
	}
}
