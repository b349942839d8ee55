package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/shoalmq/shoal"
)

// Store is an ordered key-value store in memory. Make one with New. All methods may be called from any goroutine.
type Store struct {
	mu     sync.Mutex // held while the maps are read or changed, never while a caller's function runs
	closed bool
	spaces map[string]*space
}

// space is sorted when it is scanned, which is seldom, and not when it is written.
type space struct {
	values map[string][]byte // the values are never changed in place
	sorted []string          // the keys in order; nil after one came or went
}

// New returns an empty Store, ready for use.
func New() *Store { return &Store{spaces: make(map[string]*space)} }

// Open implements shoal.Opener. A new Store needs no Open; one that was closed is usable again, with all its entries.
func (s *Store) Open(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: open: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = false
	return nil
}

// Commit implements shoal.Storage. All ops are applied at once, or none when there is an error.
func (s *Store) Commit(ctx context.Context, ops []shoal.Op) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: commit: %w", err)
	}
	for i := range ops {
		if err := ops[i].Check(); err != nil {
			return fmt.Errorf("memory: commit: space %q: %w", ops[i].Space, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("memory: commit: %w", shoal.ErrStorageClosed)
	}
	for i := range ops {
		s.apply(&ops[i])
	}
	return nil
}

func (s *Store) apply(op *shoal.Op) {
	if op.Key == nil {
		delete(s.spaces, op.Space)
		return
	}
	sp := s.spaces[op.Space]
	if sp == nil {
		if op.Value == nil {
			return
		}
		sp = &space{values: make(map[string][]byte)}
		s.spaces[op.Space] = sp
	}
	_, had := sp.values[string(op.Key)]
	if had == (op.Value == nil) { // comes or goes
		sp.sorted = nil
	}
	if op.Value != nil {
		sp.values[string(op.Key)] = append([]byte{}, op.Value...)
		return
	}
	delete(sp.values, string(op.Key))
	if len(sp.values) == 0 {
		delete(s.spaces, op.Space)
	}
}

type entry struct {
	key   string
	value []byte
}

// Scan implements shoal.Storage. It passes the entries as they were when it was called; fn may call any method of s.
func (s *Store) Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error {
	entries, err := s.entries(space, from)
	if err != nil {
		return err
	}
	var buf []byte // one for all, so that a caller who keeps a slice is found out in tests
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("memory: scan %q: %w", space, err)
		}
		entries[i] = entry{}
		buf = append(append(buf[:0], e.key...), e.value...)
		k := len(e.key)
		if err := fn(buf[:k:k], buf[k:]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) entries(name string, from []byte) ([]entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("memory: scan %q: %w", name, shoal.ErrStorageClosed)
	}
	sp := s.spaces[name]
	if sp == nil {
		return nil, nil
	}
	if sp.sorted == nil {
		sp.sorted = make([]string, 0, len(sp.values))
		for key := range sp.values {
			sp.sorted = append(sp.sorted, key)
		}
		slices.Sort(sp.sorted)
	}
	first, _ := slices.BinarySearch(sp.sorted, string(from))
	entries := make([]entry, 0, len(sp.sorted)-first)
	for _, key := range sp.sorted[first:] {
		entries = append(entries, entry{key, sp.values[key]})
	}
	return entries, nil
}

// Close implements shoal.Storage. The entries stay, for Open.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
