package shoal

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Sessions of lost nodes (guarantee 5). When the cluster gives a node up, its heirs, nodes that live, take over the sessions that are kept, each a
// part of them (inheritance.go); a node that comes back after a restart is its own heir. In one step of the agreed order the sessions and their routes
// become the heirs'. From there on messages come to an heir, which may not have made its sessions yet:
//
//   - from other nodes: they say which step they had taken when they sent them, and the heir accepts nothing before it has taken that
//     step, too, and made the sessions it was given in it;
//   - from publishers of its own: the inherited routes lead to it, and it holds those messages until the sessions are there.
//
// What a node had sent to the lost one, and the lost one had not accepted, goes to all its heirs, for the adopted sessions alone, in front of
// everything that is sent there later (peerqueue.go). A message that comes both ways is known by its ID.

// inherited is one session that this node is to go on with. kept is shared.
type inherited struct {
	id    string
	kept  *keptSession
	owner owner
	// doubtful: its client was connected when its node was lost.
	doubtful bool
}

// adoption is one step: sessions to adopt, or, when the cluster has given this node up, all sessions to let go.
type adoption struct {
	index    uint64
	lost     string
	discard  bool
	sessions []inherited
	filters  []string // routes that this node may have inherited with them
	// begun is closed when the routes lead here; nil if they do already.
	begun chan struct{}
}

// adoptions carries out the steps one after another.
type adoptions struct {
	n *clusterNode
	// taken is the last step this node has heard of, done the last up to which all are carried out. begun is that which it is taking, or has taken last: what
	// was sent before a step had begun was routed before it.
	taken, done, begun atomic.Uint64

	mu    sync.Mutex
	queue []*adoption
	busy  bool
	// making is the step of which the sessions are being made, 0 if they have been.
	making uint64
	// ending is set while what is held is delivered after the last step: then nothing is waited for any more.
	ending bool
	held   []heldMessage
	idle   chan struct{} // closed, and made anew, when everything is done
	end    chan struct{} // closed when the node leaves the cluster, which waits for those who wait here
	wake   chan struct{}
}

func (q *adoptions) init(n *clusterNode) {
	q.n, q.idle, q.end, q.wake = n, make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
}

// add queues steps that belong together. It is called on Apply's goroutine.
func (q *adoptions) add(steps ...*adoption) {
	q.mu.Lock()
	q.queue = append(q.queue, steps...)
	q.mu.Unlock()
	q.n.b.journal.replication.park()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// reach notes a step of the agreed order, after what it brings has been queued.
func (q *adoptions) reach(index uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun.Store(index)
	q.taken.Store(index)
	if !q.pending() && q.n.up.Load() {
		q.done.Store(index)
		q.stir()
	}
}

// pending is called with q.mu held.
func (q *adoptions) pending() bool { return q.busy || len(q.queue) > 0 }

// stir is called with q.mu held.
func (q *adoptions) stir() {
	close(q.idle)
	q.idle = make(chan struct{})
}

// await returns when this node has made all sessions it was given so far.
func (q *adoptions) await(ctx context.Context) error {
	return q.until(ctx, func() bool { return !q.pending() })
}

// awaitStep returns when this node has taken a step and made the sessions it was given in it.
func (q *adoptions) awaitStep(ctx context.Context, index uint64) error {
	if index <= q.done.Load() {
		return nil
	}
	return q.until(ctx, func() bool { return index <= q.done.Load() })
}

func (q *adoptions) until(ctx context.Context, enough func() bool) error {
	for {
		q.mu.Lock()
		ok, idle := enough(), q.idle
		q.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		case <-q.end:
			return ErrClosed
		}
	}
}

// made returns the last step up to which this node has made all the sessions it was given, though
// what came for them may not have been delivered yet.
func (q *adoptions) made() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.making != 0 {
		return q.making - 1
	}
	for _, a := range q.queue {
		if !a.discard {
			return a.index - 1
		}
	}
	return q.taken.Load()
}

// haveMade notes that the sessions of the present step are made.
func (q *adoptions) haveMade() {
	q.mu.Lock()
	q.making = 0
	q.mu.Unlock()
}

// run carries out the steps until the node stops.
func (q *adoptions) run() {
	for {
		q.mu.Lock()
		var a *adoption
		if len(q.queue) > 0 {
			a, q.queue, q.busy = q.queue[0], q.queue[1:], true
			q.making = a.index
		}
		q.mu.Unlock()
		if a == nil {
			select {
			case <-q.wake:
				continue
			case <-q.n.life.Done():
				q.abandon(packets.ServerShuttingDown)
				return
			}
		}
		if a.discard {
			q.n.discardAll()
			q.abandon(packets.ServerUnavailable) // what waits for sessions here is not to have any more
		} else {
			q.n.adopt(a)
		}
		q.n.b.journal.replication.unpark()
		q.finish()
	}
}

// finish ends a step. If it is the last, it delivers what came between the sessions and this, and what comes meanwhile, behind that.
func (q *adoptions) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ending = true
	for len(q.queue) == 0 && len(q.held) > 0 {
		held := q.held
		q.held = nil
		q.mu.Unlock()
		for _, h := range inOrder(held) {
			q.n.deliverInherited(h)
		}
		q.mu.Lock()
	}
	q.busy, q.ending = false, false
	if !q.pending() && q.n.up.Load() {
		q.done.Store(q.taken.Load())
	}
	q.stir()
}

// adopt makes the sessions of one step.
func (n *clusterNode) adopt(a *adoption) {
	if a.begun != nil {
		<-a.begun
	}
	if n.b.journal.common != nil {
		n.loadInherited(a)
	}
	made := make([]*session, 0, len(a.sessions))
	for i := range a.sessions {
		made = append(made, n.makeInherited(&a.sessions[i]))
	}
	n.adoptions.haveMade()
	if a.lost != n.self.Name {
		// What this node had sent there is held now, in front of what comes from here on.
		_ = n.peer(a.lost).drain(n.life)
	}
	n.routes.touchThese(a.filters)
	n.state.endWaiting(a.index)
	_ = n.gate.pass(n.life)
	for _, h := range n.adoptions.release(a.index) {
		n.deliverInherited(h)
	}
	for _, s := range made {
		s.adoptionEnds()
		if s.expiry == 0 { // it ended with its connection; what it has left of its groups is others' now
			n.wg.Go(s.end)
		}
	}
	if len(made) > 0 {
		n.b.log.Info("sessions adopted", "node", a.lost, "sessions", len(made))
	}
}

// makeInherited makes one session. It collects until its adoption ends.
func (n *clusterNode) makeInherited(in *inherited) *session {
	b := n.b
	if old := b.sessions.get(in.id); old != nil {
		old.abandon() // what the cluster keeps is newer
	}
	s := b.newSession(in.id)
	s.enter(phaseAdopting)
	s.expiry, s.epoch, s.adopted = in.kept.expiry, in.owner.epoch, in.owner.since
	if s.maker = in.owner.maker; !s.maker.known {
		s.maker = in.kept.maker
	}
	s.fence, s.adoptedEarlier = in.owner.fence(), in.owner.earlier
	s.away = b.now()
	if in.kept.away != 0 {
		s.away = time.Unix(in.kept.away, 0)
	}
	// That a client has gone away says nothing where a node that is cut off can have it written down.
	s.doubtful = in.doubtful || in.kept.doubt > 0 || (b.journal.common != nil && b.now().Sub(s.away) < rerouteTime)
	for _, e := range in.kept.entries {
		if e.State != core.Done {
			e.Doubtful = e.Doubtful || (e.State == core.Queued && (in.doubtful || e.Seq <= in.kept.doubt))
			s.core.Resume(e)
			s.inherit(e.Msg.ID)
			s.hadUpTo(&e)
		}
	}
	s.core.Skip(max(in.kept.top, in.kept.noted))
	b.cluster.state.origins.takeUnnoted(in)
	s.noting = b.journal.common != nil && len(in.unnoted()) > 0
	for id := range in.kept.received {
		s.core.ResumeReceived(id)
	}
	for filter, record := range in.kept.subs {
		sub, err := b.readSubscription(codec.NewReader(record))
		if err != nil {
			b.log.Error("a subscription of a lost node's client cannot be read", "client_id", in.id, "topic", filter, "error", err)
		}
		if sub == nil {
			continue
		}
		sub.s = s
		if _, err := s.subscribe(sub); err != nil {
			b.log.Error("a subscription of a lost node's client is refused", "client_id", in.id, "topic", filter, "error", err)
		}
	}
	s.endCatching()
	s.enrol()
	b.sessions.put(s)
	return s
}

// adoptionEnds puts what was on its way to the lost node, and then what has come here since, behind what was kept.
func (s *session) adoptionEnds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enter(phaseHome) {
		return
	}
	s.setDurable(true)
	s.logMeta()
	s.withdrawHandedBack()
	if s.b.journal.common != nil && (s.doubtful || s.noting) {
		s.b.journal.common.writeWhole(s) // with the doubt, and with what was not noted, for whoever inherits it next
	}
	s.noting = false
	for i, list := range [][]collected{s.early, s.collected} {
		for _, e := range list {
			if !s.core.Has(e.Msg.ID) && (i > 0 || !s.passedBy(e.Msg)) {
				s.core.Push(e.Entry)
				s.inherit(e.Msg.ID)
			}
		}
	}
	s.early, s.collected = nil, nil
	if s.conn == nil {
		s.startExpiry(max(0, s.left()))
	}
}

// discardAll lets go of all sessions, after the cluster has given this node up: they are their heirs' now.
func (n *clusterNode) discardAll() {
	for _, s := range n.b.sessions.all() {
		if s.isElsewhere() || n.isStray(s) { // else it has come here since
			s.abandon()
		}
	}
	_ = n.gate.pass(n.life)
	n.state.origins.forgetOwn()
}

// isStray reports whether a session is at home here by itself, and not as all nodes agree: its CONNECT was not accepted.
func (n *clusterNode) isStray(s *session) bool {
	s.mu.Lock()
	arrives := s.phase.arrives()
	s.mu.Unlock()
	return !arrives && !n.state.isHome(n.self.Name, s.clientID)
}

// disown notes that another node is the session's home: nothing that becomes of it here is kept any more. next is phaseMoved or phaseLost.
func (s *session) disown(next phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.enter(next) {
		s.durable = false
	}
}

// abandon ends a session here without a word to anybody: it lives on elsewhere.
func (s *session) abandon() {
	c := s.letGo()
	s.disown(phaseMoved) // unless it is lost
	s.mu.Lock()
	s.b.journal.replication.drop(s)
	if s.will != nil {
		s.will.stop()
	}
	s.mu.Unlock()
	s.moveEnds(packets.ServerUnavailable)
	s.b.cluster.state.origins.forgetSession(s.clientID)
	if c != nil {
		c.kick(kicked{code: packets.ServerUnavailable, reason: "this node was separated from its cluster"})
	}
	s.end()
}
