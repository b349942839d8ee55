package shoal

import (
	"slices"
	"sync/atomic"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// What a shared group has taken belongs to the group until a member has acknowledged it (guarantee 7): what a member leaves behind that
// went away, or whose session ended, is handed on to another. It is given first, and withdrawn from the member when somebody else has
// accepted it, so that a crash in between loses nothing; a message of QoS 1 may then come to both.

// redispatch hands on what a member that went away has not acknowledged to members that are online. What nobody else can take stays for its return,
// and what the cluster does not know of yet until it does.
func (s *session) redispatch() {
	s.mu.Lock()
	if s.shares == 0 || s.phase != phaseHome || s.conn != nil || !s.handsOn() {
		s.mu.Unlock()
		return
	}
	waits := false
	lent := s.core.Lend(func(e *core.Entry) bool {
		if e.Share == "" || !shareable(e) || !s.b.othersOnline(e.Share) {
			return false
		}
		if s.b.knownHereAlone(e) {
			waits = true
			return false
		}
		return true
	})
	if waits {
		s.b.whenAgreed(s.redispatch)
	}
	s.mu.Unlock()
	s.b.handOn(lent, func(e *core.Entry, given bool) { s.handedOn(e.Seq, given) })
}

// handedOn ends the handing on of one entry.
func (s *session) handedOn(seq uint64, given bool) {
	s.mu.Lock()
	if given || !s.phase.lives() {
		s.core.Given(seq)
	} else {
		s.core.TakeBack(seq)
		s.pump(s.b.nano())
	}
	s.stirExchanges()
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		c.flush()
	}
}

// withdrawHandedBack withdraws what an adopted session has twice of a group: what it had lent came back
// to it, or was given to it anew, and its node was lost before the first was withdrawn. The first was
// never sent at QoS 2. The caller holds s.mu.
func (s *session) withdrawHandedBack() {
	if s.shares == 0 {
		return
	}
	type groupMessage struct {
		id    msgID
		share string
	}
	last := make(map[groupMessage]uint64)
	s.core.Entries(func(e *core.Entry) {
		if e.Share != "" {
			last[groupMessage{e.Msg.ID, e.Share}] = e.Seq
		}
	})
	twice := s.core.Lend(func(e *core.Entry) bool {
		return e.Share != "" && shareable(e) && e.Seq < last[groupMessage{e.Msg.ID, e.Share}]
	})
	for i := range twice {
		s.core.Given(twice[i].Seq)
	}
}

// handOn routes entries to their groups again. It calls done for each, perhaps later and on another goroutine: given says that somebody has
// it, at the durability of the message.
func (b *Broker) handOn(list []core.Entry, done func(e *core.Entry, given bool)) {
	if len(list) == 0 {
		return
	}
	sc := b.scratch()
	defer sc.release()
	for i := range list {
		e := &list[i]
		b.handOnOne(sc, e, func(given bool, code packets.ReasonCode) { done(e, given && !code.IsError()) })
	}
}

// handOnOne routes an entry to its group. It calls then once, with whether somebody has been chosen, and what became of that.
func (b *Broker) handOnOne(sc *scratch, e *core.Entry, then func(given bool, code packets.ReasonCode)) {
	r := &sc.r
	p := publishOfMessage(e.Msg)
	r.again(&p, e.Msg, sc.nano)
	r.doubtful = e.Doubtful || e.State == core.Sent // it may come to the same client, which has come back elsewhere
	given := false
	if b.cluster != nil {
		given = b.cluster.routeGroup(sc, e.Share)
	} else if g := b.groups.get(e.Share); g != nil {
		given = b.deliverShared(sc, g)
	}
	b.awaitStored(r)
	a := r.wait
	if a == nil {
		then(given, packets.Success)
		return
	}
	a.then = func(code packets.ReasonCode) { then(given, code) }
	a.finish(packets.Success)
}

// leftPatience is how long the end of a session waits for others to have what it leaves to its groups. After that it is handed on all the same, but what
// is kept of the session is forgotten.
const leftPatience = 5 * time.Second

// giveLeft hands on what a session that has ended had left of its groups. It returns when others have it, or have had leftPatience.
func (b *Broker) giveLeft(left []core.Entry) {
	if len(left) == 0 {
		return
	}
	through := make(chan struct{})
	var open atomic.Int64
	open.Store(int64(len(left)))
	give := func() {
		b.handOn(left, func(e *core.Entry, given bool) {
			if !given {
				b.drop(DroppedEvent{TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropSessionEnded})
			}
			if open.Add(-1) == 0 {
				close(through)
			}
		})
	}
	if slices.ContainsFunc(left, func(e core.Entry) bool { return b.knownHereAlone(&e) }) {
		b.whenAgreed(give)
	} else {
		give()
	}
	select {
	case <-through:
	case <-time.After(leftPatience):
	case <-b.life.Done():
	}
}

// takeLeft returns what other members of shared groups may still get of a session that ends: everything but QoS 2 messages whose delivery has begun, or
// may have [MQTT-4.8.2-5]. The caller holds s.mu.
func (s *session) takeLeft() []core.Entry {
	var left []core.Entry
	s.core.Entries(func(e *core.Entry) {
		if e.Share != "" && shareable(e) {
			left = append(left, *e)
			return
		}
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropSessionEnded})
	})
	return left
}

// shareable reports whether another member may have an entry. A QoS 2 message that a lost node may have sent may not.
func shareable(e *core.Entry) bool {
	switch e.State {
	case core.Queued:
		return e.QoS < 2 || !e.Doubtful
	case core.Sent:
		return e.QoS == 1
	}
	return false
}

// knownHereAlone reports whether this node is the only one that knows that a group has had a message, which may come again. If it was lost now, and another
// member had the message from it, nobody would.
func (b *Broker) knownHereAlone(e *core.Entry) bool {
	return b.cluster != nil && e.Fresh && e.Msg.Origin != nil &&
		b.cluster.state.origins.isOwn(e.Msg.Publisher, e.Msg.Origin, holder{kind: holderGroup, name: e.Share})
}

// whenAgreed calls fn when all nodes know what has happened so far, and not if this node is given up before. The caller may hold a lock that fn takes.
func (b *Broker) whenAgreed(fn func()) {
	b.journal.later(func(code packets.ReasonCode) {
		if !code.IsError() {
			b.cluster.wg.Go(fn)
		}
	}, DurabilityQuorum)
}

// handsOn reports whether it is for this node to say what others get of the session: it is at home here. When the cluster has given this node up, that is
// for the heir.
func (s *session) handsOn() bool {
	cl := s.b.cluster
	return cl == nil || (cl.up.Load() && cl.state.isHome(cl.self.Name, s.clientID))
}

// othersOnline reports whether a group has a member that is online, anywhere.
func (b *Broker) othersOnline(name string) bool {
	if b.groups.get(name).count().online > 0 {
		return true
	}
	return b.cluster != nil && b.cluster.groupOnline(name)
}
