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

	on    medium
	bound logBound // nil for none

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

// logBound keeps in another place up to which entry the log was on the disk at least, so that a loss of its end is noticed.
type logBound interface {
	// raise and lower say that the log has an entry for certain, or may lose those behind it.
	raise(index uint64) error
	lower(index uint64) error
}

// openDiskLog opens the log in a directory, or begins one there. end is what was wrong with its end, errTorn or errSpoilt, which was cut off; or nil. Anything
// else that is wrong is a damage.
func openDiskLog(dir string, on medium, bound logBound) (l *diskLog, end error, err error) {
	l = &diskLog{dir: dir, full: segmentBytes, on: on, bound: bound}
	if end, err = l.open(); err != nil {
		l.broken = err // nothing is written
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, end, nil
}

func (l *diskLog) open() (end error, err error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, err
	}
	files, err := segmentFiles(l.dir)
	if err != nil {
		return nil, err
	}
	for i, name := range files {
		first, _ := segmentIndex(name)
		s, err := openSegment(filepath.Join(l.dir, name), first, l.on)
		switch {
		case err == nil:
		case isEnd(err) && i == len(files)-1:
			end = err
		case isEnd(err):
			return nil, errors.Join(&damage{s.path, err.Error() + ", and there are segments behind it"}, s.file.Close())
		default:
			return nil, err
		}
		l.segments = append(l.segments, s)
	}
	return end, l.check(end != nil)
}

// segmentFiles returns the names of the segments in a directory, in their order.
func segmentFiles(dir string) (names []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, ok := segmentIndex(f.Name()); ok {
			names = append(names, f.Name())
		}
	}
	return names, nil
}

// check makes sure that there is no gap, and cuts off an end that is not as it was written.
func (l *diskLog) check(cut bool) error {
	for i := 1; i < len(l.segments); i++ {
		if s, before := l.segments[i], l.segments[i-1]; s.first != before.last()+1 {
			return &damage{s.path, fmt.Sprintf("it should begin after entry %d: files are missing", before.last())}
		}
	}
	if n := len(l.segments); cut {
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

// getAlone is GetLog while nothing is written.
func (l *diskLog) getAlone(index uint64, out *raft.Log) error {
	l.write.Lock()
	defer l.write.Unlock()
	return l.GetLog(index, out)
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
		if err := l.raiseBound(); err != nil {
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

// keepBound lets Close note nothing: the log is not as it was.
func (l *diskLog) keepBound() { l.bound = nil }

// raiseBound notes how far the log goes, all of which is on the disk; with write held.
func (l *diskLog) raiseBound() error {
	if last := l.last(); l.bound != nil && last > 0 {
		return l.bound.raise(last)
	}
	return nil
}

// lowerBound notes that the log ends after an index from now on; with write held.
func (l *diskLog) lowerBound(last uint64) error {
	if l.bound == nil {
		return nil
	}
	return l.bound.lower(last)
}

// owing reports whether raft expects to have stored what it has not: it has taken entries from the end to put others there.
func (l *diskLog) owing() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.owes
}

// breakBy lets nothing be written any more.
func (l *diskLog) breakBy(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = errors.Join(err, errBroken)
	}
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
		err := l.sync(s)
		if err == nil {
			err = l.raiseBound()
		}
		errs = append(errs, err)
	}
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
