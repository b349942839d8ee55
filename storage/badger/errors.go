package badger

import (
	"errors"
	"fmt"
	"syscall"
)

// Errors are matched with errors.Is.
var (
	// ErrNotOpen is returned by Commit and Scan before Store.Open.
	ErrNotOpen = errors.New("badger: not open")
	// ErrLocked is matched by the error of Store.Open when another Store, mostly of another process, has the directory open.
	ErrLocked = errors.New("locked by another process")
	// ErrDamaged is matched by the errors of a directory whose files are damaged, cut off or missing.
	ErrDamaged = errors.New("the files are damaged")
	// ErrNewerFormat is matched by the error of Store.Open when a newer version of this package has written the directory.
	ErrNewerFormat = errors.New("written by a newer version")
	// ErrDiskFull is matched by the error of a Commit that was refused because too little space is free.
	ErrDiskFull = fmt.Errorf("too little space is free: %w", syscall.ENOSPC)
)

const advice = "restore a copy of the directory, or start with an empty one"
