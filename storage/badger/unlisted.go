package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
)

// badger removes the tables that its manifest does not list. A crash leaves such tables: the results
// of a compaction that was not noted, what a noted one has replaced, or a table whose content is
// still in a log (*.mem), because the log is removed after the manifest has been written. A manifest
// that was damaged, cut off or removed leaves tables of another kind: newer than all that it lists,
// and in no log any more.

// checkUnlisted looks for tables that the manifest should list. newest is the newest version of a
// key in those that it does list.
func checkUnlisted(dir string, listed map[uint64]badger.TableManifest, newest uint64) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	oldestLogged, err := oldestInLogs(dir)
	if err != nil {
		return err
	}
	for _, path := range tables {
		id, ok := table.ParseFileID(path)
		if _, isListed := listed[id]; !ok || isListed {
			continue
		}
		version, err := checkTable(path)
		if err != nil {
			continue // it was being written in a crash
		}
		if version > newest && version < oldestLogged {
			return fmt.Errorf("it does not list %s, whose content is nowhere else", filepath.Base(path))
		}
	}
	return nil
}

// oldestInLogs returns the oldest version of a key in the logs, or the largest number if there is none.
func oldestInLogs(dir string) (uint64, error) {
	oldest := ^uint64(0)
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return 0, err
	}
	for _, path := range logs {
		version, err := firstVersion(path)
		if err != nil {
			return 0, err
		}
		oldest = min(oldest, version)
	}
	return oldest, nil
}

// firstVersion returns the version of the first key in a log, which is its oldest, or the largest
// number if the log has no first record that is whole.
func firstVersion(path string) (uint64, error) {
	const none = ^uint64(0)
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	// A record is two bytes of flags, the lengths of key and value and the time of expiry as
	// varints, the key, which ends with its version, the value, and a checksum.
	head := make([]byte, logHeader+2+3*binary.MaxVarintLen64)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	if n < logHeader+2 {
		return none, nil
	}
	at := logHeader + 2
	var lengths [3]uint64
	for i := range lengths {
		value, size := binary.Uvarint(head[at:n])
		if size <= 0 {
			return none, nil
		}
		lengths[i], at = value, at+size
	}
	const version, longest = 8, 1 << 16
	if lengths[0] < version || lengths[0] > longest {
		return none, nil
	}
	key := make([]byte, lengths[0])
	if _, err := f.ReadAt(key, int64(at)); err != nil {
		if errors.Is(err, io.EOF) {
			return none, nil
		}
		return 0, err
	}
	return y.ParseTs(key), nil
}
