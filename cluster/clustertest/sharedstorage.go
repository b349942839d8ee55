package clustertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/shoalmq/shoal"
)

// SharedStorage is a store in memory that all nodes of a Cluster share, as they would a Redis, and that can fail. It outlives the nodes, and the Cluster.
// Make one with NewSharedStorage, and give it to New by WithSharedStorage. All methods may be called from any goroutine.
type SharedStorage struct {
	mu     sync.Mutex
	spaces map[string]map[string][]byte // the values are never changed in place
	marks  map[string]mark
	opened uint64 // how often a node has
	away   error
	full   error                    // of every write
	lost   func() bool              // whether a write that waits is lost with the server; see Crash
	gate   chan struct{}            // closed when everything goes on that waits; nil when nothing does
	gates  map[string]chan struct{} // the same, for the writes of one node
}

// mark is what a Space was written with last.
type mark struct {
	fence shoal.Fence
	call  uint64
}

// NewSharedStorage returns an empty store.
func NewSharedStorage() *SharedStorage {
	return &SharedStorage{spaces: make(map[string]map[string][]byte), marks: make(map[string]mark), gates: make(map[string]chan struct{})}
}

// WithSharedStorage gives all nodes one storage.
func WithSharedStorage(s *SharedStorage) Option { return func(o *options) { o.shared = s } }

// Fail makes every call fail with err from now on, as when nobody listens on the server's port. nil ends that.
func (s *SharedStorage) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.lost = err, nil
}

// FailWrites makes every write fail with err from now on, as when the server has no memory left, while reads go on. nil ends that.
func (s *SharedStorage) FailWrites(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = err
}

// Crash ends the server while it is at work: every call that waits, by Hang or Hold, fails with err at once, a write after it was done, or without, as lost says
// each time it is called; and so does every call from now on, without being done, until Fail(nil). Nobody is told which writes were done.
func (s *SharedStorage) Crash(err error, lost func() bool) {
	s.mu.Lock()
	s.away, s.lost = err, lost
	s.mu.Unlock()
	s.Resume()
}

// Empty removes everything, as FLUSHALL does, or a server that is started again and had kept nothing.
func (s *SharedStorage) Empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.spaces)
	clear(s.marks)
}

// Hang makes every call wait from now on, as when the server stands still, until Resume or the end of its context. A write whose context has ended is
// done nevertheless, later, as by a server that has it in its buffers.
func (s *SharedStorage) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate == nil {
		s.gate = make(chan struct{})
	}
}

// Hold is Hang for the writes of one node, as when its packets are under way for long. They are done at the end of that also if the node was killed meanwhile.
func (s *SharedStorage) Hold(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[node] == nil {
		s.gates[node] = make(chan struct{})
	}
}

// Resume ends Hang and all Holds.
func (s *SharedStorage) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
	for _, gate := range s.gates {
		close(gate)
	}
	clear(s.gates)
}

// Storage returns the store as the node with a name sees it, for a broker that is not made by New. Closing it leaves the data where it is.
func (s *SharedStorage) Storage(node string) shoal.FencedStorage { return s.handle(node) }

func (s *SharedStorage) handle(node string) *sharedHandle {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return &sharedHandle{s: s, node: node, calls: s.opened * callsOfOne}
}

// callsOfOne is more than the calls of one process. Each process numbers its own, beyond those of all that were started earlier, as it does for a real server: two
// that write with the same Fence, which the contract excludes, are not in one order, and the earlier one is refused.
const callsOfOne = 1 << 40

// sharedHandle is the store as one run of a node sees it.
type sharedHandle struct {
	s      *SharedStorage
	node   string
	calls  uint64 // guarded by s.mu, as closed is
	closed bool
}

var _ shoal.FencedStorage = (*sharedHandle)(nil)

// Shared implements shoal.SharedStorage.
func (h *sharedHandle) Shared() bool { return true }

// Close implements shoal.Storage.
func (h *sharedHandle) Close() error {
	h.pull()
	return nil
}

// pull ends everything that the node does, as kill -9 does.
func (h *sharedHandle) pull() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.closed = true
}

// begin returns what a call has to wait for, and the number of it.
func (h *sharedHandle) begin(ctx context.Context, write bool) (gates []chan struct{}, call uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s := h.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h.closed:
		return nil, 0, shoal.ErrStorageClosed
	case s.away != nil:
		return nil, 0, s.away
	case write && s.full != nil:
		return nil, 0, s.full
	}
	if s.gate != nil {
		gates = append(gates, s.gate)
	}
	if gate := s.gates[h.node]; gate != nil && write {
		gates = append(gates, gate)
	}
	h.calls++
	return gates, h.calls, nil
}

// Commit implements shoal.Storage.
func (h *sharedHandle) Commit(ctx context.Context, ops []shoal.Op) error {
	_, err := h.CommitFenced(ctx, ops, nil)
	return err
}

// CommitFenced implements shoal.FencedStorage.
func (h *sharedHandle) CommitFenced(ctx context.Context, ops []shoal.Op, fences map[string]shoal.Fence) ([]string, error) {
	bySpace := make(map[string][]shoal.Op)
	for i := range ops {
		op := &ops[i]
		if err := op.Check(); err != nil {
			return nil, fmt.Errorf("clustertest: commit: space %q: %w", op.Space, err)
		}
		own := shoal.Op{Space: op.Space, Key: slices.Clone(op.Key), Value: slices.Clone(op.Value)}
		bySpace[op.Space] = append(bySpace[op.Space], own)
	}
	for space := range fences {
		if bySpace[space] == nil {
			bySpace[space] = []shoal.Op{}
		}
	}
	fences = maps.Clone(fences)
	gates, call, err := h.begin(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("clustertest: commit: %w", err)
	}
	if len(gates) == 0 {
		return h.s.apply(bySpace, fences, call)
	}
	type outcome struct {
		stale []string
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		for _, gate := range gates {
			<-gate
		}
		stale, err := h.s.applyLate(bySpace, fences, call)
		done <- outcome{stale, err}
	}()
	select {
	case o := <-done:
		return o.stale, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("clustertest: commit: %w", ctx.Err())
	}
}

// applyLate is apply for a write that had to wait: the server may have crashed meanwhile.
func (s *SharedStorage) applyLate(bySpace map[string][]shoal.Op, fences map[string]shoal.Fence, call uint64) (stale []string, err error) {
	s.mu.Lock()
	away, lost := s.away, s.lost != nil && s.away != nil && s.lost()
	s.mu.Unlock()
	if lost {
		return nil, fmt.Errorf("clustertest: commit: %w", away)
	}
	stale, err = s.apply(bySpace, fences, call)
	if away != nil {
		return nil, fmt.Errorf("clustertest: commit: %w", away)
	}
	return stale, err
}

func (s *SharedStorage) apply(bySpace map[string][]shoal.Op, fences map[string]shoal.Fence, call uint64) (stale []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for space, ops := range bySpace {
		if f, fenced := fences[space]; fenced {
			last := s.marks[space]
			switch c := f.Compare(last.fence); {
			case c < 0:
				stale = append(stale, space)
				continue
			case c == 0 && call < last.call:
				err = fmt.Errorf("clustertest: commit: space %q: overtaken by a later call", space)
				continue
			}
			s.marks[space] = mark{f, call}
		}
		for i := range ops {
			s.applyOne(&ops[i])
		}
	}
	return stale, err
}

func (s *SharedStorage) applyOne(op *shoal.Op) {
	entries := s.spaces[op.Space]
	switch {
	case op.Key == nil:
		delete(s.spaces, op.Space)
		return
	case op.Value == nil:
		delete(entries, string(op.Key))
		if len(entries) == 0 {
			delete(s.spaces, op.Space)
		}
		return
	case entries == nil:
		entries = make(map[string][]byte)
		s.spaces[op.Space] = entries
	}
	entries[string(op.Key)] = op.Value
}

// read waits until the store answers, and calls fn with it locked.
func (h *sharedHandle) read(ctx context.Context, fn func()) error {
	gates, _, err := h.begin(ctx, false)
	if err != nil {
		return err
	}
	for _, gate := range gates {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if len(gates) > 0 && h.s.away != nil {
		return h.s.away
	}
	fn()
	return nil
}

// Scan implements shoal.Storage. It passes the entries as they were when it was called.
func (h *sharedHandle) Scan(ctx context.Context, space string, from []byte, fn func(key, value []byte) error) error {
	var entries map[string][]byte
	if err := h.read(ctx, func() { entries = maps.Clone(h.s.spaces[space]) }); err != nil {
		return fmt.Errorf("clustertest: scan %q: %w", space, err)
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if key < string(from) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("clustertest: scan %q: %w", space, err)
		}
		if err := fn([]byte(key), slices.Clone(entries[key])); err != nil {
			return err
		}
	}
	return nil
}

// Spaces implements shoal.FencedStorage.
func (h *sharedHandle) Spaces(ctx context.Context, prefix string, fn func(space string) error) error {
	var names []string
	if err := h.read(ctx, func() { names = slices.Sorted(maps.Keys(h.s.spaces)) }); err != nil {
		return fmt.Errorf("clustertest: spaces: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			if err := fn(name); err != nil {
				return err
			}
		}
	}
	return nil
}
