package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// What raft's store of snapshots calls its directory, and what is not complete in it.
const (
	snapshotsDir    = "snapshots"
	unfinishedSnaps = ".tmp"
)

// snapshotFiles keeps snapshots in files. It adds to raft's store that nothing is left of one that was not completed, because the node was killed or the
// disk was full: raft's would leave what it has written, and so the disk full.
type snapshotFiles struct {
	raft.SnapshotStore
	dir  string // that the store has them in
	disk faults.Disk

	creating sync.Mutex // held while one is begun
	mu       sync.Mutex
	open     map[string]bool // by ID
}

func openSnapshots(dir string, disk faults.Disk, log hclog.Logger) (*snapshotFiles, error) {
	s, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, log)
	if err != nil {
		return nil, err
	}
	f := &snapshotFiles{SnapshotStore: s, dir: filepath.Join(dir, snapshotsDir), disk: disk, open: make(map[string]bool)}
	return f, f.sweep()
}

// sweep removes what belongs to no snapshot that is being written.
func (f *snapshotFiles) sweep() error {
	found, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range found {
		id, unfinished := strings.CutSuffix(d.Name(), unfinishedSnaps)
		f.mu.Lock()
		open := f.open[id]
		f.mu.Unlock()
		if unfinished && !open {
			errs = append(errs, os.RemoveAll(filepath.Join(f.dir, d.Name())))
		}
	}
	return errors.Join(errs...)
}

// Create implements raft.SnapshotStore.
func (f *snapshotFiles) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	f.creating.Lock()
	defer f.creating.Unlock()
	sink, err := f.SnapshotStore.Create(version, index, term, c, cIndex, t)
	if err != nil {
		return nil, errors.Join(err, f.sweep())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[sink.ID()] = true
	return &snapshotSink{sink, f}, nil
}

// snapshotSink is a snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	files *snapshotFiles
}

func (s *snapshotSink) Write(b []byte) (int, error) {
	room, err := s.files.disk.Write(len(b))
	if err == nil {
		return s.SnapshotSink.Write(b)
	}
	n, werr := s.SnapshotSink.Write(b[:room])
	return n, errors.Join(fmt.Errorf("writing a snapshot: %w", err), werr)
}

func (s *snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		err = sumMeta(filepath.Join(s.files.dir, s.ID()))
	}
	return s.end(err)
}

func (s *snapshotSink) Cancel() error { return s.end(s.SnapshotSink.Cancel()) }

// end removes what is left of a snapshot that was not completed.
func (s *snapshotSink) end(err error) error {
	s.files.mu.Lock()
	delete(s.files.open, s.ID())
	s.files.mu.Unlock()
	return errors.Join(err, os.RemoveAll(filepath.Join(s.files.dir, s.ID()+unfinishedSnaps)))
}
