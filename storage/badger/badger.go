package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoalmq/shoal"
)

// Store is a store in one directory. Make one with Open. All methods may be called from any goroutine; the writers take turns.
type Store struct {
	dir     string
	options options

	// turn is held by whoever writes, opens or closes: a mutex for which waiting ends with a context. It guards the fields that
	// follow.
	turn     chan struct{}
	lock     *os.File // FORMAT, locked
	commits  *os.File // COMMITS
	last     uint64   // the number of the last Commit
	replay   bool     // the journal is complete, and not applied
	stop     context.CancelFunc
	gcEnded  chan struct{}
	reserved uint64 // how much more may be written before free space is looked at again

	mu     sync.RWMutex // held for reading while an iterator is open, for writing by Close
	db     *badger.DB
	closed bool

	failedMu sync.Mutex
	failed   error // what damaged files have led to; badger's locks may then be held for ever
}

// Open returns a Store in the directory dir. It does no I/O: that is for the method Open, which the broker calls when
// it starts.
func Open(dir string, opts ...Option) *Store {
	s := &Store{dir: dir, options: defaults(), turn: make(chan struct{}, 1)}
	for _, opt := range opts {
		opt(&s.options)
	}
	return s
}

// Commit implements shoal.Storage. All ops are written, or none when there is an error.
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
	return s.wrap("commit", s.guard(func() error { return s.commit(ops) }))
}

// Scan implements shoal.Storage. It copies the entries out batch by batch and calls fn while it holds nothing: fn may
// call any method of s. An entry that is written or deleted during the Scan is passed or not.
func (s *Store) Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error {
	for b := (&batch{full: true}); b.full; {
		if err := s.guard(func() error { return s.read(space, from, b) }); err != nil {
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

// use returns the database. The caller has the turn, or holds mu.
func (s *Store) use() (*badger.DB, error) {
	switch {
	case s.closed:
		return nil, shoal.ErrStorageClosed
	case s.hasFailed() != nil:
		return nil, s.hasFailed()
	case s.db == nil:
		return nil, ErrNotOpen
	}
	return s.db, nil
}

func (s *Store) hasFailed() error {
	s.failedMu.Lock()
	defer s.failedMu.Unlock()
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

// guard runs fn, which calls badger, and makes an error of a panic or a memory fault, to which files lead that are damaged while
// they are open. After that the Store stays failed. No function of a caller of this package runs below guard.
func (s *Store) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // for this goroutine
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v; %s", ErrDamaged, r, advice)
			s.failedMu.Lock()
			s.failed = err
			s.failedMu.Unlock()
		}
	}()
	return fn()
}

// wrap says what was done to which directory.
func (s *Store) wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrBlockedWrites):
		err = shoal.ErrStorageClosed
	}
	return fmt.Errorf("badger: %s %s: %w", what, s.dir, err)
}

func (l logger) say(level slog.Level, format string, args []any) {
	l.to.Log(context.Background(), level, "badger says", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
