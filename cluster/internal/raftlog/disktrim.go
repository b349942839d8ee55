package raftlog

import (
	"errors"
	"fmt"
	"slices"
)

// What a diskLog forgets: its beginning, once a snapshot has it; its end, where another leader had other entries; or everything.

// DeleteRange implements raft.LogStore: the log loses its beginning, or its end, or everything. Entries at the beginning may be there again
// after a restart, until their whole segment can go.
func (l *diskLog) DeleteRange(from, to uint64) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	last := l.last()
	switch {
	case last == 0 || from > to || to < l.first || from > last:
		return nil
	case from <= l.first && to >= last:
		return l.empty()
	case from <= l.first:
		return l.trim(to + 1)
	case to >= last:
		return l.cut(from)
	}
	return fmt.Errorf("raftlog: entries %d to %d are in the middle of the log", from, to)
}

// empty removes everything, with write held; the oldest first, so that a crash leaves no gap.
func (l *diskLog) empty() error {
	if err := l.lowerBound(0); err != nil {
		return err
	}
	l.mu.Lock()
	segments := l.segments
	l.segments, l.first, l.behind, l.owes = nil, 0, false, true
	l.mu.Unlock()
	return l.removeAll(segments)
}

func (l *diskLog) removeAll(segments []*segment) error {
	for _, s := range segments {
		if err := s.remove(); err != nil {
			return err
		}
	}
	return l.on.flushDir(l.dir)
}

// trim removes what is before first, with write held.
func (l *diskLog) trim(first uint64) error {
	l.mu.Lock()
	l.first = first
	n := 0
	for n < len(l.segments)-1 && l.segments[n].last() < first {
		n++
	}
	superfluous := l.segments[:n:n]
	l.segments = slices.Clone(l.segments[n:])
	l.mu.Unlock()
	if n == 0 {
		return nil
	}
	return l.removeAll(superfluous)
}

// cut removes what is from an index on, with write held; the newest first.
func (l *diskLog) cut(from uint64) error {
	if err := l.lowerBound(from - 1); err != nil {
		return err
	}
	l.mu.Lock()
	n := len(l.segments)
	for n > 1 && l.segments[n-1].first >= from {
		n--
	}
	superfluous := slices.Clone(l.segments[n:])
	l.segments = slices.Clone(l.segments[:n])
	s := l.segments[n-1]
	shorter := *s
	l.mu.Unlock()
	slices.Reverse(superfluous)
	err := l.removeAll(superfluous)
	if err == nil {
		err = shorter.cut(from)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // nobody knows what would be found after a restart if more were written
		l.broken = errors.Join(err, errBroken)
		return l.broken
	}
	l.owes = true
	s.ends = slices.Clip(shorter.ends) // a reader may still have the old ones
	l.written++
	return nil
}
