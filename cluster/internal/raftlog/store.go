package raftlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/faults"
	"github.com/shoalmq/shoal/cluster/internal/logbridge"
)

const (
	cachedEntries     = 64
	retainedSnapshots = 2
	lockTimeout       = 500 * time.Millisecond
	logDir            = "log"
	lockFile          = "lock"
)

// stores is where raft keeps its log, its votes and its snapshots.
type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	fitness   *fitness     // nil in memory
	closer    func() error // nil in memory
	// rebuilding is set if the node is to get everything from the others before it votes; forgetful if it may have lost the end of its log.
	rebuilding, forgetful bool
}

// letGo ends waiting for a disk that does not take what raft has for it. Nothing may leave this node any more.
func (s *stores) letGo() {
	if s.fitness != nil {
		close(s.fitness.closing)
	}
}

func (s *stores) close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer()
}

// openStores opens the stores below dir, on a disk that may have faults, or in memory if dir is empty. What is damaged is put aside.
func openStores(dir string, disk faults.Disk, log *slog.Logger) (*stores, error) {
	if dir == "" {
		mem := raft.NewInmemStore()
		return &stores{logs: mem, stable: mem, snapshots: raft.NewInmemSnapshotStore()}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("raft's directory: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s, v, err := openDir(dir, disk, log)
	if d := asDamage(err); d != nil {
		log.Error("data of this node is damaged; it is put aside, and the node gets everything from the others before it votes again",
			"file", d.file, "damage", d.what, "aside", filepath.Join(dir, asideDir))
		if err = setAside(dir, v, d); err == nil {
			s, _, err = openDir(dir, disk, log)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's data in %s: %w", dir, err), unlock())
	}
	stores := s.closer
	s.closer = func() error { return errors.Join(stores(), unlock()) }
	s.rebuilding = rebuilding(dir)
	return s, nil
}

// lockDir keeps other processes out of dir.
func lockDir(dir string) (unlock func() error, err error) {
	lock := flock.New(filepath.Join(dir, lockFile))
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	switch ok, err := lock.TryLockContext(ctx, lockTimeout/10); {
	case ok:
		return lock.Unlock, nil
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("raft's directory %s is in use by another process; give every node a Dir of its own", dir)
	default:
		return nil, fmt.Errorf("raft's directory %s: %w", dir, err)
	}
}

// openDir opens what is in dir, of which this process has the lock. v are the votes if they are well, also if something else is not.
func openDir(dir string, disk faults.Disk, log *slog.Logger) (s *stores, v *votes, err error) {
	v, found, err := openVotes(dir)
	if err != nil {
		return nil, nil, err
	}
	on := newMedium(disk)
	l, end, err := openDiskLog(filepath.Join(dir, logDir), on, v)
	if err != nil {
		return nil, v, err
	}
	snapshots, err := openSnapshots(dir, disk, logbridge.HC(log))
	if err == nil {
		err = takeOver(dir, v, l)
	}
	if err == nil {
		err = checkWhole(dir, found, v, l, snapshots, log)
	}
	if err != nil {
		l.keepBound()
		return nil, v, errors.Join(err, l.Close())
	}
	s = &stores{forgetful: v.number(keyCluster) != 0 && l.last() == 0 && len(mustList(snapshots)) == 0}
	switch {
	case errors.Is(end, errTorn):
		log.Warn("the end of raft's log was not written completely and is cut off; nobody was told that this node has it", "dir", l.dir, "after", l.last())
	case end != nil:
		s.forgetful = true
		log.Error("the last entry of raft's log is not what was written, and is cut off; this node does not vote before it has caught up", "dir", l.dir, "after", l.last())
	}
	fit := newFitness(dir, on)
	fit.broken = l.writable
	cache, err := raft.NewLogCache(cachedEntries, &guardedLog{l, fit})
	if err != nil {
		return nil, v, errors.Join(err, l.Close())
	}
	s.logs, s.stable, s.snapshots, s.fitness, s.closer = cache, &patientVotes{v, disk, fit}, snapshots, fit, l.Close
	return s, v, nil
}

func mustList(s raft.SnapshotStore) []*raft.SnapshotMeta {
	all, _ := s.List() // what cannot be read is a damage, and was found before
	return all
}

// checkWhole checks that votes, log and snapshots are there and fit together. Snapshots that are damaged, and that nothing is lost with, are put aside.
func checkWhole(dir string, foundVotes bool, v *votes, l *diskLog, snapshots raft.SnapshotStore, log *slog.Logger) error {
	newest, bad, err := checkSnapshots(dir, snapshots)
	if err != nil {
		return err
	}
	last := l.last()
	for _, b := range bad {
		if b.index > max(last, newest) || l.first > newest+1 {
			return b.damage
		}
	}
	if !foundVotes && len(v.values) == 0 && (last > 0 || newest > 0) {
		return &damage{v.path(), "it is missing, and with it for whom this node has voted"}
	}
	if last > 0 && l.first > newest+1 {
		return &damage{l.dir, fmt.Sprintf("entries %d to %d are missing: neither the log nor a snapshot has them", newest+1, l.first-1)}
	}
	if end := v.number(keyLogEnd); max(last, newest) < end {
		return &damage{l.dir, fmt.Sprintf("it ends after entry %d, and went up to %d when it was closed", max(last, newest), end)}
	}
	for _, b := range bad {
		log.Error("a snapshot is damaged and is put aside; this node has everything that was in it", "file", b.file, "damage", b.what)
		if err := os.RemoveAll(filepath.Join(dir, asideDir)); err != nil {
			return err
		}
		if err := moveAside(dir, snapshotsDir, filepath.Base(b.dir)); err != nil {
			return err
		}
	}
	return nil
}
