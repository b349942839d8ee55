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

// Sessions of lost nodes (guarantee 5). When the cluster gives a node up, its heir, a node that lives, takes over the sessions that are kept;
// a node that comes back after a restart is its own heir. In one step of the agreed order the sessions and all routes of the lost node become
// the heir's. From there on messages come to the heir, which may not have made the sessions yet:
//
//   - from other nodes: they say which step they had taken when they sent them, and the heir accepts nothing before it has taken that
//     step, too, and made the sessions it was given in it;
//   - from publishers of its own: the inherited routes lead to it, and it holds those messages until the sessions are there.
//
// What a node had sent to the lost one, and the lost one had not accepted, goes to the heir, for the adopted sessions alone, in front of
// everything that is sent there later (peerqueue.go). A message that comes both ways is known by its ID.

// inherited is one session that this node is to go on with. kept is shared.
type inherited struct {
	id    string
	kept  *keptSession
	owner owner
}

// adoption is one step: sessions to adopt, or, when the cluster has given this node up, all sessions to let go.
type adoption struct {
	index    uint64
	lost     string
	discard  bool
	sessions []inherited
}

// adoptions carries out the steps one after another.
type adoptions struct {
	n *clusterNode
	// taken is the last step this node has heard of, done the last up to which all are carried out.
	taken, done atomic.Uint64

	mu    sync.Mutex
	queue []*adoption
	busy  bool
	held  []heldMessage
	idle  chan struct{} // closed, and made anew, when everything is done
	end   chan struct{} // closed when the node leaves the cluster, which waits for those who wait here
	wake  chan struct{}
}

// heldMessage waits for the sessions it may be for.
type heldMessage struct {
	msg  *core.Message
	lost uint64 // sessions that were adopted at this step or later
	wait *acceptance
}

func (q *adoptions) init(n *clusterNode) {
	q.n, q.idle, q.end, q.wake = n, make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
}

// add queues a step. It is called on Apply's goroutine.
func (q *adoptions) add(a *adoption) {
	q.mu.Lock()
	q.queue = append(q.queue, a)
	q.mu.Unlock()
	if r := q.n.b.journal.replication; r != nil {
		r.park()
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// reach notes a step of the agreed order, after what it brings has been queued.
func (q *adoptions) reach(index uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
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

// run carries out the steps until the node stops.
func (q *adoptions) run() {
	for {
		q.mu.Lock()
		var a *adoption
		if len(q.queue) > 0 {
			a, q.queue, q.busy = q.queue[0], q.queue[1:], true
		}
		q.mu.Unlock()
		if a == nil {
			select {
			case <-q.wake:
				continue
			case <-q.n.life.Done():
				q.abandon()
				return
			}
		}
		if a.discard {
			q.n.discardAll()
		} else {
			q.n.adopt(a)
		}
		if r := q.n.b.journal.replication; r != nil {
			r.unpark()
		}
		q.mu.Lock()
		q.busy = false
		if !q.pending() && q.n.up.Load() {
			q.done.Store(q.taken.Load())
		}
		q.stir()
		q.mu.Unlock()
	}
}

// abandon tells the publishers of what is held that it went nowhere.
func (q *adoptions) abandon() {
	q.mu.Lock()
	held := q.held
	q.held = nil
	q.mu.Unlock()
	for _, h := range held {
		h.wait.finish(packets.ServerShuttingDown)
	}
}

// hold keeps a message for sessions that are being adopted; or delivers it, when they are there already. wait is finished when it is theirs.
func (q *adoptions) hold(h heldMessage) {
	q.mu.Lock()
	if q.pending() {
		q.held = append(q.held, h)
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	q.n.deliverInherited(h)
}

// inherit makes a step of the agreed order on this node: what was the lost node's becomes its heir's.
func (n *clusterNode) inherit(index uint64, lost, heirName string) {
	a := &n.state
	a.mu.Lock()
	a.heirs[lost] = heir{heirName, index}
	a.mu.Unlock()
	mine := a.lose(index, lost, heirName)
	if heirName == n.self.Name && n.up.Load() && (lost != heirName || len(mine) > 0) {
		n.adoptions.add(&adoption{index: index, lost: lost, sessions: mine})
	}
	if lost != heirName {
		a.bequeath(index, lost, heirName)
		a.forget(lost)
	}
	if heirName != n.self.Name && lost != n.self.Name {
		n.peer(heirName).follow(n.peer(lost))
	}
	n.adoptions.reach(index)
}

// rejoin makes the step in which a node comes back that was lost before. What is still its own, because there was no heir, it adopts.
func (n *clusterNode) rejoin(index uint64, node string) {
	if mine := n.state.lose(index, node, node); len(mine) > 0 {
		n.adoptions.add(&adoption{index: index, lost: node, sessions: mine})
	}
	n.adoptions.reach(index)
}

// setUp notes whether a node takes part, and returns whether it did.
func (a *agreed) setUp(node string, up bool) (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was = a.up[node]
	if up {
		a.up[node] = true
	} else {
		delete(a.up, node)
	}
	return was
}

// heirOf returns the node that has the sessions of a lost one now, "" if there is none, and the step in which they were inherited first.
func (a *agreed) heirOf(lost string) (node string, index uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	h, known := a.heirs[lost]
	index = h.index
	for range len(a.heirs) {
		if !known || a.up[h.node] {
			break
		}
		h, known = a.heirs[h.node]
	}
	if !known || !a.up[h.node] {
		return "", 0
	}
	return h.node, index
}

// bequeath gives the routes of a lost node to its heir, which says soon which of them are right.
func (a *agreed) bequeath(index uint64, lost, heirName string) {
	a.mu.RLock()
	routes := make([]*route, 0, len(a.nodes[lost]))
	for _, rt := range a.nodes[lost] {
		routes = append(routes, rt)
	}
	a.mu.RUnlock()
	self := heirName == a.n.self.Name
	for _, rt := range routes {
		name := rt.filter
		all, online := 1, 0
		if rt.group != "" {
			name = rt.group
			all = rt.all
		}
		a.mu.RLock()
		own := a.nodes[heirName][name]
		a.mu.RUnlock()
		switch {
		case rt.group != "":
			if own != nil {
				all, online = all+own.all, own.online
			}
			a.setRoute(heirName, name, all, online)
		case own == nil:
			a.setRoute(heirName, name, 1, 0)
		}
		if self && rt.group == "" && a.n.up.Load() {
			held := &route{node: heirName, filter: rt.filter, all: 1, step: index}
			a.routes.Load().Add(held.filter, held)
			a.mu.Lock()
			a.waiting = append(a.waiting, held)
			a.mu.Unlock()
		}
	}
}

// endWaiting removes the routes that lead to sessions being adopted here.
func (a *agreed) endWaiting() {
	a.mu.Lock()
	routes := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	index := a.routes.Load()
	for _, rt := range routes {
		index.Remove(rt.filter, rt)
	}
}

// routesOf returns the filters a node has announced, or inherited.
func (a *agreed) routesOf(node string) []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	filters := make([]string, 0, len(a.nodes[node]))
	for f := range a.nodes[node] {
		filters = append(filters, f)
	}
	return filters
}

// adopt makes the sessions of one step.
func (n *clusterNode) adopt(a *adoption) {
	made := make([]*session, 0, len(a.sessions))
	for i := range a.sessions {
		if s := n.makeInherited(a.index, &a.sessions[i]); s != nil {
			made = append(made, s)
		}
	}
	if a.lost != n.self.Name {
		// What this node had sent there is held now, in front of what comes from here on.
		_ = n.peer(a.lost).drain(n.life)
	}
	n.routes.touchThese(n.state.routesOf(n.self.Name))
	n.state.endWaiting()
	_ = n.gate.pass(n.life)
	n.adoptions.mu.Lock()
	held := n.adoptions.held
	n.adoptions.held = nil
	n.adoptions.mu.Unlock()
	for _, h := range held {
		n.deliverInherited(h)
	}
	for _, s := range made {
		s.adoptionEnds()
	}
	if len(made) > 0 {
		n.b.log.Info("sessions adopted", "node", a.lost, "sessions", len(made))
	}
}

// makeInherited makes one session. It collects until its adoption ends.
func (n *clusterNode) makeInherited(index uint64, in *inherited) *session {
	b := n.b
	if old := b.sessions.get(in.id); old != nil {
		old.abandon() // from the node's own store: what the cluster keeps is newer
	}
	s := b.newSession(in.id)
	s.expiry, s.epoch, s.collecting, s.adopted = in.kept.expiry, in.owner.epoch, true, index
	s.away = time.Now()
	if in.kept.away != 0 {
		s.away = time.Unix(in.kept.away, 0)
	}
	for i := range in.kept.entries {
		if e := &in.kept.entries[i]; e.State != core.Done {
			s.core.Resume(*e)
		}
	}
	s.core.Skip(in.kept.top)
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
	b.sessions.put(s)
	return s
}

// adoptionEnds puts what was on its way to the lost node, and then what has come here since, behind what was kept.
func (s *session) adoptionEnds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.setDurable(true)
	s.logMeta()
	s.collecting = false
	for _, list := range [][]core.Entry{s.early, s.collected} {
		for _, e := range list {
			if !s.core.Has(e.Msg.ID) {
				s.core.Push(e)
			}
		}
	}
	s.early, s.collected = nil, nil
	if s.conn == nil {
		s.startExpiry(max(0, time.Duration(s.expiry)*time.Second-time.Since(s.away)))
	}
}

// deliverInherited delivers a message that was on its way to a lost node to the sessions that were adopted from it.
func (n *clusterNode) deliverInherited(h heldMessage) {
	sc := n.b.scratch()
	defer sc.release()
	p := publishOfMessage(h.msg)
	r := &sc.r
	r.reset()
	r.p, r.publisher, r.nano, r.id, r.expires, r.msg = &p, h.msg.Publisher, sc.nano, h.msg.ID, h.msg.Expires, h.msg
	r.inherited = h.lost
	sc.matches = n.b.index.AppendMatches(sc.matches[:0], p.TopicName)
	n.b.routeLocal(sc, nil)
	n.b.awaitStored(r)
	if a := r.wait; a != nil {
		a.then = h.wait.finish
		a.finish(packets.Success)
		return
	}
	h.wait.finish(packets.Success)
}

// discardAll lets go of all sessions, after the cluster has given this node up: they are their heirs' now.
func (n *clusterNode) discardAll() {
	for _, s := range n.b.sessions.all() {
		s.abandon()
	}
}

// abandon ends a session here without a word to anybody: it lives on elsewhere.
func (s *session) abandon() {
	c := s.letGo()
	s.mu.Lock()
	s.moved, s.durable = true, false
	s.changes = nil
	s.mu.Unlock()
	if c != nil {
		c.kick(kicked{code: packets.ServerUnavailable, reason: "this node was separated from its cluster"})
	}
	s.end()
}

// setDurable says whether the journal keeps the session. The caller holds s.mu.
func (s *session) setDurable(durable bool) {
	s.durable = durable
	s.core.Hold(durable)
}

// held reports whether a route leads to sessions that this node is adopting.
func (rt *route) held() bool { return rt.peer == nil && rt.group == "" }

// reroute sends what a lost node has not accepted to its heir, for the sessions adopted from it.
//
// done is called when it is on its way.
func (n *clusterNode) reroute(lost string, o *outgoing, again bool, done func()) {
	to, step := n.state.heirOf(lost)
	if to == "" {
		for _, a := range o.waits {
			a.finish(packets.ServerUnavailable)
		}
		done()
		return
	}
	if to == lost && n.life.Err() == nil && !again {
		// It is back, or will be: the link to it opens in a moment.
		time.AfterFunc(rerouteAgain, func() { n.reroute(lost, o, true, done) })
		return
	}
	defer done()
	rd, err := openRecord(o.buf)
	if err != nil || n.life.Err() != nil { // it was made here
		for _, a := range o.waits {
			a.finish(packets.ServerShuttingDown)
		}
		return
	}
	rd.Fixed64()
	next := &outgoing{buf: newBatch()}
	sc := n.b.scratch()
	defer sc.release()
	for i := 0; rd.More(); {
		f := readForwarded(rd, sc.nano)
		if rd.Err() != nil {
			break
		}
		if f.p.QoS == 0 {
			continue
		}
		wait := o.waits[i]
		i++
		r := &sc.r
		r.reset()
		r.p, r.publisher, r.borrowed, r.nano, r.id, r.expires = &f.p, f.publisher, true, sc.nano, f.id, f.expires
		lostAt := step
		if f.inherited != 0 {
			lostAt = f.inherited
		}
		if to == n.self.Name {
			n.adoptions.hold(heldMessage{msg: r.message(), lost: lostAt, wait: wait})
			continue
		}
		r.inherited = lostAt
		next.buf = appendForward(next.buf, r, nil)
		next.waits = append(next.waits, wait)
	}
	if len(next.waits) > 0 {
		n.peer(to).forward(next)
	}
}

// rerouteAgain is the pause before messages are sent to a node that has just come back.
const rerouteAgain = 20 * time.Millisecond

// touchThese announces routes as they are here, whatever the others were told.
func (l *localRoutes) touchThese(filters []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range filters {
		l.touch(f)
	}
}

// restored makes this node's sessions fit a state that came in a snapshot. It is called on Apply's goroutine, with a.mu not held.
func (n *clusterNode) restored() {
	if !n.up.Load() {
		return
	}
	a := &n.state
	n.adoptions.add(&adoption{discard: true})
	var mine []inherited
	a.mu.Lock()
	for id, k := range a.kept {
		if o := a.owners[id]; o != nil && o.home == n.self.Name {
			mine = append(mine, inherited{id, k.share(), *o})
		}
	}
	a.mu.Unlock()
	n.adoptions.add(&adoption{lost: n.self.Name, sessions: mine})
}
