package shoal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// localRoutes is what this node has subscribers for, and how far the other nodes know. Changes gather while an earlier announcement
// is under way and go out together, in the order in which they came: a thousand SUBSCRIBEs that arrive at the same time cost one entry of the
// agreed order and one barrier.
type localRoutes struct {
	n *clusterNode

	mu      sync.Mutex
	plain   map[string]int    // subscriptions by filter
	groups  map[string]int    // members by "$share/name/filter"
	queue   []string          // to be announced
	seq     uint64            // of the last in queue; they are numbered as they come
	settled uint64            // everything up to this number is known to all
	changed map[string]uint64 // the number of the last change of a route that is not settled
	done    chan struct{}     // closed, and made anew, when settled grows
	wake    chan struct{}
}

// announcedAtOnce is about how many bytes of routes are announced together: so few that a command may have them, and that whoever came first
// is not kept waiting by all who came after.
const announcedAtOnce = 1 << 20

func (l *localRoutes) init(n *clusterNode) {
	l.n = n
	l.plain, l.groups = make(map[string]int), make(map[string]int)
	l.changed = make(map[string]uint64)
	l.done, l.wake = make(chan struct{}), make(chan struct{}, 1)
}

// add counts a subscription; the caller has put it into the index. remove takes it back.
func (l *localRoutes) add(sub *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.counts(sub)
	m[sub.filter]++
	if sub.shared || m[sub.filter] == 1 {
		l.touch(sub.filter)
	}
}

func (l *localRoutes) remove(sub *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.counts(sub)
	if m[sub.filter]--; m[sub.filter] <= 0 {
		delete(m, sub.filter)
	}
	if sub.shared || m[sub.filter] == 0 {
		l.touch(sub.filter)
	}
}

func (l *localRoutes) counts(sub *subscription) map[string]int {
	if sub.shared {
		return l.groups
	}
	return l.plain
}

// refresh announces a group again: a member came or went.
func (l *localRoutes) refresh(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touch(group)
}

// touch notes that a route must be announced. The caller holds l.mu.
func (l *localRoutes) touch(filter string) {
	if l.changed[filter] > l.seq-uint64(len(l.queue)) {
		return // it is in the queue, and goes out as it is then
	}
	l.seq++
	l.queue = append(l.queue, filter)
	l.changed[filter] = l.seq
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// touchAll announces everything again, after the cluster has forgotten this node.
func (l *localRoutes) touchAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.plain {
		l.touch(f)
	}
	for f := range l.groups {
		l.touch(f)
	}
}

// touchThese announces routes as they are here, whatever the others were told.
func (l *localRoutes) touchThese(filters []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range filters {
		l.touch(f)
	}
}

// settle returns when all nodes know these subscriptions.
func (l *localRoutes) settle(ctx context.Context, subs []*subscription) error {
	var want uint64
	l.mu.Lock()
	for _, sub := range subs {
		if sub != nil {
			want = max(want, l.changed[sub.filter])
		}
	}
	l.mu.Unlock()
	return l.await(ctx, want)
}

// settleAll returns when all nodes know everything there is now.
func (l *localRoutes) settleAll(ctx context.Context) error {
	l.mu.Lock()
	want := l.seq
	l.mu.Unlock()
	return l.await(ctx, want)
}

// await returns when everything up to a number is settled, or with an error when ctx ended or nothing at all was settled for subscribeTimeout.
func (l *localRoutes) await(ctx context.Context, seq uint64) error {
	stalled := time.NewTimer(subscribeTimeout)
	defer stalled.Stop()
	for {
		l.mu.Lock()
		settled, done := l.settled >= seq, l.done
		l.mu.Unlock()
		if settled {
			return nil
		}
		stalled.Reset(subscribeTimeout)
		err := context.DeadlineExceeded
		select {
		case <-done:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-stalled.C:
		}
		return &Error{ReasonCode: packets.ImplementationSpecificError, Reason: "the cluster did not take the subscription in time; try again", Err: errors.Join(ErrNotReplicated, err)}
	}
}

// announce proposes what gathered, waits until every node has it, and begins anew.
func (l *localRoutes) announce() {
	for {
		select {
		case <-l.wake:
		case <-l.n.life.Done():
			return
		}
		for {
			more, err := l.announceOnce()
			if err == nil && !more {
				break
			}
			if err == nil {
				continue
			}
			select {
			case <-time.After(announceAgain):
			case <-l.n.life.Done():
				return
			}
		}
	}
}

// announceAgain is the pause after an announcement that failed, for example while this node is not part of the cluster.
const announceAgain = 100 * time.Millisecond

// announceOnce announces the beginning of the queue, and reports whether there is more.
func (l *localRoutes) announceOnce() (more bool, err error) {
	l.mu.Lock()
	if len(l.queue) == 0 {
		l.mu.Unlock()
		return false, nil
	}
	cmd, n := routesCommand(l.n.adoptions.made()), 0
	for n < len(l.queue) && len(cmd) < announcedAtOnce {
		cmd = l.appendRoute(cmd, l.queue[n])
		n++
	}
	filters := l.queue[:n:n]
	l.queue = l.queue[n:]
	upTo := l.seq - uint64(len(l.queue))
	l.mu.Unlock()

	result, err := l.n.c.Propose(l.n.life, cmd)
	if err == nil {
		err = l.n.c.Barrier(l.n.life)
	}
	if left, _ := result.([]string); len(left) > 0 {
		l.n.wg.Go(func() {
			if l.n.adoptions.await(l.n.life) == nil {
				l.touchThese(left)
			}
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.queue = slices.Concat(filters, l.queue) // those that have changed meanwhile are there twice, which does no harm
		return true, err
	}
	l.settled = upTo
	for _, filter := range filters {
		if l.changed[filter] <= upTo {
			delete(l.changed, filter)
		}
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
	close(l.done)
	l.done = make(chan struct{})
	return len(l.queue) > 0, nil
}

// appendRoute appends the present state of one route. The caller holds l.mu.
func (l *localRoutes) appendRoute(b []byte, filter string) []byte {
	b = codec.AppendString(b, filter)
	if isShare(filter) {
		return l.n.b.groups.get(filter).count().append(b)
	}
	return members{all: min(l.plain[filter], 1)}.append(b)
}

func isShare(filter string) bool { return len(filter) > 7 && filter[:7] == "$share/" }
