package shoal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// replication hands the changes of the sessions that outlive their connections to all nodes, through the agreed order. What changes gathers
// in each session; while one group of changes is on its way, the next one gathers, and a message that was acknowledged meanwhile
// does not travel at all. What a session's changes are, and how they travel, is in changes.go; what the nodes make of them in kept.go.
type replication struct {
	n *clusterNode
	// narrow: the nodes share a store, and the agreed order has of sessions only that they are kept.
	narrow bool

	mu      sync.Mutex
	dirty   []*session // that have changes, in the order of their first
	waiters []*acceptance
	stable  bool          // of waiters, one at least waits for disks
	behind  bool          // something is agreed, or about to be, that the disks of a majority may not have
	parked  []waiting     // for sessions being adopted
	adopts  int           // adoptions under way
	bytes   atomic.Int64  // of messages in changes that are not agreed
	room    chan struct{} // closed when bytes falls; nil when nobody waits
	last    *changeGroup  // on its way; nil if there is none
	idle    chan struct{} // closed, and made anew, when a group has ended
	wake    chan struct{}
}

// changeGroup is what was proposed together.
type changeGroup struct {
	left    int // commands on their way, and 1 while more are coming
	stable  bool
	sent    bool // there are commands
	err     error
	waiters []*acceptance
	changed []*session
	bytes   int
}

// waiting is a wait that has not begun yet.
type waiting struct {
	a *acceptance
	d Durability
}

const (
	// replicationHigh is how many bytes may wait to be agreed before readers stop reading. A Replicator takes twice as much, so that what one
	// reader has in hand finds room.
	replicationHigh = 32 << 20
	// changesChunk is about how large a command with changes is.
	changesChunk = 1 << 20
	// replicationRetry is the pause before changes that were not agreed are proposed anew.
	replicationRetry = time.Second
)

func newReplication(n *clusterNode, narrow bool) *replication {
	return &replication{n: n, narrow: narrow, idle: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// changes returns where a session's changes gather. The caller holds s.mu.
func (r *replication) changes(s *session) *sessionChanges {
	if s.changes == nil {
		s.changes = new(sessionChanges)
		r.mu.Lock()
		r.dirty = append(r.dirty, s)
		r.mu.Unlock()
		r.signal()
	}
	return s.changes
}

func (r *replication) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// await makes a wait until everything that has changed so far is agreed, and, for DurabilityFsync, on the disks of a majority.
func (r *replication) await(a *acceptance, d Durability) {
	if d == DurabilityMemory {
		return
	}
	stable := d == DurabilityFsync
	r.mu.Lock()
	nothing := r.adopts == 0 && len(r.dirty) == 0 && r.last == nil && !(stable && r.behind)
	r.mu.Unlock()
	if !nothing {
		a.add()
		r.enqueue(a, d)
	}
}

// awaitPatient is await: what all nodes keep is kept, or void.
func (r *replication) awaitPatient(a *acceptance, d Durability) { r.await(a, d) }

// enqueue has one of a's counts given back, on another goroutine, when await would end.
func (r *replication) enqueue(a *acceptance, d Durability) {
	stable := d == DurabilityFsync
	r.mu.Lock()
	switch {
	case r.adopts > 0:
		r.parked = append(r.parked, waiting{a, d})
	case len(r.dirty) == 0 && r.last != nil && (r.last.stable || !stable):
		r.last.waiters = append(r.last.waiters, a)
	default:
		r.waiters = append(r.waiters, a)
		r.stable = r.stable || stable
	}
	r.mu.Unlock()
	r.signal()
}

// park makes waits last until unpark: sessions are being adopted, and what comes for them is not among the changes yet.
func (r *replication) park() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopts++
}

func (r *replication) unpark() {
	r.mu.Lock()
	r.adopts--
	var waiters []waiting
	if r.adopts == 0 {
		waiters, r.parked = r.parked, nil
	}
	r.mu.Unlock()
	for _, w := range waiters {
		r.enqueue(w.a, w.d)
	}
}

// admit returns when there is room for more changes, or ctx ended.
func (r *replication) admit(ctx context.Context) { _ = r.enter(ctx, 0) }

// enter takes room for more changes, until giveBack.
func (r *replication) enter(ctx context.Context, bytes int) error {
	for {
		if now := r.bytes.Load(); now < replicationHigh {
			if r.bytes.CompareAndSwap(now, now+int64(bytes)) {
				return nil
			}
			continue
		}
		r.mu.Lock()
		if r.bytes.Load() < replicationHigh {
			r.mu.Unlock()
			continue
		}
		if r.room == nil {
			r.room = make(chan struct{})
		}
		room := r.room
		r.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reserve counts bytes of what is proposed besides changes of sessions against what may wait; giveBack takes it back.
func (r *replication) reserve(bytes int) { r.bytes.Add(int64(bytes)) }

func (r *replication) giveBack(bytes int) {
	r.bytes.Add(-int64(bytes))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
}

// refuses reports that messages are never refused: they wait until there is a leader.
func (r *replication) refuses() bool { return false }

// drop forgets what a session has changed: another node goes on with it. The caller holds s.mu.
func (r *replication) drop(s *session) {
	if s.changes != nil {
		r.bytes.Add(-int64(s.changes.cost))
		s.changes = nil
	}
}

// run proposes changes until ctx ends. What waits then is told so.
func (r *replication) run(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			r.fail()
			return
		}
		r.propose()
		// The next group gathers while this one is on its way.
		r.mu.Lock()
		idle, busy := r.idle, r.last != nil
		r.mu.Unlock()
		if busy {
			select {
			case <-idle:
			case <-ctx.Done():
			}
		}
	}
}

// fail ends all waits at the end of the node.
func (r *replication) fail() {
	r.mu.Lock()
	waiters := slices.Clone(r.waiters)
	for _, w := range r.parked {
		waiters = append(waiters, w.a)
	}
	r.waiters, r.parked = nil, nil
	r.mu.Unlock()
	for _, a := range waiters {
		a.finish(packets.ServerShuttingDown)
	}
}

// propose hands on what has gathered.
func (r *replication) propose() {
	r.mu.Lock()
	if len(r.dirty) == 0 && len(r.waiters) == 0 {
		r.mu.Unlock()
		return
	}
	g := &changeGroup{left: 1, stable: r.stable, waiters: r.waiters, changed: r.dirty}
	r.dirty, r.waiters, r.stable = nil, nil, false
	r.last = g
	behind := r.behind
	r.mu.Unlock()
	enc := &changeEncoder{narrow: r.narrow}
	lost := false // there are changes of sessions that are not this node's any more
	for _, s := range g.changed {
		s.mu.Lock()
		c := s.changes
		s.changes = nil
		if c != nil {
			g.bytes += c.cost
		}
		switch {
		case s.phase == phaseLost:
			lost = true
		case c != nil && s.phase != phaseMoved: // else its home has all of it
			enc.session(s, c)
		}
		if len(enc.buf) >= changesChunk {
			// Under the session's lock, so that what it changes next is proposed next.
			r.send(g, enc.take())
		}
		s.mu.Unlock()
	}
	cmd := enc.take()
	if cmd == nil && g.stable && behind {
		cmd = command(cmdChanges) // of nothing, but it takes to the disks what was agreed before
	}
	if cmd != nil {
		r.send(g, cmd)
	}
	var err error
	if lost {
		err = errLost
	}
	r.done(g, err)
}

// errLost fails changes of sessions that other nodes have since the cluster gave this one up.
var errLost = fmt.Errorf("%w: the cluster has given this node up", ErrNotReplicated)

func (r *replication) send(g *changeGroup, cmd []byte) {
	r.mu.Lock()
	g.left++
	g.sent = true
	r.behind = true
	r.mu.Unlock()
	propose := r.n.c.ProposeAsync
	if g.stable {
		propose = r.n.c.ProposeStable
	}
	propose(cmd, func(_ any, err error) { r.done(g, err) })
}

// done ends one command of a group; with the last one, the group.
func (r *replication) done(g *changeGroup, err error) {
	if errors.Is(err, ErrResultUnknown) {
		err = nil // it was applied
	}
	r.mu.Lock()
	if err != nil {
		g.err = err
	}
	g.left--
	if g.left > 0 {
		r.mu.Unlock()
		return
	}
	waiters := g.waiters
	g.waiters = nil
	if r.last == g {
		r.last = nil
	}
	if g.sent && g.stable && g.err == nil {
		r.behind = false
	}
	r.bytes.Add(-int64(g.bytes))
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
	close(r.idle)
	r.idle = make(chan struct{})
	again := len(r.dirty) > 0 || len(r.waiters) > 0
	r.mu.Unlock()
	code := packets.Success
	if g.err != nil {
		code = packets.ImplementationSpecificError
		if errors.Is(g.err, ErrClosed) {
			code = packets.ServerShuttingDown
		}
		r.again(g)
	}
	for _, a := range waiters {
		a.finish(code)
	}
	if again {
		r.signal()
	}
}

// again sees to sessions whose changes were not agreed: all of what they are is proposed after a while. If that is because the cluster has
// given this node up, they are none of its own by then.
func (r *replication) again(g *changeGroup) {
	if errors.Is(g.err, ErrClosed) || r.n.life.Err() != nil {
		return
	}
	r.n.b.log.Warn("changes of sessions were not agreed by the cluster; they are proposed again", "sessions", len(g.changed), "error", g.err)
	time.AfterFunc(replicationRetry, func() {
		for _, s := range g.changed {
			s.mu.Lock()
			if s.durable && s.phase.lives() && r.n.life.Err() == nil {
				r.whole(s)
			}
			s.mu.Unlock()
		}
	})
}
