package shoal

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// The wills of a broker that is alone and has a Storage are in it, from the CONNECT until they are published or void, also those of sessions that end with
// their connections: after a crash, whose connections it ended, they are published, after their delay, unless their clients come back before. A will is
// published before it is removed from the store: a crash in between has it published again.
//
//	Space "wills"  key number → ClientID, when it is due, the will

const spaceWills = "wills"

// storedWills are the wills of a broker that are in its Storage.
type storedWills struct {
	mu     sync.Mutex
	last   uint64             // number
	due    map[*will]struct{} // those that a timer, or a try to come, is to publish
	closed bool
	// orphans were due when the broker started.
	orphans []*will
}

func willNumber(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// op returns what puts the will into the store; due is when it is to be published, in Unix nanoseconds, 0 while its connection is there. The caller holds w.mu.
func (w *will) op(due int64) Op {
	v := codec.AppendUint(codec.AppendString(newRecord(), w.client.ClientID), uint64(due))
	return Op{Space: spaceWills, Key: willNumber(w.stored), Value: codec.AppendBytes(v, encodeWill(w, neverExpires))}
}

// keepWill has a will in the store before its CONNECT is answered. While the store fails nobody waits for that: a will is kept as soon as the store works, and
// not at all if too much waits for it.
func (b *Broker) keepWill(ctx context.Context, w *will, d Durability) {
	if w == nil || b.journal == nil || b.journal.own == nil || b.journal.own.full() {
		return
	}
	b.wills.mu.Lock()
	b.wills.last++
	number := b.wills.last
	b.wills.mu.Unlock()
	w.mu.Lock()
	w.stored = number
	b.journal.own.write(w.op(0))
	w.mu.Unlock()
	if !b.journal.own.health.fails() {
		_ = b.journal.flush(ctx, d) // see above
	}
}

// keepAnew writes the will again that has changed. The caller holds w.mu.
func (w *will) keepAnew(due int64) {
	if w.stored != 0 && !w.done {
		w.b.journal.own.write(w.op(due))
	}
}

// withdraw removes from the store a will that was published, or is void.
func (w *will) withdraw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stored == 0 {
		return
	}
	w.b.journal.own.write(Op{Space: spaceWills, Key: willNumber(w.stored)})
	w.b.wills.forget(w)
	w.stored = 0
}

func (l *storedWills) forget(w *will) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.due, w)
}

// publishAfter publishes a will of the store after a while, unless the broker ends before.
func (w *will) publishAfter(d time.Duration, publish func()) {
	l := &w.b.wills
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.due == nil {
		l.due = make(map[*will]struct{})
	}
	l.due[w] = struct{}{}
	w.timer = time.AfterFunc(d, publish)
}

// stop keeps the wills that wait from being published, at the end of the broker. They are in the store.
func (l *storedWills) stop() {
	l.mu.Lock()
	l.closed = true
	var list []*will
	for w := range l.due {
		list = append(list, w)
	}
	l.due = nil
	l.mu.Unlock()
	for _, w := range list {
		w.stop()
	}
}

// tryAgain publishes a will later that was refused, because the store fails.
func (w *will) tryAgain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pause = min(max(2*w.pause, willPause), willPauseMost)
	w.publishAfter(w.pause, w.publishNow)
}

// accepted withdraws a will that was published, once the store has everything that was written for it.
func (w *will) accepted(code packets.ReasonCode) {
	w.mu.Lock()
	stored := w.stored != 0
	w.mu.Unlock()
	switch {
	case !stored:
		w.b.wills.forget(w)
	case !code.IsError():
		w.withdraw()
	default: // it was routed when the store began to fail, and will be kept
		a := newAcceptance()
		a.then = func(code packets.ReasonCode) {
			if !code.IsError() { // else the broker ends, and the will is published again
				w.withdraw()
			}
		}
		w.b.journal.own.enqueuePatient(a)
	}
}

// restoreWills reads the wills from the store. The crash has ended their connections now, as far as they had not ended before.
func (b *Broker) restoreWills(ctx context.Context) error {
	var list []*will
	var dues []time.Time
	now := b.now()
	err := b.cfg.storage.Scan(ctx, spaceWills, nil, func(key, value []byte) error {
		if len(key) != 8 {
			return fmt.Errorf("%w: key %q", codec.ErrMalformed, key)
		}
		r, err := openRecord(value)
		if err != nil {
			return err
		}
		id, due := r.String(), int64(r.Uint())
		record := slices.Clone(r.Bytes())
		if r.Err() != nil {
			return r.Err()
		}
		m, delay, principal, err := decodeWill(record)
		if err != nil {
			return err
		}
		m.Publisher = id
		w := &will{b: b, client: ClientInfo{ClientID: id, Principal: &Principal{Name: principal}}, message: m, delay: delay, stored: binary.BigEndian.Uint64(key)}
		at := now.Add(delay)
		if stored := time.Unix(0, due); due != 0 && stored.Before(at) { // a clock that was put back prolongs nothing
			at = stored
		}
		list, dues = append(list, w), append(dues, at)
		b.wills.last = w.stored
		return nil
	})
	if err != nil {
		return err
	}
	newest := make(map[string]*will)
	for _, w := range list {
		newest[w.client.ClientID] = w
	}
	for i, w := range list {
		if s := b.sessions.get(w.client.ClientID); s == nil || newest[w.client.ClientID] != w || !s.inheritsWill(w, dues[i]) {
			b.wills.orphans = append(b.wills.orphans, w)
		}
	}
	return nil
}

// inheritsWill has a session that was restored wait with its will until that is due. It reports false if it is now, or the session is over.
func (s *session) inheritsWill(w *will, due time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := due.Sub(s.b.now())
	if s.phase == phaseOver || left <= 0 {
		return false
	}
	s.will = w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keepAnew(due.UnixNano())
	w.publishAfter(left, w.publish)
	return true
}

// publishRestored publishes the wills that were due when the broker started.
func (b *Broker) publishRestored() {
	list := b.wills.orphans
	b.wills.orphans = nil
	for _, w := range list {
		w.publish()
	}
}
