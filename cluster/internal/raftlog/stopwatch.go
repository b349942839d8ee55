package raftlog

import "time"

// stopwatch measures time by ticks, of which each counts for no more than it may. So what this process has slept through, because it was stopped, or its machine was,
// counts as one tick: a node that has stood still has not seen that others were silent.
type stopwatch struct{ last time.Time }

// tick returns how much time has gone by since the last tick, at most so much; nothing at the first.
func (s *stopwatch) tick(most time.Duration) time.Duration {
	now := time.Now()
	last := s.last
	s.last = now
	if last.IsZero() {
		return 0
	}
	return min(now.Sub(last), most)
}
