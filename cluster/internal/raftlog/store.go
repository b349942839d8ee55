package raftlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const (
	cachedEntries     = 64
	retainedSnapshots = 2
)

// stores is where raft keeps its log, its votes and its snapshots.
type stores struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	closer    io.Closer
}

func (s *stores) close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// openStores opens the stores below dir, or in memory if dir is empty.
func openStores(dir string, log hclog.Logger) (*stores, error) {
	if dir == "" {
		mem := raft.NewInmemStore()
		return &stores{logs: mem, stable: mem, snapshots: raft.NewInmemSnapshotStore()}, nil
	}
	walDir := filepath.Join(dir, "log")
	if err := os.MkdirAll(walDir, 0o755); err != nil {
		return nil, fmt.Errorf("raft's directory: %w", err)
	}
	w, err := wal.Open(walDir, wal.WithLogger(log))
	if err != nil {
		return nil, fmt.Errorf("opening raft's log in %s (is another process using it?): %w", walDir, err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening raft's snapshots in %s: %w", dir, err), w.Close())
	}
	cache, err := raft.NewLogCache(cachedEntries, w)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &stores{logs: cache, stable: w, snapshots: snapshots, closer: w}, nil
}
