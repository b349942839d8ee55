package raftlog

import (
	"errors"
	"os"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// medium is how the files of the log are written: through the operating system, but for tests.
type medium struct {
	write func(f *os.File, b []byte, at int64) error
	// flush waits until the disk has what was written to a file.
	flush func(f *os.File) error
}

// newMedium returns the operating system's files on a disk that may have faults.
func newMedium(disk faults.Disk) medium {
	return medium{
		write: func(f *os.File, b []byte, at int64) error {
			room, err := disk.Write(len(b))
			if err != nil {
				_, werr := f.WriteAt(b[:room], at)
				return errors.Join(&os.PathError{Op: "write", Path: f.Name(), Err: err}, werr)
			}
			_, err = f.WriteAt(b, at)
			return err
		},
		flush: func(f *os.File) error {
			if err := disk.Sync(); err != nil {
				return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
			}
			return f.Sync()
		},
	}
}

// flushDir waits until the disk has the names in a directory.
func (m medium) flushDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(m.flush(d), d.Close())
}
