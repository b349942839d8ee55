package raftlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// stallLimit is how long a write may take before the node keeps apart.
	stallLimit = 5 * time.Second
	// probeInterval is how often a node whose disk has failed tries it, and any node looks whether its disk stalls.
	probeInterval = 500 * time.Millisecond
	// probeLeast is how much room there must be before a disk that was full is used again.
	probeLeast = 1 << 20
	probeFile  = "probe.tmp"
)

// fitness is whether the disk takes what raft has for it. A node whose disk is full, or does not answer, keeps apart from raft, so that another node
// leads, and asks for no lease, so that its clients are served by others; as if it were lost. It comes back by itself when its disk takes what it did not.
type fitness struct {
	dir     string
	on      medium
	wake    chan struct{} // capacity 1
	closing chan struct{} // closed when raft is about to stop: nobody waits for the disk any more
	broken  func() error  // the log's

	mu     sync.Mutex
	err    error // why the disk has failed
	size   int   // of the largest write that has
	writes map[*write]struct{}
}

// write is one that is under way.
type write struct {
	watch stopwatch
	took  time.Duration // so far, as far as this process was awake
}

func newFitness(dir string, on medium) *fitness {
	return &fitness{dir: dir, on: on, wake: make(chan struct{}, 1), closing: make(chan struct{}), writes: make(map[*write]struct{})}
}

// during lets fn write, about so many bytes, and notes what becomes of it.
func (f *fitness) during(size int, fn func() error) error {
	w := &write{}
	w.watch.tick(0)
	f.mu.Lock()
	f.writes[w] = struct{}{}
	f.mu.Unlock()
	err := fn()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.writes, w)
	if err == nil || errors.Is(err, os.ErrClosed) {
		return err
	}
	if f.err == nil {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	f.err, f.size = err, max(f.size, size)
	return err
}

// trouble returns what is wrong with the disk, or nil.
func (f *fitness) trouble() error {
	if f == nil {
		return nil // in memory
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	for w := range f.writes {
		if w.took += w.watch.tick(2 * probeInterval); w.took >= stallLimit {
			return fmt.Errorf("a write has been under way for %s", w.took.Round(time.Second))
		}
	}
	return nil
}

// failed reports whether a write has failed, and nothing has shown since that the disk is well again.
func (f *fitness) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err != nil
}

// retry forgets what has failed if there is room for it now.
func (f *fitness) retry() {
	f.mu.Lock()
	size := max(f.size, probeLeast)
	f.mu.Unlock()
	if f.broken() != nil || f.probe(size) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.size = nil, 0
}

// probe tries to write so many bytes.
func (f *fitness) probe(size int) error {
	file, err := os.OpenFile(filepath.Join(f.dir, probeFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.on.write(file, make([]byte, size), 0)
	if err == nil {
		err = f.on.flush(file)
	}
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// watchDisk keeps this node apart from raft while its disk is not well.
func (l *Log) watchDisk(ctx context.Context) {
	f := l.stores.fitness
	t := time.NewTicker(probeInterval)
	defer t.Stop()
	apart := false
	for {
		trouble := f.trouble()
		if apart && f.failed() {
			tried := make(chan struct{})
			go func() { // a disk may also not answer for ever
				defer close(tried)
				f.retry()
			}()
			select {
			case <-tried:
			case <-ctx.Done():
				return
			}
			trouble = f.trouble()
		}
		switch {
		case trouble != nil && !apart:
			l.cfg.Logger.Error("the disk does not take raft's log; this node keeps apart, and tries again, until it does", "dir", f.dir, "err", trouble)
			l.layer.keepApart(true)
			apart = true
		case trouble == nil && apart:
			l.cfg.Logger.Info("the disk takes raft's log again", "dir", f.dir)
			l.layer.keepApart(false)
			l.pokeRenew()
			apart = false
		}
		select {
		case <-t.C:
		case <-f.wake:
		case <-ctx.Done():
			return
		}
	}
}

// guardedLog is a diskLog whose fitness is watched.
type guardedLog struct {
	*diskLog
	fitness *fitness
}

var _ raft.MonotonicLogStore = (*guardedLog)(nil)

// GetLog implements raft.LogStore. raft panics when it cannot read an entry that it is about to apply. A node whose disk has lost one keeps apart and stands
// still there, until it is restarted and finds the damage.
func (l *guardedLog) GetLog(index uint64, out *raft.Log) error {
	err := l.diskLog.GetLog(index, out)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		err = l.getAlone(index, out) // it may have been taken away, and another one written there, in this moment
	}
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	l.breakBy(err)
	_ = l.fitness.during(0, func() error { return err }) // it is noted
	<-l.fitness.closing
	*out = raft.Log{Index: index, Type: raft.LogNoop} // what raft does with it now no other node hears of
	return nil
}

// StoreLog implements raft.LogStore.
func (l *guardedLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
//
// raft believes that it has the entries behind those that it has taken away a moment before, and must not be told that it has not: that waits until the
// disk takes them. Other entries it does without, and sends again.
func (l *guardedLog) StoreLogs(logs []*raft.Log) error {
	size := 0
	for _, log := range logs {
		size += len(log.Data) + len(log.Extensions)
	}
	for {
		err := l.fitness.during(size, func() error { return l.diskLog.StoreLogs(logs) })
		if err == nil || !l.owing() || l.writable() != nil || !l.fitness.pause() {
			return err
		}
	}
}

// DeleteRange implements raft.LogStore.
func (l *guardedLog) DeleteRange(from, to uint64) error {
	return l.fitness.during(0, func() error { return l.diskLog.DeleteRange(from, to) })
}

// pause waits a moment before the disk is tried again. It returns false if raft is about to stop.
func (f *fitness) pause() bool {
	select {
	case <-time.After(probeInterval):
		return true
	case <-f.closing:
		return false
	}
}
