package shoal

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

var errGone = errors.New("shoal: connection ended")

// session is what the broker keeps of a client: the protocol state (core) and where it stands.
type session struct {
	b        *Broker
	clientID string
	number   uint64 // orders sessions
	// online mirrors whether a connection is attached; for the choice among the members of a shared group.
	online atomic.Bool
	// several is set when the session has more than one subscription, so that a message may match more than once.
	several atomic.Bool

	// rechecks is how often rights have changed that are not checked yet.
	rechecks atomic.Int32

	mu        sync.Mutex // taken before conn.mu; never held across I/O or user code
	core      *core.Session
	phase     phase
	since     time.Time     // it entered the phase
	conn      *conn         // nil while away
	cleared   chan struct{} // made when the session ends here, closed when its subscriptions no longer match
	expiry    uint32
	maker     maker
	epoch     uint64 // of the ownership, in a cluster
	held      uint64 // the epoch of the last claim by which it was served here; 0 for a session that was inherited, and not claimed since
	durable   bool   // the journal keeps it; see setDurable
	storing   bool   // QoS 2 messages wait until they are kept
	away      time.Time
	subs      map[string]*subscription
	will      *will
	timer     *time.Timer // of expiry, while away
	collected []collected // what has come while the phase collects
	offered   bool        // another node has been told of it, and collects what comes for it
	// repetitions are what has come again since, as far as it was dropped for that.
	repetitions []msgID
	leaving     *conn         // the last connection, until it has stopped
	exchanged   chan struct{} // closed when no QoS 2 message of the client's is on its way any more; nil if nobody waits
	shares      int           // shared subscriptions
	// changes gathers what the other nodes are to learn; nil if there is nothing.
	changes *sessionChanges
	// adopted is where in the agreed order the session came here from a node that was lost, 0 if it did not; see adoption.go.
	adopted uint64
	// adoptedEarlier are the steps in which lost nodes had it before, one after another.
	adoptedEarlier []uint64
	early          []collected // what was on its way to the lost node
	// had holds the IDs of what the session had when it was adopted, until nothing can come that was on its way to the lost node.
	had      map[msgID]struct{}
	hadUntil int64 // Unix nanoseconds
	// upTo is, for as long, how far the node that was lost had come with the messages that a publisher sent by one node; see hadUpTo.
	upTo map[stream]uint64
	// doubtful: the client was connected to that node, which may have sent it what nobody else knows of.
	doubtful bool
	noting   bool   // all of it is written anew when its adoption ends: there is something to note; see commonnotes.go
	brought  uint64 // the last entry that came from another node with the session, and that all nodes know of
	// fence is what this node's changes of the session go to a store with that all nodes share, and move the move by which it comes here; see commonmove.go.
	fence Fence
	move  *move
	// catching holds the IDs of the messages that came since a SUBSCRIBE began and before its retained messages were sent.
	catching map[msgID]struct{}
	charge   charge
}

// sessions is the registry of all sessions of this node.
type sessions struct {
	mu      sync.RWMutex
	byID    map[string]*session
	local   map[closer]struct{} // in-process subscriptions
	numbers atomic.Uint64
	// claims serialises CONNECTs with the same ClientID.
	claims map[string]chan struct{}
}

func (r *sessions) init() {
	r.byID = make(map[string]*session)
	r.local = make(map[closer]struct{})
	r.claims = make(map[string]chan struct{})
}

func (r *sessions) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}

// get returns a session that has not ended, or nil.
func (r *sessions) get(id string) *session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

func (r *sessions) put(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[s.clientID] = s
}

func (r *sessions) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[s.clientID] == s {
		delete(r.byID, s.clientID)
	}
}

// all returns all sessions, in no order.
func (r *sessions) all() []*session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]*session, 0, len(r.byID))
	for _, s := range r.byID {
		list = append(list, s)
	}
	return list
}

// claim makes the caller the only one who connects or moves the client, until it calls release. It waits for an earlier one.
func (r *sessions) claim(id string, done <-chan struct{}) (release func(), err error) {
	for {
		r.mu.Lock()
		before, taken := r.claims[id]
		if !taken {
			mine := make(chan struct{})
			r.claims[id] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.claims, id)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-before:
		case <-done:
			return nil, ErrClosed
		}
	}
}

// stopTimers stops every session's timers, at the end of the broker.
func (r *sessions) stopTimers() {
	for _, s := range r.all() {
		s.mu.Lock()
		s.stopExpiry()
		if s.will != nil {
			s.will.stop()
		}
		s.mu.Unlock()
	}
}

// letGo takes the session's connection from it, so that it neither delivers nor acknowledges any more [MQTT-3.1.4-3]; nil if it has none.
func (s *session) letGo() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeConn()
}

// takeConn is letGo under s.mu, which the caller holds.
func (s *session) takeConn() *conn {
	c := s.conn
	if c != nil {
		c.fenced.Store(true)
		s.conn, s.leaving, s.catching = nil, c, nil
		s.setOnline(false)
		s.core.Detach()
		s.away = s.b.now()
	}
	return c
}

// setOnline says whether the session has a connection. The caller holds s.mu.
func (s *session) setOnline(online bool) {
	if s.online.Swap(online) == online {
		return
	}
	if online {
		s.b.metrics.online.Add(1)
		if !isOwn(s.clientID) {
			s.b.metrics.clients.Add(1)
		}
	} else {
		s.b.metrics.online.Add(-1)
	}
	if s.shares == 0 {
		return
	}
	for _, sub := range s.subs {
		if sub.shared {
			s.b.refreshMember(sub)
		}
	}
}

// refreshGroups tells the other nodes that the session came or went, if it is a member of shared groups.
func (s *session) refreshGroups() {
	if s.b.cluster == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares == 0 {
		return
	}
	for _, sub := range s.subs {
		if sub.shared {
			s.b.cluster.routes.refresh(sub.filter)
		}
	}
}

func (b *Broker) newSession(id string) *session {
	s := &session{b: b, clientID: id, number: b.sessions.numbers.Add(1)}
	s.core = core.New(&b.sessionLimits, (*sessionLog)(s))
	return s
}

// pump lets the core send what it may. The caller holds s.mu, and flushes s.conn afterwards.
func (s *session) pump(now int64) {
	c := s.conn
	if c == nil || !s.phase.lives() { // the next home sends what there is
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return
	}
	s.core.Pump(&c.out, now)
	s.awaitKept()
	c.stalled = c.out.Len() >= s.b.limits.OutboxBytes
}

// detach lets go of the connection, when it has ended.
func (c *conn) detach() {
	s := c.s
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return // taken over: whoever did that has seen to everything
	}
	now := s.b.now()
	s.conn, s.catching = nil, nil
	s.setOnline(false)
	s.core.Detach()
	s.away = now
	if s.will != nil && (!c.will || c.keepsQuiet()) {
		s.will.void() // the client took it back [MQTT-3.14.4-3], or is back
		s.will = nil
	}
	over := s.expiry == 0
	if !over {
		s.startExpiry(time.Duration(s.expiry) * time.Second)
		s.logMeta()
	}
	w := s.will
	cleanUp := func() {}
	if over {
		cleanUp = s.markEnded()
	}
	s.mu.Unlock()

	if !over {
		s.refreshGroups()
		s.redispatch()
	}
	if w != nil {
		w.connectionEnded(over)
	}
	cleanUp()
}

// startExpiry ends the session after d, unless the client comes back. The caller holds s.mu.
func (s *session) startExpiry(d time.Duration) {
	s.stopExpiry()
	if s.expiry == neverExpires {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		s.mu.Lock()
		if s.timer != t || s.conn != nil || s.cleared != nil {
			s.mu.Unlock()
			return
		}
		if left := s.left(); left > 0 { // the time was not known when this began
			s.startExpiry(left)
			s.mu.Unlock()
			return
		}
		if s.phase == phaseDeparting { // if the move fails, the session is still there for the next one
			s.enter(phaseHome)
			s.startExpiry(moveTimeout)
			s.mu.Unlock()
			return
		}
		w := s.will
		cleanUp := s.markEnded()
		s.mu.Unlock()
		s.b.metrics.expired.Add(1)
		if w != nil {
			w.connectionEnded(true)
		}
		cleanUp()
	})
	s.timer = t
}

// left returns how long the session may still be away. The caller holds s.mu.
func (s *session) left() time.Duration {
	if !s.b.timely() {
		return untimely
	}
	return time.Duration(s.expiry)*time.Second - max(0, s.b.now().Sub(s.away)) // another node may have been a moment ahead
}

// moveTimeout is how long a session that expires while it is being moved waits for the end of that.
const moveTimeout = 30 * time.Second

func (s *session) stopExpiry() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// end ends the session and forgets everything in it [MQTT-4.1.0-2]. It may be called twice.
func (s *session) end() {
	s.mu.Lock()
	cleanUp := s.markEnded()
	s.mu.Unlock()
	cleanUp()
}

// markEnded ends the session under s.mu, which the caller holds, so that nobody can resume it. What must be done without the lock is
// in the function it returns.
func (s *session) markEnded() (cleanUp func()) {
	if s.cleared != nil {
		return func() {}
	}
	moved := !s.enter(phaseOver) // it lives on elsewhere
	cleared := make(chan struct{})
	s.cleared = cleared
	s.discharge()
	s.stopExpiry()
	subs := make([]*subscription, 0, len(s.subs))
	for _, sub := range s.subs {
		subs = append(subs, sub)
	}
	var left []core.Entry
	if !moved {
		if left = s.takeLeft(); !s.handsOn() {
			left = nil
		}
	}
	held := s.held
	forget := func() {}
	if s.durable && !moved {
		forget = func() { s.b.journal.forget(s) }
		if len(left) == 0 {
			forget()
		}
	}
	s.durable = false
	return func() {
		for _, sub := range subs {
			s.b.removeSubscription(sub)
		}
		if len(left) > 0 {
			s.b.giveLeft(left)
			s.mu.Lock()
			forget() // only now: if this node is lost before, whoever inherits the session gives them
			s.mu.Unlock()
		}
		s.b.sessions.remove(s)
		close(cleared)
		if moved {
			return
		}
		if s.b.cluster != nil {
			s.b.cluster.sessionEnded(s.clientID, held)
		}
		if isOwn(s.clientID) {
			return
		}
		for _, o := range s.b.hooks.session {
			s.b.guard(func() { o.SessionEnded(s.clientID) })
		}
	}
}

func (s *session) version() packets.Version { return s.core.Version() }
