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
// cost of a message falls as the load rises. It is the journal of a broker that is alone, and what commonLog is made of.
//
// While the store fails (storehealth.go), changes gather, and are tried again until they are committed, so that the store catches up with the sessions
// when it recovers. What gathers is bounded: what later changes make void goes (compact.go), and what would have to be kept is refused
// (refusal.go).
type storeLog struct {
	// put commits units. It returns what is to be done before those who wait for them are told, nil for what settle does.
	put func(ctx context.Context, units []storeUnit) (then func(wait *acceptance), err error)
	// settle makes those who wait, wait for what has been committed before as well. It may be nil.
	settle func(wait *acceptance)
	limit  time.Duration // for one commit
	log    *slog.Logger
	health storeHealth

	mu      sync.Mutex
	units   []storeUnit
	flying  int       // of units, those that are being committed
	began   time.Time // when that began
	bytes   int       // of units
	entered int       // that are about to become units; see enter
	compact int       // what bytes was when they were compacted last
	last    uint64
	waiters []storeWaiter
	// settling is set from when units are committed until it is known what else those who wait for them wait for.
	settling bool
	// unsettled reports whether there is something to wait for besides units. It is called with mu held.
	unsettled func() bool
	room      chan struct{} // closed when bytes falls; nil when nobody waits
	wake      chan struct{}
}

// storeUnit is what is committed together.
type storeUnit struct {
	number uint64
	space  string // that all ops are for, with the fence; "" without one, where they may be for several
	fence  Fence
	ops    []Op
	note   []byte // what is to be agreed once it is committed, nil for nothing; see commonnotes.go
	bytes  int
}

// storeWaiter waits for all units up to a number.
type storeWaiter struct {
	upTo uint64
	a    *acceptance
	// patient: it waits for as long as the store fails.
	patient bool
}

const (
	// journalHigh is from how many bytes on a journal takes no more.
	journalHigh = 64 << 20
	// enteredHigh is how much the program may have in hand while what would have to be kept is refused.
	enteredHigh = 16 << 20
	// storeChunk is about how much is committed at once, in bytes.
	storeChunk = 8 << 20
	// ownStoreLimit is how long one commit to a broker's own store may take.
	ownStoreLimit = 30 * time.Second
	// hangLimit is how long a commit may go on when its time is over.
	hangLimit = time.Second
)

// newStoreLog makes the journal of a broker that is alone.
func newStoreLog(s Storage, log *slog.Logger) *storeLog {
	j := new(storeLog)
	j.init(log, ownStoreLimit, 0)
	j.put = func(ctx context.Context, units []storeUnit) (func(*acceptance), error) {
		ops := units[0].ops
		for i := range units[1:] {
			ops = append(ops[:len(ops):len(ops)], units[i+1].ops...)
		}
		return nil, s.Commit(ctx, ops)
	}
	return j
}

func (j *storeLog) init(log *slog.Logger, limit, patience time.Duration) {
	j.log, j.limit, j.wake, j.unsettled = log, limit, make(chan struct{}, 1), func() bool { return false }
	j.health.log, j.health.patience = log, patience
}

// write adds changes, in order. It never blocks, and keeps the slices in ops.
func (j *storeLog) write(ops ...Op) {
	size := sizeOf(ops)
	j.mu.Lock()
	if n := len(j.units); n > j.flying && j.units[n-1].space == "" && j.units[n-1].bytes < storeChunk {
		u := &j.units[n-1]
		j.last++
		u.number = j.last
		u.ops = append(u.ops, ops...)
		u.bytes += size
		j.grow(size)
	} else {
		j.add(storeUnit{ops: append([]Op(nil), ops...), bytes: size})
	}
	j.mu.Unlock()
	j.signal()
}

// add adds a unit. The caller holds mu.
func (j *storeLog) add(u storeUnit) {
	j.last++
	u.number = j.last
	j.units = append(j.units, u)
	j.grow(u.bytes)
}

// grow is called with mu held.
func (j *storeLog) grow(size int) {
	if j.bytes += size; j.bytes >= journalHigh {
		j.health.refuse()
	}
}

func sizeOf(ops []Op) (size int) {
	for i := range ops {
		size += opCost + len(ops[i].Space) + len(ops[i].Key) + len(ops[i].Value)
	}
	return size
}

// opCost is what an Op takes in memory besides its bytes.
const opCost = 64

// full reports whether the store fails and nothing more can be kept for it.
func (j *storeLog) full() bool {
	if !j.health.fails() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes >= journalHigh
}

// await makes a wait until everything written so far is durable.
func (j *storeLog) await(a *acceptance) { j.awaitAll(a, false) }

// awaitPatient is await for what waits for as long as the store fails.
func (j *storeLog) awaitPatient(a *acceptance) { j.awaitAll(a, true) }

func (j *storeLog) awaitAll(a *acceptance, patient bool) {
	j.mu.Lock()
	nothing := len(j.units) == 0 && !j.settling && !j.unsettled()
	j.mu.Unlock()
	if !nothing {
		a.add()
		j.wait(a, patient)
	}
}

// flush returns when everything written so far is durable.
func (j *storeLog) flush(ctx context.Context) error { return flush(ctx, j.await) }

// enqueue has one of a's counts given back, on another goroutine, when everything written so far is durable.
func (j *storeLog) enqueue(a *acceptance) { j.wait(a, false) }

// enqueuePatient is enqueue for what waits until the store works again, however long that takes, or the broker ends.
func (j *storeLog) enqueuePatient(a *acceptance) { j.wait(a, true) }

func (j *storeLog) wait(a *acceptance, patient bool) {
	j.mu.Lock()
	j.waiters = append(j.waiters, storeWaiter{j.last, a, patient})
	j.mu.Unlock()
	j.signal()
}

// refuses reports whether what would have to be kept is to be refused at present.
func (j *storeLog) refuses() bool { return j.health.refuses() }

// admit returns when the journal has room, or ctx ended. While the store fails nobody is held up, since what would have to be kept is refused.
func (j *storeLog) admit(ctx context.Context) { _ = j.enter(ctx, 0) }

// enter takes room in the journal, until giveBack.
func (j *storeLog) enter(ctx context.Context, bytes int) error {
	for {
		j.mu.Lock()
		if j.bytes+j.entered < journalHigh || (j.refuses() && j.entered < enteredHigh) {
			j.entered += bytes
			j.mu.Unlock()
			return nil
		}
		if j.room == nil {
			j.room = make(chan struct{})
		}
		room := j.room
		j.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// giveBack gives back what enter took: it is among the units by now, or not to be.
func (j *storeLog) giveBack(bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entered -= bytes
	j.makeRoom()
}

func (j *storeLog) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run commits until ctx ends, then once more what is left.
func (j *storeLog) run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-j.wake:
			if j.health.fails() { // whoever writes is no reason to try more often
				if j.refuses() {
					finishAll(j.takeWaiters(false), packets.ImplementationSpecificError)
				}
				continue
			}
		case <-retry.C:
		case <-ctx.Done():
			for j.commit(ctx) {
			}
			j.abandon()
			return
		}
		for j.commit(ctx) {
		}
		if j.health.fails() {
			j.mu.Lock()
			pause := j.health.pause
			j.mu.Unlock()
			retry.Reset(pause)
		}
	}
}

// abandon ends all waits at the end of the broker.
func (j *storeLog) abandon() {
	j.mu.Lock()
	j.health.stop()
	j.mu.Unlock()
	finishAll(j.takeWaiters(true), packets.ServerShuttingDown)
}

// takeWaiters takes those who wait off the list, the patient ones only if that is asked for.
func (j *storeLog) takeWaiters(patient bool) (taken []storeWaiter) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var left []storeWaiter
	for _, w := range j.waiters {
		if w.patient && !patient {
			left = append(left, w)
		} else {
			taken = append(taken, w)
		}
	}
	j.waiters = left
	return taken
}

func finishAll(waiters []storeWaiter, code packets.ReasonCode) {
	for _, w := range waiters {
		w.a.finish(code)
	}
}

// take returns what is to be committed next. It stays among the units until it is.
func (j *storeLog) take() []storeUnit {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.health.fails() && j.bytes > 2*j.compact {
		j.units = compacted(j.units)
		j.bytes = 0
		for i := range j.units {
			j.bytes += j.units[i].bytes
		}
		j.compact = j.bytes
	}
	bytes, n := 0, 0
	for n < len(j.units) && bytes < storeChunk {
		bytes += j.units[n].bytes
		n++
	}
	j.flying, j.began = n, time.Now()
	return j.units[:n:n]
}

// commit commits what has gathered, or a part of it. It reports whether there may be more to do at once.
func (j *storeLog) commit(life context.Context) (more bool) {
	units := j.take()
	var then func(*acceptance)
	if len(units) > 0 {
		began := j.began
		hangs := time.AfterFunc(j.limit+hangLimit, func() { j.hangs(began) })
		ctx, cancel := context.WithTimeout(context.WithoutCancel(life), j.limit)
		var err error
		then, err = j.put(ctx, units)
		cancel()
		hangs.Stop()
		if err != nil {
			j.failed(began, err)
			return false
		}
	}
	waiters := j.committed(units)
	wait := newAcceptance()
	wait.then = func(code packets.ReasonCode) { finishAll(waiters, code) }
	if then == nil {
		then = j.settle
	}
	if then != nil {
		then(wait)
	}
	wait.finish(packets.Success)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.settling = false
	return len(j.units) > 0
}

// committed forgets units that were committed, and returns who has waited for them.
func (j *storeLog) committed(units []storeUnit) (done []storeWaiter) {
	tell := func() {}
	j.mu.Lock()
	defer func() { tell() }()
	defer j.mu.Unlock()
	j.flying, j.compact, j.settling = 0, 0, true
	if len(units) > 0 {
		for i := range units {
			j.bytes -= units[i].bytes
		}
		clear(j.units[:len(units)])
		if j.units = j.units[len(units):]; len(j.units) == 0 {
			j.units = nil
		}
		tell = j.health.works()
	}
	j.makeRoom()
	upTo := j.last
	if len(j.units) > 0 {
		upTo = j.units[0].number - 1
	}
	n := 0
	for n < len(j.waiters) && j.waiters[n].upTo <= upTo {
		n++
	}
	done, j.waiters = j.waiters[:n:n], j.waiters[n:]
	return done
}

// makeRoom wakes those who wait for room. The caller holds mu.
func (j *storeLog) makeRoom() {
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
}

// failed notes that the store does not work. Whoever has waited for too long is told so; the changes stay, and are tried again.
func (j *storeLog) failed(began time.Time, err error) {
	j.mu.Lock()
	j.flying = 0
	tell := j.health.failed(began, err, j.expire)
	if errors.Is(err, ErrStorageClosed) || j.bytes >= journalHigh {
		j.health.refuse()
	}
	j.makeRoom()
	j.mu.Unlock()
	tell()
	if j.refuses() {
		finishAll(j.takeWaiters(false), packets.ImplementationSpecificError)
	}
}

// expire ends the patience of those who wait, also while the store is being tried again.
func (j *storeLog) expire() {
	j.mu.Lock()
	fails := j.health.refuse()
	j.makeRoom()
	j.mu.Unlock()
	if fails {
		finishAll(j.takeWaiters(false), packets.ImplementationSpecificError)
	}
}

// hangs notes that a commit goes on and on, though its time is over.
func (j *storeLog) hangs(began time.Time) {
	j.mu.Lock()
	if j.flying == 0 || j.began != began {
		j.mu.Unlock()
		return
	}
	tell := j.health.failed(began, errStoreHangs, j.expire)
	j.health.refuse()
	j.makeRoom()
	j.mu.Unlock()
	tell()
	finishAll(j.takeWaiters(false), packets.ImplementationSpecificError)
}
