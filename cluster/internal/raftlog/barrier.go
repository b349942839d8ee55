package raftlog

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	// reachedTimeout bounds one question to a node; after it the leader is asked, too.
	reachedTimeout = 300 * time.Millisecond
	reachedPause   = 20 * time.Millisecond
)

// barriers coalesces Barriers: one round is under way, and who comes meanwhile shares the next.
type barriers struct {
	wake chan struct{} // capacity 1

	mu   sync.Mutex
	next chan struct{} // closed when the round that has not begun yet is over
}

// Barrier is Replicator.Barrier.
func (l *Log) Barrier(ctx context.Context) error {
	l.barriers.mu.Lock()
	if l.barriers.next == nil {
		l.barriers.next = make(chan struct{})
		select {
		case l.barriers.wake <- struct{}{}:
		default:
		}
	}
	over := l.barriers.next
	l.barriers.mu.Unlock()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return errClosed
	}
}

// runBarriers runs the rounds.
func (l *Log) runBarriers(ctx context.Context) {
	for {
		select {
		case <-l.barriers.wake:
		case <-ctx.Done():
			return
		}
		l.barriers.mu.Lock()
		over := l.barriers.next
		l.barriers.next = nil
		l.barriers.mu.Unlock()
		if over == nil {
			continue
		}
		l.round(ctx)
		if ctx.Err() != nil {
			return // nobody may take this for a success
		}
		close(over)
	}
}

// round returns once every other node that is up has applied what is applied here now.
func (l *Log) round(ctx context.Context) {
	index := l.fsm.watch.applied.Load()
	members := l.fsm.members()
	var wg sync.WaitGroup
	for _, m := range members {
		if m.node.Name != l.cfg.Self.Name {
			wg.Go(func() { l.awaitNode(ctx, m, index) })
		}
	}
	wg.Wait()
}

// awaitNode returns once a node has applied index, or is not up any more.
func (l *Log) awaitNode(ctx context.Context, m member, index uint64) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		defer cancel()
		l.awaitDown(ctx, m)
	})
	ask := append([]byte{controlVersion, opReached}, binary.AppendUvarint(nil, index)...)
	for ctx.Err() == nil {
		if l.asked(ctx, m, ask) || l.leaderKnows(ctx, m, index) {
			return
		}
		select {
		case <-time.After(reachedPause):
		case <-ctx.Done():
		}
	}
}

func (l *Log) asked(ctx context.Context, m member, ask []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, reachedTimeout)
	defer cancel()
	_, err := l.cfg.Peers.Control(ctx, m.node.Name, ask)
	return err == nil
}

// leaderKnows asks the leader, whom the node tells its applied index with every renewal: the link between that node
// and this one may be cut and both be well.
func (l *Log) leaderKnows(ctx context.Context, m member, index uint64) bool {
	answer, err := l.toLeader(ctx, reachedTimeout, opApplied, appendIncarnation(nil, m.node.Name, m.node.Incarnation))
	if err != nil {
		return false
	}
	applied, _, err := nodecodec.Uvarint(answer)
	return err == nil && applied >= index
}

func (l *Log) awaitDown(ctx context.Context, m member) {
	for {
		now, isUp, _, changed := l.fsm.member(m.node.Name)
		if !isUp || now.node.Incarnation != m.node.Incarnation {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
