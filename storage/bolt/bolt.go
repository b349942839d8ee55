package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/shoalmq/shoal"
)

// ErrNotOpen is returned by Commit and Scan before Store.Open.
var ErrNotOpen = errors.New("bolt: not open")

// ErrDamaged is matched by the errors of a file that bbolt could not make sense of.
var ErrDamaged = errors.New("the file is damaged")

// Store is a store in one file. Make one with Open. All methods may be called from any goroutine; the writers take turns.
type Store struct {
	path    string
	options options

	// turn is held by whoever writes, opens or closes: a mutex for which waiting ends with a context.
	turn chan struct{}

	mu     sync.Mutex // guards the fields below, and nothing slow
	db     *bbolt.DB
	closed bool
	failed error // what a damaged file has led to; bbolt's locks may then be held for ever
}

// Open returns a Store in the file at path. It does no I/O: that is for the method Open, which the broker calls when it
// starts.
func Open(path string, opts ...Option) *Store {
	s := &Store{path: path, options: defaults(), turn: make(chan struct{}, 1)}
	for _, opt := range opts {
		opt(&s.options)
	}
	return s
}

// Commit implements shoal.Storage. All ops are one transaction: they are all written, or none when there is an error.
func (s *Store) Commit(ctx context.Context, ops []shoal.Op) error {
	for i := range ops {
		if err := ops[i].Check(); err != nil {
			return s.wrap("commit", fmt.Errorf("space %q: %w", ops[i].Space, err))
		}
	}
	if err := s.takeTurn(ctx); err != nil {
		return s.wrap("commit", err)
	}
	defer s.endTurn()
	db, err := s.use()
	if err != nil {
		return s.wrap("commit", err)
	}
	return s.wrap("commit", s.guard(func() error {
		return db.Update(func(tx *bbolt.Tx) error { return apply(tx, ops) })
	}))
}

func apply(tx *bbolt.Tx, ops []shoal.Op) error {
	var (
		bucket *bbolt.Bucket // of the last op's Space, since neighbours are often of one Space
		space  string
	)
	for i := range ops {
		op := &ops[i]
		if bucket == nil || op.Space != space {
			space, bucket = op.Space, tx.Bucket(bucketName(op.Space))
		}
		var err error
		switch {
		case op.Key == nil:
			bucket = nil
			err = deleteSpace(tx, op.Space)
		case op.Value == nil:
			if bucket != nil {
				err = remove(bucket, op.Key)
			}
		default:
			if bucket == nil {
				bucket, err = createSpace(tx, op.Space)
			}
			if err == nil {
				err = put(bucket, op.Key, op.Value)
			}
		}
		if err != nil {
			return fmt.Errorf("space %q: %w", op.Space, err)
		}
	}
	return nil
}

// Scan implements shoal.Storage. It copies the entries out batch by batch and calls fn outside any transaction: fn may
// call any method of s. An entry that is written or deleted during the Scan is passed or not.
func (s *Store) Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error {
	for b := (&batch{full: true}); b.full; {
		if err := s.readBatch(space, from, b); err != nil {
			return s.wrap("scan", fmt.Errorf("space %q: %w", space, err))
		}
		if n := len(b.entries); n > 0 { // copied, because fn may write to its slices
			from = append(bytes.Clone(b.key(b.entries[n-1])), 0)
		}
		for _, e := range b.entries {
			if err := ctx.Err(); err != nil {
				return s.wrap("scan", fmt.Errorf("space %q: %w", space, err))
			}
			if err := fn(b.key(e), b.value(e)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) readBatch(space string, from []byte, b *batch) error {
	db, err := s.use()
	if err != nil {
		return err
	}
	return s.guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			bucket := tx.Bucket(bucketName(space))
			if bucket == nil {
				b.full, b.entries = false, nil
				return nil
			}
			return b.read(bucket, from)
		})
	})
}

// use returns the open database.
func (s *Store) use() (*bbolt.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, shoal.ErrStorageClosed
	case s.failed != nil:
		return nil, s.failed
	case s.db == nil:
		return nil, ErrNotOpen
	}
	return s.db, nil
}

func (s *Store) hasFailed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *Store) takeTurn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) endTurn() { <-s.turn }

// wrap says what was done to which file. It also translates the error of a database that was closed meanwhile.
func (s *Store) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = shoal.ErrStorageClosed
	}
	return fmt.Errorf("bolt: %s %s: %w", what, s.path, err)
}
