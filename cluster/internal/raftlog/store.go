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
	logFile           = "raft.db"
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
	file := filepath.Join(dir, logFile)
	l, err := openBoltLog(file)
	if errors.Is(err, berrors.ErrTimeout) {
		err = errors.New("it is in use by another process; give every node a Dir of its own")
	}
	if err != nil {
		return nil, fmt.Errorf("opening raft's log %s: %w", file, err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's snapshots in %s: %w", dir, err), l.Close())
	}
	cache, err := raft.NewLogCache(cachedEntries, l)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &stores{logs: cache, stable: l, snapshots: snapshots, closer: l.Close}, nil
}
