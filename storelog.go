package shoal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// storeLog collects the changes of all sessions and commits them in groups: while one group is written, the next one gathers, so that the
// cost of a message falls as the load rises.
type storeLog struct {
	store Storage
	log   *slog.Logger

	mu      sync.Mutex
	ops     []Op
	bytes   int
	waiters []*acceptance
	room    chan struct{} // closed when bytes falls; nil when nobody waits
	wake    chan struct{}
}

const journalHigh = 64 << 20

func newStoreLog(s Storage, log *slog.Logger) *storeLog {
	return &storeLog{store: s, log: log, wake: make(chan struct{}, 1)}
}

// write adds changes, in order, to the group that is gathering. It never blocks. The journal keeps ops' slices.
func (j *storeLog) write(ops ...Op) {
	j.mu.Lock()
	j.ops = append(j.ops, ops...)
	for i := range ops {
		j.bytes += len(ops[i].Space) + len(ops[i].Key) + len(ops[i].Value)
	}
	j.mu.Unlock()
	j.signal()
}

// await makes a wait until everything written so far is durable.
func (j *storeLog) await(a *acceptance) {
	j.mu.Lock()
	nothing := len(j.ops) == 0 && j.bytes == 0
	j.mu.Unlock()
	if !nothing {
		a.add()
		j.enqueue(a)
	}
}

// enqueue has one of a's counts given back, on the journal's goroutine, when everything written so far is durable.
func (j *storeLog) enqueue(a *acceptance) {
	j.mu.Lock()
	j.waiters = append(j.waiters, a)
	j.mu.Unlock()
	j.signal()
}

// admit returns when the journal has room, or ctx ended.
func (j *storeLog) admit(ctx context.Context) {
	for {
		j.mu.Lock()
		if j.bytes < journalHigh {
			j.mu.Unlock()
			return
		}
		if j.room == nil {
			j.room = make(chan struct{})
		}
		room := j.room
		j.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
	}
}

func (j *storeLog) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run commits until ctx ends, then once more what is left.
func (j *storeLog) run(ctx context.Context) {
	for {
		select {
		case <-j.wake:
			j.commit()
		case <-ctx.Done():
			j.commit()
			return
		}
	}
}

// commit writes the gathered group. If that fails, whoever waits is told, and the changes are tried again with the
// next group, so that the store catches up with the sessions when it recovers.
func (j *storeLog) commit() {
	j.mu.Lock()
	ops, waiters, bytes := j.ops, j.waiters, j.bytes
	j.ops, j.waiters = nil, nil
	j.mu.Unlock()
	code := packets.Success
	if len(ops) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err := j.store.Commit(ctx, ops)
		cancel()
		if err != nil {
			code = packets.ImplementationSpecificError
			j.log.Error("storage failed; unacknowledged messages are refused until it recovers", "error", err)
			if !errors.Is(err, ErrStorageClosed) {
				j.retry(ops)
				bytes = 0
			}
		}
	}
	j.mu.Lock()
	j.bytes -= bytes
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
	j.mu.Unlock()
	for _, w := range waiters {
		w.finish(code)
	}
}

func (j *storeLog) retry(ops []Op) {
	j.mu.Lock()
	j.ops = append(ops, j.ops...)
	j.mu.Unlock()
	time.AfterFunc(time.Second, j.signal)
}
