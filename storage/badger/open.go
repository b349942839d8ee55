package badger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoalmq/shoal"
)

// Open implements shoal.Opener. It creates the directory, for its owner only, and those above if they are not there, locks
// it, and reads all that is in it. It is called once.
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
	err := s.open(ctx)
	if err != nil {
		err = errors.Join(err, s.release())
	}
	return s.wrap("open", err)
}

func (s *Store) open(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.lockDir(ctx); err != nil {
		return err
	}
	if err := checkFormat(s.lock); err != nil {
		return err
	}
	opt := s.options.badger(s.dir)
	if err := checkFiles(s.dir, opt); err != nil {
		return err
	}
	if err := s.checkSpace(nil); err != nil {
		return err
	}
	var db *badger.DB
	err := s.guard(func() (err error) {
		if db, err = badger.Open(opt); err != nil {
			db = nil // it may return half of one
			return fmt.Errorf("%w: %w; %s", ErrDamaged, err, advice)
		}
		return s.recover(db)
	})
	if err != nil {
		if db != nil && s.hasFailed() == nil {
			err = errors.Join(err, db.Close())
		}
		return err
	}
	s.mu.Lock()
	s.db = db
	s.mu.Unlock()
	s.startGC(db)
	return nil
}

// lockDir opens the file FORMAT, and tries to lock it until it can.
func (s *Store) lockDir(ctx context.Context) (err error) {
	if s.lock, err = openFormat(s.dir); err != nil {
		return err
	}
	giveUp := time.NewTimer(s.options.lockTimeout)
	defer giveUp.Stop()
	const lockRetry = 20 * time.Millisecond
	for {
		locked, err := tryLock(s.lock)
		if locked || err != nil {
			return err
		}
		select {
		case <-time.After(lockRetry):
		case <-giveUp.C:
			return fmt.Errorf("%w, waited %v", ErrLocked, max(s.options.lockTimeout, 0))
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrLocked, ctx.Err())
		}
	}
}

// recover compares what the database has with what was told to callers, and ends what a crash has interrupted.
func (s *Store) recover(db *badger.DB) (err error) {
	if s.commits, err = os.OpenFile(filepath.Join(s.dir, commitsFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	returned, err := readCommits(s.commits)
	if err != nil && !s.options.acceptLoss {
		return err
	}
	if s.last, s.replay, err = readState(db); err != nil {
		return err
	}
	if s.replay {
		if err := s.applyJournal(db); err != nil {
			return err
		}
		s.last++
	}
	if s.last < returned && !s.options.acceptLoss {
		return fmt.Errorf("%w: %d of %d commits are missing; %s, or go on without them by WithAcceptLoss",
			ErrDamaged, returned-s.last, returned, advice)
	}
	w := newWriter(db, true)
	defer w.discard()
	if err := w.removeAll(prefixJournal); err != nil {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	_, err = s.commits.WriteAt(commitsRecord(s.last), 0)
	return err
}

// readState returns the number of the last Commit, and whether there is a complete journal.
func readState(db *badger.DB) (last uint64, replay bool, err error) {
	err = db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(keyMarker)
		if replay = err == nil; !replay && !errors.Is(err, badger.ErrKeyNotFound) {
			return err
		}
		item, err := txn.Get(keyCommits)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(sealed []byte) error {
			value, err := unseal(keyCommits, sealed)
			if err == nil && len(value) == 8 {
				last = binary.BigEndian.Uint64(value)
			}
			return err
		})
	})
	return last, replay, err
}

// Close implements shoal.Storage. It waits for calls that are under way. Closing twice is fine.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer s.endTurn()
	if s.stop != nil {
		s.stop()
		<-s.gcEnded
		s.stop = nil
	}
	s.mu.Lock()
	db := s.db
	s.db, s.closed = nil, true
	s.mu.Unlock()
	var err error
	if db != nil && s.hasFailed() == nil { // a failed database could wait for itself; its files go with the process
		err = s.guard(db.Close)
	}
	return s.wrap("close", errors.Join(err, s.release()))
}

// release closes the files of this package.
func (s *Store) release() (err error) {
	for _, f := range []**os.File{&s.commits, &s.lock} {
		if *f != nil {
			err = errors.Join(err, (*f).Close())
			*f = nil
		}
	}
	return err
}

var _ interface {
	shoal.Storage
	shoal.Opener
} = (*Store)(nil)
