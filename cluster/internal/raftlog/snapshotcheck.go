package raftlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// raft's store of snapshots has a checksum of what the state machine wrote, and none of what it says about that itself: index, term and configuration. It passes
// over a snapshot that it cannot read, and raft may then begin with an earlier one whose next entries are gone. So snapshots are checked before raft
// sees them.

const (
	metaFile = "meta.json"
	sumFile  = "meta.sum"
)

// snapshotMeta is what raft says about a snapshot.
type snapshotMeta struct {
	raft.SnapshotMeta
	dir string
}

// sumMeta keeps the checksum of what raft says about a snapshot.
func sumMeta(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil // there is a later one already, and raft has removed this one
	}
	if err == nil {
		err = writeDurably(filepath.Join(dir, sumFile), []byte(checksum(b)))
	}
	return err
}

func checksum(b []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(b, castagnoli())) }

// readMeta reads what raft says about a snapshot, and checks it, if it was summed up before the node was killed.
func readMeta(dir string) (m snapshotMeta, err error) {
	path := filepath.Join(dir, metaFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return m, &damage{path, err.Error()}
	}
	sum, err := os.ReadFile(filepath.Join(dir, sumFile))
	if err == nil && string(sum) != checksum(b) {
		return m, &damage{path, "its checksum is not that in " + sumFile}
	}
	m.dir = dir
	if err := json.Unmarshal(b, &m.SnapshotMeta); err != nil {
		return m, &damage{path, err.Error()}
	}
	if m.ID != filepath.Base(dir) {
		return m, &damage{path, "it is about snapshot " + m.ID}
	}
	return m, nil
}

// badSnapshot is one that is damaged.
type badSnapshot struct {
	*damage
	dir   string
	index uint64 // of its last entry, by its name
}

// snapshotMetas returns the snapshots below dir, the newest first, and those with which something is wrong.
func snapshotMetas(dir string) (metas []snapshotMeta, bad []badSnapshot) {
	found, _ := os.ReadDir(filepath.Join(dir, snapshotsDir)) // there may be none yet
	for _, f := range found {
		if !f.IsDir() || strings.HasSuffix(f.Name(), unfinishedSnaps) {
			continue
		}
		at := filepath.Join(dir, snapshotsDir, f.Name())
		m, err := readMeta(at)
		if d := asDamage(err); d != nil {
			bad = append(bad, badSnapshot{d, at, indexOf(f.Name())})
			continue
		}
		metas = append(metas, m)
	}
	slices.SortFunc(metas, func(a, b snapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index), cmp.Compare(b.ID, a.ID))
	})
	return metas, bad
}

// indexOf returns the index in the name that raft gives a snapshot: term, index and time. It is beyond all others if it is not such a name.
func indexOf(name string) uint64 {
	var term, index, at uint64
	if _, err := fmt.Sscanf(name, "%d-%d-%d", &term, &index, &at); err != nil {
		return math.MaxUint64
	}
	return index
}

// snapshotConfiguration returns the configuration of the newest snapshot below dir that can be read.
func snapshotConfiguration(dir string) raft.Configuration {
	if metas, _ := snapshotMetas(dir); len(metas) > 0 {
		return metas[0].Configuration
	}
	return raft.Configuration{}
}

// checkSnapshots returns the index of the newest snapshot that is well, 0 if there is none, and those that are not.
func checkSnapshots(dir string, store raft.SnapshotStore) (newest uint64, bad []badSnapshot, err error) {
	metas, bad := snapshotMetas(dir)
	for _, m := range metas {
		_, r, err := store.Open(m.ID)
		if err != nil {
			bad = append(bad, badSnapshot{&damage{m.dir, err.Error()}, m.dir, m.Index})
			continue
		}
		if err := r.Close(); err != nil {
			return 0, nil, err
		}
		newest = max(newest, m.Index)
	}
	return newest, bad, nil
}
