package raftlog

import "time"

// unfitPatience is how long a node may be seen and not be up before another one may take its vote.
const unfitPatience = 10 * time.Second

// absence is for how long a server has not been up, as the leader sees it.
type absence struct {
	watch stopwatch
	total time.Duration
}

// standing looks at one server.
func (r *reign) standing(name string) standing {
	l := r.log
	_, isUp, _, _ := l.fsm.member(name)
	_, seen := l.book.live()[name]
	left := l.hasLeft(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	if isUp || name == l.cfg.Self.Name {
		delete(r.absences, name)
		if seen || name == l.cfg.Self.Name {
			return fit
		}
		return present
	}
	a := r.absences[name]
	if a == nil {
		a = &absence{}
		r.absences[name] = a
	}
	a.total += a.watch.tick(2 * reconcileInterval)
	after := l.cfg.RemoveLostAfter
	switch {
	case seen && !left:
		if a.total < unfitPatience {
			return present
		}
		return gone
	case after < 0:
		return gone
	case left, a.total >= after:
		return released
	}
	return gone
}

// absentFor reports whether a node has been away for so long; a time below zero never ends.
func (r *reign) absentFor(name string, long time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.absences[name]
	return a != nil && long >= 0 && a.total >= long
}

// hasLeft reports whether a node has said that it leaves, and has not been started again.
func (l *Log) hasLeft(name string) bool {
	as := l.fsm.leftAs(name)
	return as != 0 && l.book.incarnation(name) <= as
}
