package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a store beside badger's own.
//
// badger cuts its logs off at the first record that it cannot read, without a word: that is right for a record that was
// being written in a crash, and wrong for one that was damaged later. So each Commit has a number, in its transaction, and the
// file COMMITS has the number of the last Commit that returned. It is not flushed to the disk for each Commit: it is exact
// when the process is killed, and some seconds old when the machine stops.
const (
	formatFile  = "FORMAT"
	commitsFile = "COMMITS"
)

// format is the version of the layout of the files and keys.
const format = 1

const formatText = "shoal storage badger, format %d\n"

// openFormat looks for a file FORMAT, and makes it in a new directory. It returns the file, which is also the lock.
func openFormat(dir string) (*os.File, error) {
	path := filepath.Join(dir, formatFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		others, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range others {
			if !strings.HasPrefix(e.Name(), formatFile) && e.Name() != commitsFile {
				return nil, fmt.Errorf("the directory has no file %s, but others, such as %s: it is no store, or one that is %w; %s",
					formatFile, e.Name(), ErrDamaged, advice)
			}
		}
		return makeFormat(dir, path)
	}
	return f, err
}

// makeFormat makes the files of an empty store. The name FORMAT comes last, with all of its content, and to one of those who make it
// at the same time.
func makeFormat(dir, path string) (*os.File, error) {
	commits, err := os.OpenFile(filepath.Join(dir, commitsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = commits.Write(commitsRecord(0))
		err = errors.Join(err, commits.Close())
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := os.CreateTemp(dir, formatFile+".new")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, formatText, format)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	if err := errors.Join(os.Remove(f.Name()), syncDir(dir)); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}

func checkFormat(f *os.File) error {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1024))
	if err != nil {
		return err
	}
	version := 0
	if _, err := fmt.Sscanf(string(text), formatText, &version); err != nil || version < 1 {
		return fmt.Errorf("%w: %s has no version; %s", ErrDamaged, formatFile, advice)
	}
	if version > format {
		return fmt.Errorf("%w: the files have format %d, and this program knows %d; use the program that wrote them", ErrNewerFormat, version, format)
	}
	return nil
}

func commitsRecord(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// readCommits returns the number of the last Commit that had returned.
func readCommits(f *os.File) (uint64, error) {
	b := make([]byte, len(commitsRecord(0)))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	n := binary.BigEndian.Uint64(b)
	if !bytes.Equal(b, commitsRecord(n)) {
		return 0, fmt.Errorf("%w: %s cannot be read; without it nobody knows whether there was more", ErrDamaged, commitsFile)
	}
	return n, nil
}
