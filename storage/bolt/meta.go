package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// advice is what to do about a damaged file.
const advice = "restore a copy of the file, or move it away to start with an empty one"

// checkSize looks at the file before bbolt, which takes one of 0 bytes for a new one. This package makes files that have a name
// only once they have content.
func checkSize(path string) (exists bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().IsRegular() && info.Size() == 0:
		return true, fmt.Errorf("%w: it has 0 bytes, and a store has never; %s", ErrDamaged, advice)
	}
	return true, nil
}

// create makes an empty store beside path and gives it that name, unless another process has done so meanwhile.
func create(path string, noSync bool) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new")
	if err != nil {
		return err
	}
	name := f.Name()
	err = f.Close()
	if err == nil {
		err = fill(name)
	}
	if err == nil {
		if err = os.Link(name, path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	err = errors.Join(err, os.Remove(name))
	if err != nil || noSync {
		return err
	}
	return syncDir(dir)
}

func fill(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(makeSums), db.Close())
}

// checkPages compares the two first pages of an open file, of which bbolt writes one in each transaction and takes the newer that is whole:
// with one that is damaged the last transaction may be missing. It also looks whether the file has all its pages.
func checkPages(db *bbolt.DB, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	size := db.Info().PageSize
	pages := make([]byte, 2*size)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return fmt.Errorf("%w: %w; %s", ErrDamaged, err, advice)
	}
	for i := range 2 {
		if !wholeMeta(pages[i*size : (i+1)*size]) {
			return fmt.Errorf("%w: page %d of it is not what was written, and the last commit may be missing; %s, or go on without it by WithAcceptLoss",
				ErrDamaged, i, advice)
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it is cut off: it has %d bytes in place of %d; %s", ErrDamaged, info.Size(), tx.Size(), advice)
		}
		return nil
	})
}

// The layout of such a page: a header, magic number, version, and at the end a checksum of what follows the header.
const (
	metaAt    = 16
	metaSumAt = metaAt + 56
	metaMagic = 0xED0CDAED
)

func wholeMeta(page []byte) bool {
	h := fnv.New64a()
	_, _ = h.Write(page[metaAt:metaSumAt]) // a hash does not fail
	return binary.NativeEndian.Uint32(page[metaAt:]) == metaMagic && binary.NativeEndian.Uint64(page[metaSumAt:]) == h.Sum64()
}
