package raftlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// diskLog keeps raft's log in segments: files that are written at their end.
//
// StoreLogs hands what it is given to the operating system, which keeps it when the process is killed. It waits for the disk where an entry asks
// for that (needsDisk), and for everything before it; else the disk has it within syncDelay, which matters only to those who lose
// their power. That makes the difference between the durabilities quorum and fsync.
//
// raft calls StoreLogs and DeleteRange on one goroutine, and reads on others.
//
// There are libraries for this, and reasons against each: raft-boltdb and every other store over a B-tree cannot leave out the wait for the disk
// without risking the whole file; raft-wal 0.4.0 cannot leave it out either, and may come back from a restart with a segment that it refuses to
// read; tidwall/wal has no checksums, and so cannot tell what the disk has kept of an end that was not waited for.
type diskLog struct {
	dir  string
	full int64 // the size of a segment behind which another one is begun

	on medium

	write sync.Mutex // held by whoever changes the log, while it does

	mu       sync.RWMutex
	segments []*segment // without a gap between them
	first    uint64     // 0 while the log is empty
	behind   bool       // the disk may not have all of the last segment
	written  uint64     // counts writes
	broken   error      // nothing can be written any more
	timer    *time.Timer
	owes     bool // entries were taken from the end, and none stored since
	closed   bool
	syncs    sync.WaitGroup
}

const (
	// segmentBytes is diskLog.full. What a snapshot has made superfluous goes by segments.
	segmentBytes = 16 << 20
	// syncDelay is how long entries that nobody waits for may not be on the disk.
	syncDelay = 50 * time.Millisecond
)

var (
	_ raft.LogStore          = (*diskLog)(nil)
	_ raft.MonotonicLogStore = (*diskLog)(nil)

	errBroken = errors.New("the log cannot be written any more; restart the node when its disk is well")
)

// openDiskLog opens the log in a directory, or begins one there. torn reports that its end was incomplete and was cut off: it was being
// written when the machine stopped.
func openDiskLog(dir string, on medium) (l *diskLog, torn bool, err error) {
	l = &diskLog{dir: dir, full: segmentBytes, on: on}
	if torn, err = l.open(); err != nil {
		return nil, false, errors.Join(err, l.Close())
	}
	return l, torn, nil
}

func (l *diskLog) open() (torn bool, err error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return false, err
	}
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return false, err
	}
	files = slices.DeleteFunc(files, func(f os.DirEntry) bool { _, ok := segmentIndex(f.Name()); return !ok })
	for i, f := range files { // in the order of their names
		first, _ := segmentIndex(f.Name())
		s, err := openSegment(filepath.Join(l.dir, f.Name()), first, l.on)
		switch {
		case errors.Is(err, errTorn) && i == len(files)-1:
			torn = true
		case errors.Is(err, errTorn):
			return false, errors.Join(fmt.Errorf("%s: %w", f.Name(), err), s.file.Close())
		case err != nil:
			return false, fmt.Errorf("%s: %w", f.Name(), err)
		}
		l.segments = append(l.segments, s)
	}
	return torn, l.check(torn)
}

// check makes sure that there is no gap, and cuts off a torn end.
func (l *diskLog) check(torn bool) error {
	for i := 1; i < len(l.segments); i++ {
		if s, before := l.segments[i], l.segments[i-1]; s.first != before.last()+1 {
			return fmt.Errorf("%s should begin after entry %d: files are missing", s.path, before.last())
		}
	}
	if n := len(l.segments); torn {
		s := l.segments[n-1]
		if len(s.ends) == 0 {
			l.segments = l.segments[:n-1]
			if err := s.remove(); err != nil {
				return err
			}
		} else if err := s.cut(s.last() + 1); err != nil {
			return err
		}
	}
	l.settle()
	return nil
}

// settle sees to first. The caller holds mu, or has the log alone.
func (l *diskLog) settle() {
	if l.last() == 0 {
		l.first = 0
		return
	}
	l.first = max(l.first, l.segments[0].first)
}

// last returns the last index. The caller holds mu, or write.
func (l *diskLog) last() uint64 {
	for i := len(l.segments) - 1; i >= 0; i-- {
		if s := l.segments[i]; len(s.ends) > 0 {
			return s.last()
		}
	}
	return 0
}

func (l *diskLog) tail() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// IsMonotonic implements raft.MonotonicLogStore: raft empties the log when it begins anew after a snapshot.
func (l *diskLog) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (l *diskLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *diskLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last(), nil
}

// GetLog implements raft.LogStore.
func (l *diskLog) GetLog(index uint64, out *raft.Log) error {
	l.mu.RLock()
	if l.first == 0 || index < l.first || index > l.last() {
		l.mu.RUnlock()
		return raft.ErrLogNotFound
	}
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > index }) - 1
	s := l.segments[i]
	from, to := s.bounds(index)
	l.mu.RUnlock()
	body, err := readRecord(io.NewSectionReader(s.file, from, to-from), nil)
	switch {
	case errors.Is(err, os.ErrClosed): // it was deleted meanwhile
		return raft.ErrLogNotFound
	case err != nil:
		return fmt.Errorf("log entry %d in %s: %w", index, s.path, err)
	}
	if err := readLogRecord(body, out); err != nil {
		return fmt.Errorf("log entry %d in %s: %w", index, s.path, err)
	}
	out.Index = index
	return nil
}

// StoreLog implements raft.LogStore.
func (l *diskLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l *diskLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	switch last := l.last(); {
	case last == 0 || logs[0].Index == last+1:
	case logs[0].Index <= last:
		return fmt.Errorf("raftlog: entry %d is to be stored, and there are entries up to %d", logs[0].Index, last)
	default: // raft has a snapshot of what is between
		if err := l.empty(); err != nil {
			return err
		}
	}
	s := l.tail()
	if s == nil || s.size() >= l.full || len(s.ends) == 0 && s.first != logs[0].Index {
		var err error
		if s, err = l.extend(logs[0].Index); err != nil {
			return err
		}
	}
	if err := l.append(s, logs); err != nil {
		return err
	}
	if slices.ContainsFunc(logs, needsDisk) {
		return l.sync(s)
	}
	return nil
}

// append writes entries to a segment, with write held.
func (l *diskLog) append(s *segment, logs []*raft.Log) error {
	grown := *s // readers see all or nothing
	err := grown.append(logs)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if errors.Is(err, errBroken) {
			l.broken = err
		}
		return err
	}
	s.ends = grown.ends
	l.behind = true
	l.owes = false
	l.written++
	l.settle()
	if l.timer == nil && !l.closed {
		l.syncs.Add(1)
		l.timer = time.AfterFunc(syncDelay, l.syncLater)
	}
	return nil
}

// extend begins a segment, with write held.
func (l *diskLog) extend(first uint64) (*segment, error) {
	if tail := l.tail(); tail != nil {
		if err := l.sync(tail); err != nil {
			return nil, err
		}
	}
	s, err := createSegment(l.dir, first, l.on)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if tail := l.tail(); tail != nil && len(tail.ends) == 0 {
		l.segments = l.segments[:len(l.segments)-1]
		if tail.path != s.path {
			err = tail.remove()
		}
	}
	l.segments = append(l.segments, s)
	return s, err
}

// sync waits until the disk has the last segment, with write held.
func (l *diskLog) sync(s *segment) error {
	l.mu.RLock()
	behind := l.behind
	l.mu.RUnlock()
	if !behind {
		return nil
	}
	err := l.on.flush(s.file)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced(err)
	return err
}

// synced notes that the disk has everything, or never will: after an error nobody can know what it has. The caller holds mu.
func (l *diskLog) synced(err error) {
	if err != nil {
		l.broken = errors.Join(err, errBroken)
		return
	}
	l.behind = false
}

// syncLater sees to what nobody has waited for.
func (l *diskLog) syncLater() {
	defer l.syncs.Done()
	l.mu.Lock()
	l.timer = nil
	s, written, behind := l.tail(), l.written, l.behind
	l.mu.Unlock()
	if s == nil || !behind {
		return
	}
	err := l.on.flush(s.file)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, os.ErrClosed): // it is gone
	case err != nil:
		l.synced(err)
	case l.written == written:
		l.synced(nil)
	case l.timer == nil && !l.closed:
		l.syncs.Add(1)
		l.timer = time.AfterFunc(syncDelay, l.syncLater)
	}
}

// owing reports whether raft expects to have stored what it has not: it has taken entries from the end to put others there.
func (l *diskLog) owing() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.owes
}

// writable returns why nothing can be written any more, or nil.
func (l *diskLog) writable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return os.ErrClosed
	}
	return l.broken
}

// Sync waits until the disk has everything.
func (l *diskLog) Sync() error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if s := l.tail(); s != nil {
		return l.sync(s)
	}
	return nil
}

// Close syncs and closes the files.
func (l *diskLog) Close() error {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	broken := l.broken != nil
	if l.timer != nil && l.timer.Stop() {
		l.syncs.Done()
	}
	l.mu.Unlock()
	l.syncs.Wait()
	var errs []error
	if s := l.tail(); s != nil && !broken {
		errs = append(errs, l.sync(s))
	}
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
