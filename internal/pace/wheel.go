package pace

import (
	"context"
	"sync"
	"time"
)

// step is how exact a Wheel is.
const step = time.Millisecond

// Wheel holds values back, each for a while of its own, up to Patience. Make one with NewWheel.
type Wheel[T any] struct {
	began time.Time
	wake  chan struct{}

	mu    sync.Mutex
	slots [Patience/step + 2][]T
	done  int64 // the last step that is over
	held  int
	over  bool
}

// NewWheel makes a Wheel that is empty.
func NewWheel[T any]() *Wheel[T] {
	return &Wheel[T]{began: time.Now(), wake: make(chan struct{}, 1)}
}

// Hold takes v, and has it given to Run's function after d. It reports false if Run has ended.
func (w *Wheel[T]) Hold(v T, d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	now := int64(time.Since(w.began) / step)
	if w.held == 0 {
		w.done = now
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	due := now + int64(max(step, min(d, Patience))/step)
	due = min(max(due, w.done+1), w.done+int64(len(w.slots))-1)
	slot := &w.slots[due%int64(len(w.slots))]
	*slot = append(*slot, v)
	w.held++
	return true
}

// Held returns how many values are held.
func (w *Wheel[T]) Held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

// Run gives what is due to fn, in the order in which it is due, until ctx ends; then all that is left.
func (w *Wheel[T]) Run(ctx context.Context, fn func(T)) {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for ctx.Err() == nil {
		due, left := w.due(false)
		for _, v := range due {
			fn(v)
		}
		if left == 0 {
			select {
			case <-w.wake:
			case <-ctx.Done():
			}
			continue
		}
		tick.Reset(step)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	due, _ := w.due(true)
	for _, v := range due {
		fn(v)
	}
}

// due takes out what is due, or everything at the end.
func (w *Wheel[T]) due(all bool) (due []T, left int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = w.over || all
	now := int64(time.Since(w.began) / step)
	if all {
		now = w.done + int64(len(w.slots))
	}
	n := int64(len(w.slots))
	for i := max(w.done+1, now-n+1); w.held > 0 && i <= now; i++ {
		slot := &w.slots[i%n]
		due = append(due, *slot...)
		w.held -= len(*slot)
		clear(*slot)
		*slot = (*slot)[:0]
		if cap(*slot) > 4096 {
			*slot = nil
		}
	}
	w.done = max(w.done, now)
	return due, w.held
}
