package shoal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// replication hands the changes of the sessions that outlive their connections to all nodes, through the agreed order. What changes gathers
// in each session; while one group of changes is on its way, the next one gathers, and a message that was acknowledged meanwhile
// does not travel at all. What the nodes make of it is in kept.go.
type replication struct {
	n *clusterNode

	mu      sync.Mutex
	dirty   []*session // that have changes, in the order of their first
	waiters []*acceptance
	parked  []*acceptance // that wait for sessions being adopted
	adopts  int           // adoptions under way
	bytes   atomic.Int64  // of messages in changes that are not agreed
	room    chan struct{} // closed when bytes falls; nil when nobody waits
	last    *changeGroup  // on its way; nil if there is none
	idle    chan struct{} // closed, and made anew, when a group has ended
	wake    chan struct{}
}

// sessionChanges are what one session has changed since its last changes left. It is guarded by the session's lock.
type sessionChanges struct {
	forget bool // everything before is void
	whole  bool // what there is now takes the place of everything
	meta   bool
	over   bool // the session is not kept any more
	subs   map[string]*subscription
	// entries that came, and those of earlier groups that ended, were answered with PUBREC, or were sent with an identifier that does
	// not follow from their number; and the last one that was sent.
	entries  []core.Entry
	ended    []uint64
	released []uint64
	odd      []core.Entry
	sent     uint64
	received map[uint16]bool // what became of identifiers: taken or free
	cost     int
}

// changeGroup is what was proposed together.
type changeGroup struct {
	left    int // commands on their way, and 1 while more are coming
	err     error
	waiters []*acceptance
	changed []*session
	bytes   int
}

const (
	// changesChunk is about how large a command with changes is.
	changesChunk = 1 << 20
	// replicationRetry is the pause before changes that were not agreed are proposed anew.
	replicationRetry = time.Second
)

func newReplication(n *clusterNode) *replication {
	return &replication{n: n, idle: make(chan struct{}), wake: make(chan struct{}, 1)}
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

func (r *replication) meta(s *session) { r.changes(s).meta = true }

// whole makes what the session is now take the place of everything that is kept of it.
func (r *replication) whole(s *session) {
	c := r.changes(s)
	*c = sessionChanges{whole: true, cost: c.cost}
}

func (r *replication) forget(s *session) {
	c := r.changes(s)
	*c = sessionChanges{over: true, cost: c.cost}
}

func (r *replication) subscription(s *session, filter string, sub *subscription) {
	c := r.changes(s)
	if c.subs == nil {
		c.subs = make(map[string]*subscription)
	}
	c.subs[filter] = sub
}

func (r *replication) enqueued(s *session, e *core.Entry) {
	c := r.changes(s)
	if c.whole {
		return
	}
	c.entries = append(c.entries, *e)
	cost := e.Msg.Cost()
	c.cost += cost
	r.bytes.Add(int64(cost))
}

func (r *replication) sent(s *session, e *core.Entry) {
	c := r.changes(s)
	c.sent = max(c.sent, e.Seq)
	if e.PacketID != core.IDOf(e.Seq) {
		c.odd = append(c.odd, core.Entry{Seq: e.Seq, PacketID: e.PacketID})
	}
}

func (r *replication) pubRecReceived(s *session, e *core.Entry) {
	c := r.changes(s)
	c.released = append(c.released, e.Seq)
}

// ended notes the end of a message. One that has not left yet never will.
func (r *replication) ended(s *session, e *core.Entry) {
	c := r.changes(s)
	if len(c.entries) > 0 && e.Seq >= c.entries[0].Seq {
		if i, ok := findEntry(c.entries, e.Seq); ok {
			c.entries[i].Msg = nil
			return
		}
	}
	c.ended = append(c.ended, e.Seq)
}

func (r *replication) received(s *session, id uint16, taken bool) {
	c := r.changes(s)
	if c.received == nil {
		c.received = make(map[uint16]bool)
	}
	c.received[id] = taken
}

// await makes a wait until everything that has changed so far is agreed.
func (r *replication) await(a *acceptance) {
	a.add()
	r.mu.Lock()
	switch {
	case r.adopts > 0:
		r.parked = append(r.parked, a)
	case len(r.dirty) > 0:
		r.waiters = append(r.waiters, a)
	case r.last != nil:
		r.last.waiters = append(r.last.waiters, a)
	default:
		r.mu.Unlock()
		a.finish(packets.Success)
		return
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
	var waiters []*acceptance
	if r.adopts == 0 {
		waiters, r.parked = r.parked, nil
	}
	r.mu.Unlock()
	for _, a := range waiters {
		r.await(a)
		a.finish(packets.Success) // the count that parking took
	}
}

// admit returns when there is room for more changes, or ctx ended.
func (r *replication) admit(ctx context.Context) {
	for r.bytes.Load() >= journalHigh {
		r.mu.Lock()
		if r.bytes.Load() < journalHigh {
			r.mu.Unlock()
			return
		}
		if r.room == nil {
			r.room = make(chan struct{})
		}
		room := r.room
		r.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
	}
}

// run proposes changes until ctx ends, and then once more what is left.
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
	waiters := slices.Concat(r.waiters, r.parked)
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
	g := &changeGroup{left: 1, waiters: r.waiters, changed: r.dirty}
	r.dirty, r.waiters = nil, nil
	r.last = g
	r.mu.Unlock()
	enc := newChangeEncoder()
	for _, s := range g.changed {
		s.mu.Lock()
		c := s.changes
		s.changes = nil
		if c != nil {
			g.bytes += c.cost
			enc.session(s, c)
		}
		if len(enc.buf) >= changesChunk {
			// Under the session's lock, so that what it changes next is proposed next.
			r.send(g, enc.take())
		}
		s.mu.Unlock()
	}
	if cmd := enc.take(); cmd != nil {
		r.send(g, cmd)
	}
	r.done(g, nil)
}

func (r *replication) send(g *changeGroup, cmd []byte) {
	r.mu.Lock()
	g.left++
	r.mu.Unlock()
	r.n.c.ProposeAsync(cmd, func(_ any, err error) { r.done(g, err) })
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
			if s.durable && !s.ended && r.n.life.Err() == nil {
				r.whole(s)
			}
			s.mu.Unlock()
		}
	})
}

// changeEncoder makes a command of the changes of many sessions. A message that went to many of them is in it once.
type changeEncoder struct {
	buf  []byte
	msgs map[*core.Message]uint64
}

func newChangeEncoder() *changeEncoder { return &changeEncoder{} }

// take returns the command, or nil if there are no changes, and begins a new one.
func (c *changeEncoder) take() []byte {
	b := c.buf
	c.buf, c.msgs = nil, nil
	return b
}

// What the changes of one session have, as bits of a byte.
const (
	changedForget = 1 << iota // what was kept is void
	changedOver               // and nothing is kept any more
	changedMeta
	changedSubs
	changedEntries
	changedProgress // what was sent, released and ended
	changedReceived
)

// session appends the changes of a session. The caller holds s.mu.
func (c *changeEncoder) session(s *session, ch *sessionChanges) {
	if c.buf == nil {
		c.buf = command(cmdChanges)
		c.msgs = make(map[*core.Message]uint64)
	}
	if ch.whole && (!s.durable || s.ended) {
		*ch = sessionChanges{over: true}
	}
	if ch.whole {
		*ch = wholeSession(s)
	}
	var has byte
	set := func(bit byte, is bool) {
		if is {
			has |= bit
		}
	}
	set(changedForget, ch.forget)
	set(changedOver, ch.over)
	set(changedMeta, ch.meta)
	set(changedSubs, len(ch.subs) > 0)
	set(changedEntries, len(ch.entries) > 0)
	set(changedProgress, ch.sent > 0 || len(ch.released) > 0 || len(ch.ended) > 0)
	set(changedReceived, len(ch.received) > 0)
	c.buf = append(codec.AppendString(c.buf, s.clientID), has)
	if ch.meta {
		c.buf = appendMeta(c.buf, s)
	}
	if len(ch.subs) > 0 {
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.subs)))
		for filter, sub := range ch.subs {
			c.buf = codec.AppendString(c.buf, filter)
			var b []byte
			if sub != nil {
				b = appendSubscription(nil, sub)
			}
			c.buf = codec.AppendBytes(c.buf, b)
		}
	}
	if len(ch.entries) > 0 {
		c.entries(ch.entries)
	}
	if has&changedProgress != 0 {
		c.buf = codec.AppendUint(c.buf, ch.sent)
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.odd)))
		for i := range ch.odd {
			c.buf = codec.AppendUint(c.buf, ch.odd[i].Seq)
			c.buf = codec.AppendUint(c.buf, uint64(ch.odd[i].PacketID))
		}
		c.buf = appendNumbers(c.buf, ch.released)
		c.buf = appendNumbers(c.buf, ch.ended)
	}
	if len(ch.received) > 0 {
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.received)))
		for id, taken := range ch.received {
			c.buf = codec.AppendBool(codec.AppendUint(c.buf, uint64(id)), taken)
		}
	}
}

// wholeSession returns all of a session as if it had just come.
func wholeSession(s *session) sessionChanges {
	ch := sessionChanges{forget: true, meta: true, subs: s.subs}
	s.core.Entries(func(e *core.Entry) { ch.entries = append(ch.entries, *e) })
	for _, id := range s.core.Unreleased() {
		if ch.received == nil {
			ch.received = make(map[uint16]bool)
		}
		ch.received[id] = true
	}
	return ch
}

func (c *changeEncoder) entries(entries []core.Entry) {
	n := 0
	for i := range entries {
		if entries[i].Msg != nil {
			n++
		}
	}
	c.buf = codec.AppendUint(c.buf, uint64(n))
	for i := range entries {
		if entries[i].Msg != nil {
			c.entry(&entries[i])
		}
	}
}

// entry appends an entry: its message, or, if that is in this command already, which one it is.
func (c *changeEncoder) entry(e *core.Entry) {
	c.buf = appendEntryHead(c.buf, e)
	at, known := c.msgs[e.Msg]
	c.buf = codec.AppendUint(c.buf, at)
	if !known {
		c.msgs[e.Msg] = uint64(len(c.msgs)) + 1
		c.buf = appendMessage(c.buf, e.Msg)
	}
}

// changeDecoder reads what changeEncoder made.
type changeDecoder struct {
	r    *codec.Reader
	msgs []*core.Message
}

// entry reads an entry. Its message has memory of its own.
func (d *changeDecoder) entry() core.Entry {
	e := readEntryHead(d.r)
	at := d.r.Uint()
	switch {
	case at == 0:
		e.Msg = readMessage(d.r)
		e.Msg.Payload = append([]byte(nil), e.Msg.Payload...) // commands are not kept
		d.msgs = append(d.msgs, e.Msg)
	case at <= uint64(len(d.msgs)):
		e.Msg = d.msgs[at-1]
	default:
		d.r.Fail()
		e.Msg = new(core.Message)
	}
	return e
}

// appendNumbers appends ascending or nearly ascending numbers as their differences.
func appendNumbers(b []byte, ns []uint64) []byte {
	b = codec.AppendUint(b, uint64(len(ns)))
	last := uint64(0)
	for _, n := range ns {
		b = codec.AppendUint(b, n-last) // wraps around if it is less; reading wraps back
		last = n
	}
	return b
}

func readNumbers(r *codec.Reader, fn func(n uint64)) {
	last := uint64(0)
	for range r.Count() {
		last += r.Uint()
		if r.Err() != nil {
			return
		}
		fn(last)
	}
}
