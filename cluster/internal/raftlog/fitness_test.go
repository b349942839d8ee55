package raftlog

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// fullDisk is a disk that has no room while it is full, and then writes half of what it is given.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) Write(size int) (int, error) {
	if d.full.Load() {
		return size / 2, syscall.ENOSPC
	}
	return size, nil
}

func (d *fullDisk) Sync() error { return nil }

func openGuarded(t *testing.T, d faults.Disk) *guardedLog {
	t.Helper()
	dir := t.TempDir()
	on := newMedium(d)
	l, _, err := openDiskLog(filepath.Join(dir, logDir), on, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	f := newFitness(dir, on)
	f.broken = l.writable
	return &guardedLog{l, f}
}

// What found no room is not in the log, and is taken when there is room; the trouble lasts until a probe finds some.
func TestFullLogRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(fullDisk)
		l := openGuarded(t, d)
		require.NoError(t, l.StoreLogs(entriesAt(1, 5)))
		d.full.Store(true)
		require.ErrorIs(t, l.StoreLogs(entriesAt(6, 2)), syscall.ENOSPC)
		requireLog(t, l.diskLog, entriesAt(1, 5), nil)
		require.ErrorIs(t, l.fitness.trouble(), syscall.ENOSPC)
		l.fitness.retry()
		require.ErrorIs(t, l.fitness.trouble(), syscall.ENOSPC)
		d.full.Store(false)
		l.fitness.retry()
		require.NoError(t, l.fitness.trouble())
		require.NoFileExists(t, filepath.Join(l.fitness.dir, probeFile))
		require.NoError(t, l.StoreLogs(entriesAt(6, 2)))
		requireLog(t, l.diskLog, entriesAt(1, 7), nil)
	})
}

// raft goes on as if it had what it could not store in the place of entries that it has removed: that waits for room, instead of failing.
func TestReplacedEntriesWaitForRoom(t *testing.T) {
	for name, from := range map[string]uint64{"end": 4, "all": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := new(fullDisk)
				l := openGuarded(t, d)
				require.NoError(t, l.StoreLogs(entriesAt(1, 5)))
				d.full.Store(true)
				require.NoError(t, l.DeleteRange(from, 5))
				stored := make(chan error, 1)
				go func() { stored <- l.StoreLogs(entriesAt(from, 9)) }()
				time.Sleep(time.Hour)
				select {
				case err := <-stored:
					require.Fail(t, "it did not wait", "%v", err)
				default:
				}
				require.Error(t, l.fitness.trouble())
				d.full.Store(false)
				require.NoError(t, <-stored)
				requireLog(t, l.diskLog, entriesAt(1, from+8), nil)
				d.full.Store(true)
				require.ErrorIs(t, l.StoreLogs(entriesAt(from+9, 1)), syscall.ENOSPC, "nothing is owed any more")
			})
		})
	}
}

// A log that is broken stays in trouble, whatever room there is.
func TestBrokenLogStaysInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openGuarded(t, faults.SoundDisk{})
		require.NoError(t, l.StoreLogs(entriesAt(1, 2)))
		l.on.flush = func(*os.File) error { return syscall.EIO }
		stable := entryAt(3, 1, string(appendBatchHead(nil, batchHead{node: "a", first: 1, count: 1, stable: true})))
		require.ErrorIs(t, l.StoreLogs([]*raft.Log{stable}), syscall.EIO)
		l.fitness.retry()
		require.Error(t, l.fitness.trouble())
	})
}

// leaky is a store of snapshots that leaves what it could not complete, as raft's does when its disk is full.
type leaky struct {
	raft.SnapshotStore
	dir string
}

type leakySink struct{ raft.SnapshotSink }

func (l *leaky) Create(raft.SnapshotVersion, uint64, uint64, raft.Configuration, uint64, raft.Transport) (raft.SnapshotSink, error) {
	return &leakySink{}, os.MkdirAll(filepath.Join(l.dir, "1-2-3"+unfinishedSnaps), 0o755)
}

func (*leakySink) ID() string                { return "1-2-3" }
func (*leakySink) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
func (*leakySink) Cancel() error             { return syscall.ENOSPC }
func (*leakySink) Close() error              { return syscall.ENOSPC }

// Nothing is left of a snapshot that found no room, or that was being written when the node was killed: it would keep the disk full.
func TestSnapshotLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(raft.SnapshotSink) error{"cancelled": raft.SnapshotSink.Cancel, "not closed": raft.SnapshotSink.Close} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			left := filepath.Join(base, snapshotsDir, "1-1-1"+unfinishedSnaps)
			require.NoError(t, os.MkdirAll(left, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(left, "state.bin"), []byte("half"), 0o600))
			f, err := openSnapshots(base, faults.SoundDisk{}, hclog.NewNullLogger())
			require.NoError(t, err)
			require.NoDirExists(t, left)
			f.SnapshotStore = &leaky{f.SnapshotStore, f.dir}
			sink, err := f.Create(1, 2, 1, raft.Configuration{}, 0, nil)
			require.NoError(t, err)
			require.NoError(t, f.sweep())
			require.DirExists(t, filepath.Join(f.dir, "1-2-3"+unfinishedSnaps), "it is being written")
			_, err = sink.Write([]byte("state"))
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorIs(t, end(sink), syscall.ENOSPC)
			require.NoDirExists(t, filepath.Join(f.dir, "1-2-3"+unfinishedSnaps))
		})
	}
}

// A write during which the process stands still takes long by no fault of the disk's; one that takes long while it runs does.
func TestStallOfTheProcessIsNoneOfTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFitness("", medium{})
		over := make(chan struct{})
		go func() { _ = f.during(1, func() error { <-over; return nil }) }() // nil
		synctest.Wait()
		require.NoError(t, f.trouble())
		time.Sleep(time.Hour)
		require.NoError(t, f.trouble())
		began := time.Now()
		for f.trouble() == nil {
			time.Sleep(probeInterval)
		}
		require.InDelta(t, stallLimit, time.Since(began), float64(2*probeInterval))
		close(over)
		synctest.Wait()
		require.NoError(t, f.trouble())
	})
}
