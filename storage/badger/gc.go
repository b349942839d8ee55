package badger

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// startGC starts the goroutine that rewrites value logs; Close stops it and waits.
func (s *Store) startGC(db *badger.DB) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.gcEnded = stop, make(chan struct{})
	go func() {
		defer close(s.gcEnded)
		tick := time.NewTicker(s.options.gcInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.collect(ctx, db)
			}
		}
	}()
}

// collect rewrites value logs of which half is garbage, one after another, until there is none.
func (s *Store) collect(ctx context.Context, db *badger.DB) {
	const garbage = 0.5
	for ctx.Err() == nil {
		err := s.guard(func() error { return db.RunValueLogGC(garbage) })
		if err == nil {
			continue
		}
		if !errors.Is(err, badger.ErrNoRewrite) && !errors.Is(err, badger.ErrRejected) {
			s.options.logger.Warn("value log not collected", "error", err)
		}
		return
	}
}
