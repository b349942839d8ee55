package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/shoalmq/shoal"
)

// ErrLocked is matched by the error of Store.Open when another Store, mostly of another process, has the file open.
var ErrLocked = errors.New("locked by another process")

// Option changes a Store.
type Option func(*options)

type options struct {
	lockTimeout time.Duration
	noSync      bool
	acceptLoss  bool
}

func defaults() options { return options{lockTimeout: 5 * time.Second} }

// WithLockTimeout sets how long Store.Open waits while another process has the file locked. The default is 5 seconds;
// zero and less means to try once.
func WithLockTimeout(d time.Duration) Option { return func(o *options) { o.lockTimeout = d } }

// WithNoSync leaves out the fsync of every Commit. The file survives the end of the process, but after a crash of the
// machine it may be lost altogether. It is for tests.
func WithNoSync() Option { return func(o *options) { o.noSync = true } }

// WithAcceptLoss opens a file from which the last Commit, or more, is missing, and goes on without. Take a copy of the file
// first, and leave the option out when it has been opened once.
func WithAcceptLoss() Option { return func(o *options) { o.acceptLoss = true } }

// lockRetry is the pause between attempts to lock the file.
const lockRetry = 20 * time.Millisecond

// Open implements shoal.Opener. It creates the file, for its owner only, and the directories above if they are not
// there, locks it, and reads all of it. It is called once.
func (s *Store) Open(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return s.wrap("open", err)
	}
	defer s.endTurn()
	switch _, err := s.use(); {
	case err == nil:
		return s.wrap("open", errors.New("already open"))
	case !errors.Is(err, ErrNotOpen):
		return s.wrap("open", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return s.wrap("open", err)
	}
	exists, err := checkSize(s.path)
	if err == nil && !exists {
		err = create(s.path, s.options.noSync)
	}
	if err != nil {
		return s.wrap("open", err)
	}
	db, err := s.lock(ctx)
	if err != nil {
		return s.wrap("open", err)
	}
	if err := s.check(db); err != nil {
		if s.hasFailed() == nil {
			err = errors.Join(err, db.Close())
		}
		return s.wrap("open", err)
	}
	s.mu.Lock()
	s.db = db
	s.mu.Unlock()
	return nil
}

// check reads all of the file. One of an older format gets what it lacks.
func (s *Store) check(db *bbolt.DB) error {
	return s.guard(func() error {
		if err := checkPages(db, s.path); err != nil && !s.options.acceptLoss {
			return err
		}
		have := 0
		err := db.View(func(tx *bbolt.Tx) (err error) {
			switch have, err = version(tx); {
			case err != nil:
				return err
			case have > format:
				return fmt.Errorf("%w: the file has format %d, and this program knows %d; use the program that wrote it", ErrNewerFormat, have, format)
			case have == 1 || s.options.acceptLoss:
				return nil
			}
			return checkSums(tx)
		})
		if err != nil || have != 1 && !s.options.acceptLoss {
			return err
		}
		return db.Update(makeSums)
	})
}

// lock opens the file, and tries again while it is locked.
func (s *Store) lock(ctx context.Context) (*bbolt.DB, error) {
	giveUp := time.NewTimer(s.options.lockTimeout)
	defer giveUp.Stop()
	for {
		var db *bbolt.DB
		err := s.guard(func() (err error) {
			db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
				Timeout:      time.Nanosecond, // try once
				FreelistType: bbolt.FreelistMapType,
				NoSync:       s.options.noSync,
			})
			return err
		})
		if !errors.Is(err, berrors.ErrTimeout) {
			return db, err
		}
		select {
		case <-time.After(lockRetry):
		case <-giveUp.C:
			return nil, fmt.Errorf("%w, waited %v", ErrLocked, max(s.options.lockTimeout, 0))
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrLocked, ctx.Err())
		}
	}
}

// syncDir makes the name of a new file durable. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close implements shoal.Storage. It waits for calls that are under way. Closing twice is fine.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer s.endTurn()
	s.mu.Lock()
	db, failed := s.db, s.failed
	s.db, s.closed = nil, true
	s.mu.Unlock()
	if db == nil || failed != nil { // a failed database could wait for itself; its file goes with the process
		return nil
	}
	return s.wrap("close", s.guard(db.Close))
}

var _ interface {
	shoal.Storage
	shoal.Opener
} = (*Store)(nil)
