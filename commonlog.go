package shoal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// commonLog is the journal of a node whose cluster shares one store. It collects what the node's sessions change, as storeLog does, and commits it in
// groups under each session's Fence, so that what this node writes late, when another has gone on with a session, changes nothing. What is
// stored is in commonsession.go; how a session leaves one node and comes to another, in commonmove.go.
//
// While the store is away, changes gather and publishers wait. When that has lasted for storePatience, or too much has gathered, messages
// for sessions that last are refused, so that what gathers is bounded; everything else goes on. It recovers by itself.
type commonLog struct {
	store FencedStorage
	log   *slog.Logger
	// stale is called with the Spaces that others have gone on with. It calls done once, with the code for those who wait; it may do so later.
	stale func(spaces []staleSpace, done func(packets.ReasonCode))
	// note has it agreed what the store has now, in the order of the calls, and gives back counts of wait; see commonnotes.go.
	note func(notes [][]byte, wait *acceptance)

	mu      sync.Mutex
	units   []commonUnit
	bytes   int // of units, those being committed included
	last    uint64
	waiters []commonWaiter
	noting  *noting       // on its way; nil if there is nothing to be agreed
	room    chan struct{} // closed when bytes falls; nil when nobody waits
	wake    chan struct{}
	since   time.Time   // when the store began to fail; zero while it works
	expiry  *time.Timer // while it fails: ends the patience of those who wait

	failing  atomic.Bool
	refusing atomic.Bool
}

// commonUnit is what goes into one Space together.
type commonUnit struct {
	number uint64
	space  string
	fence  Fence
	ops    []Op
	note   []byte // what is to be agreed once it is committed, nil for nothing
	bytes  int
}

// noting is what is being agreed of one commit, and who waits for that besides the commit's own waiters.
type noting struct{ waits []*acceptance }

// commonWaiter waits for all units up to a number.
type commonWaiter struct {
	upTo uint64
	a    *acceptance
}

// staleSpace is a Space that this node may not write to any more, and with which Fence it tried.
type staleSpace struct {
	space string
	fence Fence
}

const (
	// storePatience is how long messages and CONNECTs wait for a store that has gone away before they are refused.
	storePatience = 5 * time.Second
	// storeRetry is the pause after a commit that failed.
	storeRetry = 200 * time.Millisecond
	// commonChunk is about how much is committed at once, in bytes.
	commonChunk = 8 << 20
)

func newCommonLog(s FencedStorage, log *slog.Logger) *commonLog {
	return &commonLog{store: s, log: log, wake: make(chan struct{}, 1)}
}

// write adds changes of one Space, which are committed together, and what is to be agreed after that. It never blocks. The journal keeps note and ops.
func (j *commonLog) write(space string, fence Fence, note []byte, ops ...Op) {
	u := commonUnit{space: space, fence: fence, ops: ops, note: note, bytes: len(note)}
	for i := range ops {
		u.bytes += len(space) + len(ops[i].Key) + len(ops[i].Value)
	}
	j.mu.Lock()
	j.last++
	u.number = j.last
	j.units = append(j.units, u)
	j.bytes += u.bytes
	if j.bytes >= journalHigh && j.failing.Load() {
		j.refusing.Store(true)
	}
	j.mu.Unlock()
	j.signal()
}

// await makes a wait until everything written so far is durable.
func (j *commonLog) await(a *acceptance) {
	j.mu.Lock()
	nothing := len(j.units) == 0 && j.bytes == 0 && j.noting == nil
	j.mu.Unlock()
	if !nothing {
		a.add()
		j.enqueue(a)
	}
}

// flush returns when everything written so far is durable.
func (j *commonLog) flush(ctx context.Context) error { return flush(ctx, j.await) }

// enqueue has one of a's counts given back, on another goroutine, when everything written so far is durable.
func (j *commonLog) enqueue(a *acceptance) {
	j.mu.Lock()
	j.waiters = append(j.waiters, commonWaiter{j.last, a})
	j.mu.Unlock()
	j.signal()
}

// refuses reports whether messages for sessions that last are to be refused at present.
func (j *commonLog) refuses() bool { return j.refusing.Load() }

// admit returns when the journal has room, or ctx ended. While the store is away nobody is held up, since messages are refused.
func (j *commonLog) admit(ctx context.Context) {
	for {
		j.mu.Lock()
		if j.bytes < journalHigh || j.refusing.Load() {
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

func (j *commonLog) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run commits until ctx ends, then once more what is left.
func (j *commonLog) run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		wake := j.wake
		if j.failing.Load() {
			wake = nil // whoever writes is no reason to try more often
		}
		select {
		case <-wake:
		case <-retry.C:
		case <-ctx.Done():
			for j.commit(ctx) {
			}
			j.abandon()
			return
		}
		for j.commit(ctx) {
		}
		if j.failing.Load() {
			retry.Reset(storeRetry)
		}
	}
}

// abandon ends all waits at the end of the broker.
func (j *commonLog) abandon() {
	j.mu.Lock()
	if j.expiry != nil {
		j.expiry.Stop()
	}
	waiters := j.waiters
	j.waiters = nil
	j.mu.Unlock()
	for _, w := range waiters {
		w.a.finish(packets.ServerShuttingDown)
	}
}

// take returns what is to be committed next. It stays among the units until it is.
func (j *commonLog) take() []commonUnit {
	j.mu.Lock()
	defer j.mu.Unlock()
	bytes, n := 0, 0
	for n < len(j.units) && bytes < commonChunk {
		bytes += j.units[n].bytes
		n++
	}
	return j.units[:n:n]
}

// commit commits what has gathered, or a part of it. It reports whether there may be more to do at once.
func (j *commonLog) commit(life context.Context) bool {
	units := j.take()
	began := time.Now()
	var stale []staleSpace
	var notes [][]byte
	if len(units) > 0 {
		ops, fences := together(units)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(life), storePatience)
		names, err := j.store.CommitFenced(ctx, ops, fences)
		cancel()
		if err != nil {
			j.failed(began, err)
			return false
		}
		for _, name := range names {
			stale = append(stale, staleSpace{name, fences[name]})
			delete(fences, name)
		}
		notes = notesOf(units, fences)
	}
	waiters, more := j.committed(units)
	wait := newAcceptance()
	wait.then = func(code packets.ReasonCode) {
		for _, w := range waiters {
			w.a.finish(code)
		}
	}
	if len(stale) > 0 {
		wait.add()
		j.stale(stale, wait.finish)
	}
	j.agree(notes, wait)
	wait.finish(packets.Success)
	return more
}

// notesOf returns what is to be agreed of units that were committed. What has no Fence was not.
func notesOf(units []commonUnit, fences map[string]Fence) (notes [][]byte) {
	for i := range units {
		if f, committed := fences[units[i].space]; committed && len(units[i].note) > 0 && units[i].fence == f {
			notes = append(notes, units[i].note)
		}
	}
	return notes
}

// agree makes a wait until notes are agreed, and all before them.
func (j *commonLog) agree(notes [][]byte, wait *acceptance) {
	j.mu.Lock()
	if len(notes) == 0 {
		if j.noting != nil {
			wait.add()
			j.noting.waits = append(j.noting.waits, wait)
		}
		j.mu.Unlock()
		return
	}
	mine := new(noting)
	j.noting = mine
	j.mu.Unlock()
	agreed := newAcceptance()
	agreed.then = func(code packets.ReasonCode) {
		j.mu.Lock()
		if j.noting == mine {
			j.noting = nil
		}
		waits := mine.waits
		j.mu.Unlock()
		wait.finish(code)
		for _, w := range waits {
			w.finish(code)
		}
	}
	wait.add()
	j.note(notes, agreed)
	agreed.finish(packets.Success)
}

// together makes one commit of units. What was written to a Space before this node had it the last time is void.
func together(units []commonUnit) ([]Op, map[string]Fence) {
	fences := make(map[string]Fence)
	for i := range units {
		u := &units[i]
		if f, known := fences[u.space]; !known || u.fence.Compare(f) > 0 {
			fences[u.space] = u.fence
		}
	}
	var ops []Op
	for i := range units {
		if u := &units[i]; u.fence == fences[u.space] {
			ops = append(ops, u.ops...)
		}
	}
	return ops, fences
}

// committed forgets units that were committed, and returns who has waited for them.
func (j *commonLog) committed(units []commonUnit) (done []commonWaiter, more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(units) > 0 {
		for i := range units {
			j.bytes -= units[i].bytes
		}
		clear(j.units[:len(units)])
		if j.units = j.units[len(units):]; len(j.units) == 0 {
			j.units = nil
		}
		if j.failing.Load() {
			j.log.Info("storage works again", "failed_for", time.Since(j.since).Round(time.Millisecond))
		}
		if j.expiry != nil {
			j.expiry.Stop()
			j.expiry = nil
		}
		j.since = time.Time{}
		j.failing.Store(false)
		j.refusing.Store(false)
	}
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
	upTo := j.last
	if len(j.units) > 0 {
		upTo = j.units[0].number - 1
	}
	n := 0
	for n < len(j.waiters) && j.waiters[n].upTo <= upTo {
		n++
	}
	done, j.waiters = j.waiters[:n:n], j.waiters[n:]
	return done, len(j.units) > 0
}

// expire ends the patience of those who wait, also while the store is being tried again.
func (j *commonLog) expire() {
	j.mu.Lock()
	if j.since.IsZero() {
		j.mu.Unlock()
		return
	}
	waiters := j.waiters
	j.waiters = nil
	j.refusing.Store(true)
	j.mu.Unlock()
	for _, w := range waiters {
		w.a.finish(packets.ImplementationSpecificError)
	}
}

// failed notes that the store does not work. Whoever has waited for too long is told so; the changes stay, and are tried again.
func (j *commonLog) failed(began time.Time, err error) {
	j.mu.Lock()
	first := j.since.IsZero()
	if first {
		j.since = began
		j.expiry = time.AfterFunc(storePatience-time.Since(began), j.expire)
	}
	j.failing.Store(true)
	var waiters []commonWaiter
	if time.Since(j.since) >= storePatience || errors.Is(err, ErrStorageClosed) {
		waiters, j.waiters = j.waiters, nil
		j.refusing.Store(true)
	}
	j.refusing.Store(j.refusing.Load() || j.bytes >= journalHigh)
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
	j.mu.Unlock()
	if first {
		j.log.Error("storage failed; messages for sessions that last wait, and are refused if it lasts", "error", err)
	}
	for _, w := range waiters {
		w.a.finish(packets.ImplementationSpecificError)
	}
}
