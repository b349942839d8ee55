package raftlog

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	compactInterval = time.Second
	trailingMin     = 64
	trailingMax     = 10000
	// snapshotPause is how long after a snapshot that failed another one is tried: a disk that is full is not to be filled again at once.
	snapshotPause = 10 * time.Second
)

// compaction counts what the log has grown by since the last snapshot.
type compaction struct {
	entries, bytes atomic.Uint64
}

func (c *compaction) grew(bytes int) {
	c.entries.Add(1)
	c.bytes.Add(uint64(bytes))
}

// compact takes snapshots. raft would by the number of entries alone, whatever their size; and keeps a fixed
// number of entries behind a snapshot, whatever theirs.
func (l *Log) compact(ctx context.Context) {
	t := time.NewTicker(compactInterval)
	defer t.Stop()
	var failed time.Time
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		entries, bytes := l.grown.entries.Load(), l.grown.bytes.Load()
		if entries < l.cfg.SnapshotEntries && bytes < l.cfg.SnapshotBytes || entries == 0 || time.Since(failed) < snapshotPause {
			continue
		}
		// Keep about as many bytes of log as make a snapshot, for followers that are a little behind.
		rc := l.raft.ReloadableConfig()
		rc.TrailingLogs = min(max(l.cfg.SnapshotBytes/(bytes/entries+1), trailingMin), trailingMax)
		if err := l.raft.ReloadConfig(rc); err != nil {
			l.cfg.Logger.Error("raft's configuration is refused", "err", err)
		}
		err := l.gate.do(func() error { return l.raft.Snapshot().Error() })
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && ctx.Err() == nil {
			l.cfg.Logger.Error("snapshot failed", "err", err)
			failed = time.Now()
			continue
		}
		l.grown.entries.Add(-entries)
		l.grown.bytes.Add(-bytes)
	}
}

// never is a threshold raft does not reach by itself.
const never = math.MaxUint64 / 2
