package shoal

import (
	"context"
	"errors"
)

// Storage keeps what must outlive the process: an ordered key-value store that is written in batches.
//
// A Space is the unit of atomicity: one session, or the retained messages. The broker decides what is kept, for how
// long, in which order and within which limits; a driver only writes and reads bytes. Every driver passes the suite in
// storage/storagetest.
//
// The broker calls Commit from one goroutine at a time and Scan only while it starts. Implementations must
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

// SharedStorage is an optional interface of a Storage. Shared reports whether several brokers would see the same data, as with
// Redis. The nodes of a cluster cannot share one yet: New refuses it.
type SharedStorage interface {
	Shared() bool
}
