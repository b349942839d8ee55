package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

const (
	cachedEntries     = 64
	retainedSnapshots = 2
	lockTimeout       = 500 * time.Millisecond
	votesFile         = "raft.db"
	logDir            = "log"
)

// stores is where raft keeps its log, its votes and its snapshots.
type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	fitness   *fitness     // nil in memory
	closer    func() error // nil in memory
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

// openStores opens the stores below dir, on a disk that may have faults, or in memory if dir is empty.
func openStores(dir string, disk faults.Disk, log hclog.Logger) (*stores, error) {
	if dir == "" {
		mem := raft.NewInmemStore()
		return &stores{logs: mem, stable: mem, snapshots: raft.NewInmemSnapshotStore()}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("raft's directory: %w", err)
	}
	file := filepath.Join(dir, votesFile)
	v, err := openVotes(file)
	if errors.Is(err, berrors.ErrTimeout) {
		err = errors.New("it is in use by another process; give every node a Dir of its own")
	}
	if err != nil {
		return nil, fmt.Errorf("opening raft's votes %s: %w", file, err)
	}
	on := newMedium(disk)
	l, err := openLog(filepath.Join(dir, logDir), v, on, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's log in %s: %w", dir, err), v.Close())
	}
	closer := func() error { return errors.Join(l.Close(), v.Close()) }
	snapshots, err := openSnapshots(dir, disk, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's snapshots in %s: %w", dir, err), closer())
	}
	fit := newFitness(dir, on)
	fit.broken = l.writable
	cache, err := raft.NewLogCache(cachedEntries, &guardedLog{l, fit})
	if err != nil {
		return nil, errors.Join(err, closer())
	}
	return &stores{logs: cache, stable: &patientVotes{v, disk, fit}, snapshots: snapshots, fitness: fit, closer: closer}, nil
}

// openLog opens the log, for the process that has the votes.
func openLog(dir string, v *votes, on medium, log hclog.Logger) (*diskLog, error) {
	l, torn, err := openDiskLog(dir, on)
	if err != nil {
		return nil, err
	}
	if torn {
		log.Warn("the end of raft's log was not written completely and is cut off; the other nodes have it", "dir", dir)
	}
	if err := v.moveLog(l); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
