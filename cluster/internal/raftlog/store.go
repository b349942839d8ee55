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
	closer    func() error // nil in memory
}

func (s *stores) close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer()
}

// openStores opens the stores below dir, or in memory if dir is empty.
func openStores(dir string, log hclog.Logger) (*stores, error) {
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
	l, err := openLog(filepath.Join(dir, logDir), v, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's log in %s: %w", dir, err), v.Close())
	}
	closer := func() error { return errors.Join(l.Close(), v.Close()) }
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's snapshots in %s: %w", dir, err), closer())
	}
	cache, err := raft.NewLogCache(cachedEntries, l)
	if err != nil {
		return nil, errors.Join(err, closer())
	}
	return &stores{logs: cache, stable: v, snapshots: snapshots, closer: closer}, nil
}

// openLog opens the log, for the process that has the votes.
func openLog(dir string, v *votes, log hclog.Logger) (*diskLog, error) {
	l, torn, err := openDiskLog(dir, (*os.File).Sync)
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
