package shoal

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Storage keeps what must outlive the process: an ordered key-value store that is written in batches.
//
// A Space is the unit of atomicity: one session, or the retained messages. The broker decides what is kept, for how
// long, in which order and within which limits; a driver only writes and reads bytes. Every driver passes the suite in
// storage/storagetest.
//
// The broker calls Commit from one goroutine at a time and Scan only while it starts; with a FencedStorage, see there. Implementations must
// nevertheless allow concurrent calls.
type Storage interface {
	// Commit applies ops in order and returns once they are durable. Operations on one Space are atomic: after a
	// crash either all of a Space's operations of this call are there or none. Commit does not keep ops or the slices
	// in it after it has returned.
	//
	// An error means that none, some or all Spaces of the call were written; the caller may repeat the whole call,
	// since repeating a batch leaves the same state.
	Commit(ctx context.Context, ops []Op) error

	// Scan calls fn for every entry of space whose key is not less than from, in ascending byte order of the keys. A
	// nil from starts at the first. Key and value are valid only until fn returns. Scan stops at the first error that
	// fn returns and returns that error unchanged.
	Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error

	// Close releases the store. It is called once, after the last Commit has returned. Later calls of Commit and Scan
	// return ErrStorageClosed.
	Close() error
}

// Op is one change to one entry of a Space.
//
//	Key  Value  meaning
//	set  set    put the entry; an empty but non-nil Value is a value
//	set  nil    delete the entry; deleting what is not there is no error
//	nil  nil    delete the whole Space
//
// An empty non-nil Key, or a Value without a Key, is refused.
type Op struct {
	Space      string
	Key, Value []byte
}

// Check reports what is wrong with an operation. A driver refuses a Commit with such a one before it has written anything.
func (op *Op) Check() error {
	switch {
	case op.Space == "":
		return errors.New("the space has no name")
	case op.Key == nil && op.Value != nil:
		return errors.New("value without a key")
	case op.Key != nil && len(op.Key) == 0:
		return errors.New("empty key")
	}
	return nil
}

// Opener is a Storage that does its first I/O when the broker starts, not when it is made. The broker calls Open once
// in Start, before any other method; an error of Open is returned by Start.
type Opener interface {
	Open(ctx context.Context) error
}

// StorageAdviser is an optional interface of a Storage. The broker logs a warning for each text that Advice returns once the store is open: what is not as it
// should be, and what to do.
type StorageAdviser interface {
	Advice() []string
}

// SharedStorage is an optional interface of a Storage. Shared reports whether several brokers would see the same data, as with
// Redis. The nodes of a cluster share one if it is a FencedStorage, too; New refuses others.
type SharedStorage interface {
	Shared() bool
}

// Fence tells apart those who write to a Space one after another: the one with the greater Fence came later. It is compared by Epoch first, then by
// Step. The zero Fence is less than all others.
type Fence struct{ Epoch, Step uint64 }

// Compare returns -1, 0 or 1, as f is less than g, equal or greater.
func (f Fence) Compare(g Fence) int {
	return cmp.Or(cmp.Compare(f.Epoch, g.Epoch), cmp.Compare(f.Step, g.Step))
}

// FencedStorage is a SharedStorage that the nodes of a cluster can share. A Space there belongs to one node at a time; what that node writes late, when
// another has gone on with the Space, must change nothing any more, however long it was under way. The broker gives each owner of a Space a Fence
// that is greater than the last one's. Beside what is said here, the broker calls Scan at any time.
type FencedStorage interface {
	Storage
	SharedStorage

	// CommitFenced is Commit for Spaces that change hands: fences has a Fence for each of them, by the Space's name. In one atomic step for each
	// Space the store compares: if a greater Fence has written to the Space before, nothing of it is written, and it is named in stale; else the Fence
	// becomes the Space's, and its operations are applied. A Fence without operations only keeps smaller ones out. A Space that has none in fences is
	// written as by Commit. Stale Spaces are no error: all others are written.
	//
	// Calls for one Space with one Fence come one after another, from one process. One that failed may still be under way to the store, and must
	// change nothing when it arrives there after a later one.
	//
	// A Space's Fence stays when the Space is deleted, or becomes empty, for FenceTime at least.
	CommitFenced(ctx context.Context, ops []Op, fences map[string]Fence) (stale []string, err error)

	// Spaces calls fn for every Space that has entries and whose name begins with prefix, in no order. A Space may be passed more than once, and one that
	// is made or deleted meanwhile passed or not. It stops at the first error that fn returns and returns that error unchanged. fn may call any method.
	Spaces(ctx context.Context, prefix string, fn func(space string) error) error
}

// FenceTime is how long a FencedStorage remembers the Fence of a Space that has no entries any more. A node that stood still for longer could
// write to such a Space again.
const FenceTime = 24 * time.Hour

func isShared(s Storage) bool {
	shared, ok := s.(SharedStorage)
	return ok && shared.Shared()
}
