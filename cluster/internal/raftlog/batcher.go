package raftlog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shoalmq/shoal"
)

const (
	batchBytes    = 1 << 20
	batchCommands = 4096
	// pendingBytes is how much may wait to be applied; a single command may always.
	pendingBytes = 64 << 20
	// MaxCommand is the largest command. Everything that is bounded in commands is bounded in bytes by it.
	MaxCommand      = 60 << 20
	commandOverhead = 64 // what a waiting command costs besides its bytes
	retryMin        = 10 * time.Millisecond
	retryMax        = 200 * time.Millisecond
)

var (
	errTooLarge = fmt.Errorf("%w: %w: more than %d bytes", shoal.ErrNotReplicated, shoal.ErrCommandTooLarge, MaxCommand)
	errPending  = fmt.Errorf("%w: more than %d bytes of commands wait already", shoal.ErrNotReplicated, pendingBytes)
	errGivenUp  = fmt.Errorf("%w: the cluster has given this node up meanwhile", shoal.ErrNotReplicated)
	errSkipped  = fmt.Errorf("%w: %w: it came in a snapshot", shoal.ErrNotReplicated, shoal.ErrResultUnknown)
	errClosed   = fmt.Errorf("%w: %w", shoal.ErrNotReplicated, shoal.ErrClosed)
)

// proposal is one command and who waits for it.
type proposal struct {
	cmd    []byte
	done   func(any, error)
	stable bool // it is to be on the disks of a majority
}

// batch is the entry that is outstanding.
type batch struct {
	head      batchHead
	proposals []proposal
	entry     []byte
	settled   chan struct{}
}

// batcher turns proposals into entries, one at a time.
type batcher struct {
	level  func() int // of the cluster
	self   string
	submit func(ctx context.Context, entry []byte) error
	// retry returns a channel that closes when a repetition has a better chance, such as at a new leader.
	retry     func() <-chan struct{}
	completer *completer
	log       *slog.Logger
	wake      chan struct{} // capacity 1

	mu          sync.Mutex
	closed      bool
	queue       []proposal
	bytes       int // of queue and current
	incarnation uint64
	seq         uint64 // the last one used in this incarnation
	current     *batch
}

// enqueue takes a command. done is called on the completer's goroutine, or never if there is an error.
func (b *batcher) enqueue(p proposal) error {
	cmd := p.cmd
	cost := len(cmd) + commandOverhead
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return errClosed
	case len(cmd) > MaxCommand:
		return errTooLarge
	case b.bytes > 0 && b.bytes+cost > pendingBytes:
		return errPending
	}
	b.queue = append(b.queue, p)
	b.bytes += cost
	if len(b.queue) == 1 {
		b.poke()
	}
	return nil
}

func (b *batcher) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run submits batches until ctx ends.
func (b *batcher) run(ctx context.Context) {
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		for {
			bt := b.next()
			if bt == nil {
				break
			}
			if !b.settle(ctx, bt) {
				return
			}
		}
	}
}

// next makes the next batch, or returns nil if there is nothing to propose or this node is not up.
func (b *batcher) next() *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.incarnation == 0 || len(b.queue) == 0 || b.current != nil {
		return nil
	}
	n, size := 0, 0
	for n < len(b.queue) && n < batchCommands && (n == 0 || size+len(b.queue[n].cmd) <= batchBytes) {
		size += len(b.queue[n].cmd) + 4
		n++
	}
	bt := &batch{
		head:      batchHead{node: b.self, incarnation: b.incarnation, first: b.seq + 1, count: uint64(n)},
		proposals: b.queue[:n:n],
		settled:   make(chan struct{}),
	}
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	}
	b.seq += uint64(n)
	for _, p := range bt.proposals {
		bt.head.stable = bt.head.stable || p.stable
	}
	bt.head.level = byte(b.level())
	bt.entry = appendBatchHead(make([]byte, 0, size+len(b.self)+64), bt.head)
	for _, p := range bt.proposals {
		bt.entry = appendCommand(bt.entry, p.cmd)
	}
	b.current = bt
	return bt
}

// settle submits a batch until its fate is known here. It returns false if ctx ended first.
func (b *batcher) settle(ctx context.Context, bt *batch) bool {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		retry := b.retry()
		err := b.submitUntil(ctx, retry, bt.entry)
		if err == nil {
			// It is committed: it will come.
			select {
			case <-bt.settled:
				return true
			case <-ctx.Done():
				return false
			}
		}
		b.log.Debug("proposing again", "err", err)
		t := time.NewTimer(pause)
		select {
		case <-bt.settled:
		case <-t.C:
		case <-retry:
			// Not at once: the new leader may not know yet that it is.
			select {
			case <-time.After(retryMin):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		t.Stop()
		select {
		case <-bt.settled:
			return true
		case <-ctx.Done():
			return false
		default:
		}
	}
}

// submitUntil is submit, which ends, with an error, when retry closes: a leader that stands still does not answer, and there is another one.
func (b *batcher) submitUntil(ctx context.Context, retry <-chan struct{}, entry []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-retry:
			cancel()
		case <-ctx.Done():
		}
	}()
	return b.submit(ctx, entry)
}

// applied is called on Apply's goroutine when one of this node's batches was applied, or skipped.
func (b *batcher) applied(h batchHead, results []any, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == nil || b.current.head != h {
		return
	}
	var err error
	if !ok {
		err = errGivenUp
	}
	b.finishCurrent(results, err)
}

// finishCurrent is called with mu held.
func (b *batcher) finishCurrent(results []any, err error) {
	bt := b.current
	b.current = nil
	b.release(bt.proposals)
	b.completer.add(completion{bt.proposals, results, err})
	close(bt.settled)
}

func (b *batcher) release(ps []proposal) {
	for _, p := range ps {
		b.bytes -= len(p.cmd) + commandOverhead
	}
}

// up is called on Apply's goroutine: commands may go out under this incarnation.
func (b *batcher) up(incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.incarnation, b.seq = incarnation, 0
	b.poke()
}

// down is called on Apply's goroutine: what waits was meant for a state that is gone.
func (b *batcher) down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.incarnation = 0
	b.failAll(errGivenUp)
}

// restored is called on Apply's goroutine after a snapshot replaced the state.
func (b *batcher) restored(own *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.incarnation == 0 || b.closed {
		return
	}
	if own != nil && own.node.Incarnation == b.incarnation && b.current != nil && own.seq >= b.current.head.first+b.current.head.count-1 {
		b.finishCurrent(nil, errSkipped)
	}
	b.incarnation = 0
	b.failAll(errGivenUp)
}

// failAll is called with mu held.
func (b *batcher) failAll(err error) {
	if b.current != nil {
		b.finishCurrent(nil, err)
	}
	if len(b.queue) > 0 {
		b.release(b.queue)
		b.completer.add(completion{b.queue, nil, err})
		b.queue = nil
	}
}

func (b *batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.failAll(errClosed)
	}
}

// propose is Replicator.Propose.
func (b *batcher) propose(ctx context.Context, cmd []byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type outcome struct {
		result any
		err    error
	}
	ch := make(chan outcome, 1)
	if err := b.enqueue(proposal{cmd: cmd, done: func(r any, err error) { ch <- outcome{r, err} }}); err != nil {
		return nil, err
	}
	select {
	case o := <-ch:
		return o.result, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// proposeAsync is Replicator.ProposeAsync, and ProposeStable.
func (b *batcher) proposeAsync(p proposal) {
	if p.done == nil {
		p.done = func(any, error) {}
	}
	if err := b.enqueue(p); err != nil {
		b.completer.add(completion{[]proposal{{done: p.done}}, nil, err})
	}
}

// completion is what the waiters of a batch are told.
type completion struct {
	proposals []proposal
	results   []any
	err       error
}

// completer calls the waiters, in order, on one goroutine, so that Apply does not wait for them. What it holds was bounded
// as pending before.
type completer struct {
	wake chan struct{} // capacity 1

	mu    sync.Mutex
	queue []completion
	over  bool
}

func (c *completer) add(cn completion) {
	c.mu.Lock()
	over := c.over
	if !over {
		c.queue = append(c.queue, cn)
	}
	c.mu.Unlock()
	if over {
		go cn.run() // after Close
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (cn completion) run() {
	for i, p := range cn.proposals {
		var r any
		if cn.err == nil {
			r = cn.results[i]
		}
		p.done(r, cn.err)
	}
}

// run calls waiters until ctx ends, and then those that are left.
func (c *completer) run(ctx context.Context) {
	for {
		over := false
		select {
		case <-c.wake:
		case <-ctx.Done():
			over = true
		}
		c.mu.Lock()
		queue := c.queue
		c.queue = nil
		c.over = c.over || over && len(queue) == 0
		over = c.over
		c.mu.Unlock()
		for _, cn := range queue {
			cn.run()
		}
		if over {
			return
		}
	}
}
