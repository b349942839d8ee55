package shoal

import (
	"cmp"
	"slices"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// target is what a TopicFilter leads to on this node: a *subscription, or a *group of shared ones.
type target interface{ isTarget() }

// route hands the message in sc.r to everybody whose subscription matches: sessions of this node, one member of each shared
// group, other nodes; and keeps it if it is to be retained. It reports whether there was anybody. What must complete before
// the message may be acknowledged is in sc.r.wait afterwards.
func (b *Broker) route(sc *scratch) (matched bool) {
	r := &sc.r
	if r.p.Retain {
		b.retain(sc)
	}
	if n := b.cluster; n != nil {
		gate := n.gate.enter()
		defer n.gate.leave(gate)
		tenure := n.tenure.Load()
		defer func() {
			if r.unserved = !n.serving() || n.tenure.Load() != tenure; r.unserved {
				// What it was matched with may not have been all there is: somebody may have subscribed elsewhere since the lease ran out, or
				// the node's state may have been replaced.
				r.refuse(packets.ServerUnavailable)
			}
		}()
		n.noteArrival(r)
	}
	sc.matches = b.index.AppendMatches(sc.matches[:0], r.p.TopicName)
	matched = b.routeLocal(sc, nil)
	if b.cluster != nil {
		matched = b.cluster.route(sc) || matched
	}
	b.awaitStored(r)
	b.hold(r)
	return matched
}

// hold makes the answer to the publisher wait if queues are full whose clients get on.
func (b *Broker) hold(r *routing) {
	if r.delay == 0 {
		return
	}
	a := r.acceptance()
	a.add()
	b.holdBack(a, r.delay)
}

// holdBack gives one of a's counts back after a while.
func (b *Broker) holdBack(a *acceptance, d time.Duration) {
	b.metrics.heldBack.Add(1)
	if !b.heldBack.Hold(a, d) {
		a.finish(packets.Success) // the broker ends
	}
}

// awaitStored makes the message wait for the journal if a durable session has taken it. What a group gets anew is not refused while the store fails, and so
// waits until it is certain: if whoever hands it on took it for refused, somebody else would get it, too.
func (b *Broker) awaitStored(r *routing) {
	switch {
	case !r.store || r.qos() == 0:
	case r.groupsOnly:
		b.journal.awaitPatient(r.acceptance(), r.durability)
	default:
		b.journal.await(r.acceptance(), r.durability)
	}
}

// routeLocal delivers to the targets in sc.matches. Shared groups are dealt with by the cluster, if there is one, which decides
// between nodes; picked, if not nil, names the groups that another node has chosen this one for.
func (b *Broker) routeLocal(sc *scratch, picked []string) (matched bool) {
	r := &sc.r
	sc.overlap, sc.locals, sc.untaken = sc.overlap[:0], sc.locals[:0], sc.untaken[:0]
	for _, t := range sc.matches {
		switch t := t.(type) {
		case *subscription:
			if r.groupsOnly {
				continue
			}
			matched = true
			if t.local != nil && len(t.local.subs) > 1 {
				if slices.Contains(sc.locals, t.local) {
					continue // another filter of the same subscription has matched
				}
				sc.locals = append(sc.locals, t.local)
			}
			if t.s != nil && t.s.several.Load() && !b.cfg.perSubscription {
				sc.overlap = append(sc.overlap, t)
				continue
			}
			b.deliver(sc, t, t.qos, t.retainAsPublished, t.ids, "")
		case *group:
			if b.cluster == nil || slices.Contains(picked, t.name) {
				matched = true
				if b.deliverShared(sc, t) {
					continue
				}
				if b.cluster != nil && (sc.leaving || b.cluster.state.pickNode(t.name, b.cluster.self.Name, r.qos()) != nil) {
					sc.untaken = append(sc.untaken, t.name)
				} else {
					b.dropForGroup(sc)
				}
			}
		}
	}
	if len(sc.overlap) > 0 {
		b.deliverOverlapping(sc)
	}
	return matched
}

// deliverOverlapping delivers to sessions with several subscriptions: once each, with the highest QoS and all
// Subscription Identifiers of those that match [MQTT-3.3.4-2, -4].
func (b *Broker) deliverOverlapping(sc *scratch) {
	subs := sc.overlap
	if len(subs) > 1 {
		slices.SortStableFunc(subs, func(x, y *subscription) int { return cmp.Compare(x.s.number, y.s.number) })
	}
	for len(subs) > 0 {
		n := 1
		for n < len(subs) && subs[n].s == subs[0].s {
			n++
		}
		b.deliverMerged(sc, subs[:n])
		subs = subs[n:]
	}
}

func (b *Broker) deliverMerged(sc *scratch, subs []*subscription) {
	if len(subs) == 1 {
		b.deliver(sc, subs[0], subs[0].qos, subs[0].retainAsPublished, subs[0].ids, "")
		return
	}
	var first *subscription
	var qos packets.QoS
	var rap bool
	var ids []uint32
	for _, sub := range subs {
		if sub.noLocal && sub.s == sc.r.from {
			continue
		}
		if first == nil {
			first = sub
		}
		qos = max(qos, sub.qos)
		rap = rap || sub.retainAsPublished
		ids = append(ids, sub.ids...)
	}
	if first != nil {
		b.deliver(sc, first, qos, rap, ids, "")
	}
}

// deliver hands the message to one subscription's session. share is the whole filter it came by, if that is a shared one.
// It reports whether the session took it.
func (b *Broker) deliver(sc *scratch, sub *subscription, qos packets.QoS, rap bool, ids []uint32, share string) bool {
	r := &sc.r
	if sub.noLocal && sub.s == r.from && r.from != nil {
		return false // [MQTT-3.8.3-3]
	}
	if r.stale || (r.inherited != 0 && !r.isFor(sub.s)) {
		return false // it has had the message by itself
	}
	qos = b.cfg.customs.outgoing(qos, r.qos()) // [MQTT-3.8.4-8]
	if r.precedes(sub.s) && share == "" {
		return false // at QoS 0, too: the client may have had it by way of the lost node
	}
	if len(b.hooks.deliver) > 0 && !b.mayDeliver(sub, r.message(), r.nano) {
		return false
	}
	if r.seen && share == "" && (qos == 0 || sub.local != nil) {
		return false
	}
	retain := r.p.Retain && rap
	var taken bool
	switch {
	case sub.local != nil:
		if taken = sub.local.push(r, r.message(), qos, retain, ids, share != ""); !taken && share != "" {
			sc.full = DropQueueFull
		}
	case qos == 0:
		taken = sub.s.deliverQoS0(sc, retain, ids, share)
	default:
		taken = b.deliverLasting(sc, sub, qos, retain, ids, share)
	}
	if taken {
		b.metrics.delivered.Add(1)
	}
	return taken
}

// deliverLasting is deliver of a message that may wait for the client.
func (b *Broker) deliverLasting(sc *scratch, sub *subscription, qos packets.QoS, retain bool, ids []uint32, share string) bool {
	r := &sc.r
	filter := ""
	if b.cfg.perSubscription {
		filter = sub.filter
	}
	taken := sub.s.deliverQueued(sc, core.Entry{Msg: r.message(), QoS: qos, Retain: retain, SubIDs: ids, Share: share}, filter)
	if taken && share != "" && r.origin != nil {
		b.cluster.state.tookForGroup(r, share)
	}
	return taken
}

func (b *Broker) mayDeliver(sub *subscription, m *core.Message, now int64) bool {
	e := &DeliverEvent{ClientID: sub.owner(), Message: publicMessage(m, now)}
	for _, h := range b.hooks.deliver {
		var err error
		if !b.guard(func() { err = h.InterceptDeliver(b.life, e) }) || err != nil {
			b.drop(DroppedEvent{ClientID: e.ClientID, TopicName: e.Message.TopicName, QoS: e.Message.QoS, Reason: DropIntercepted})
			return false
		}
	}
	return true
}

// deliverQoS0 puts the message into the outbox of a session that is online.
func (s *session) deliverQoS0(sc *scratch, retain bool, ids []uint32, share string) bool {
	r := &sc.r
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.conn
	if c == nil {
		return false // QoS 0 is not kept for clients that are away
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return false
	}
	if c.out.Len() >= s.b.limits.QoS0Bytes {
		if share != "" { // another member may take it
			sc.full = DropSlowConsumer
			return false
		}
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: r.message().TopicName, Reason: DropSlowConsumer})
		return false
	}
	var frame []byte
	if !retain && len(ids) == 0 {
		frame = r.frame(s.version())
	}
	switch {
	case frame != nil && s.core.Plain(len(frame)):
		c.out.Append(frame)
	case !s.core.SendQoS0(&c.out, &core.Entry{Msg: r.message(), Retain: retain, SubIDs: ids, Share: share}, sc.nano):
		if c.own != nil && share != "" {
			sc.full = DropQueueFull // another member may take it
			return false
		}
		reason := DropTooLarge
		if c.own != nil {
			reason = DropQueueFull
		}
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: r.message().TopicName, Reason: reason})
		return false
	}
	if s.catching != nil {
		s.catching[r.id] = struct{}{}
	}
	if c.soil() {
		sc.soiled = append(sc.soiled, c)
	}
	return true
}

// deliverQueued puts the message into the session's queue, and sends it if there is room. It reports whether the session took it, or has
// had it; what refuses the message has told its publisher. The three steps have an order: what the phase, or the store, does not
// admit leaves no trace, so that it can come again.
func (s *session) deliverQueued(sc *scratch, e core.Entry, filter string) (taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	admitted, refused := s.admit(sc, &e)
	switch {
	case !admitted:
		return refused
	case s.hasHad(sc, &e, filter):
		sc.r.store = sc.r.store || s.keeps(&e) || s.phase.collects()
		return true
	}
	return s.take(sc, e, filter)
}

// admit reports whether the session's phase and the store admit the message. refused: the publisher is told that they do not. The caller
// holds s.mu.
func (s *session) admit(sc *scratch, e *core.Entry) (admitted, refused bool) {
	switch {
	case !s.phase.lives():
		return false, false
	case e.Share != "" && s.travels():
		sc.leaving = true
		return false, false
	case s.keeps(e) && !sc.r.groupsOnly && s.b.journal.refuses(): // what a group gets anew may have been acknowledged before
		sc.r.refuse(packets.ImplementationSpecificError)
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropStoreAway})
		return false, true
	case s.roomFor(e.Msg):
		return true, false
	case e.Share != "":
		sc.full = DropBrokerFull // another member may take it
	default:
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropBrokerFull})
	}
	return false, false
}

// hasHad reports whether the message has come to the session, or to its member of a group, before; and notes that it has now, so that the next
// time it has. It sets what is said of the message when it is sent. The caller holds s.mu.
func (s *session) hasHad(sc *scratch, e *core.Entry, filter string) bool {
	r := &sc.r
	if r.groupsOnly && (s.core.HasShared(e.Msg.ID, e.Share) || s.b.cluster.wasAnswered(e)) {
		return true // it had come here by a node that was lost before it could say so
	}
	e.Handed = e.Share != "" && r.groupsOnly
	if r.origin != nil && !s.takesFirst(sc, e, filter) {
		s.repetition(e.Msg.ID)
		return true
	}
	if r.inherited != 0 || r.doubtful {
		// The lost node may have sent it, and the client have had it, before anybody else heard of it. QoS 2 is not sent before it is kept, and then it
		// would be here.
		e.Doubtful = e.QoS == 1
	}
	s.forgetHad(sc.nano)
	return !s.phase.collects() && s.hadBefore(r, e)
}

// take puts the message where the phase has it. The caller holds s.mu.
func (s *session) take(sc *scratch, e core.Entry, filter string) (taken bool) {
	r := &sc.r
	if s.move != nil && r.durability != DurabilityMemory {
		s.move.await(r)
	}
	if s.phase.collects() {
		if r.inherited != 0 {
			s.early = append(s.early, collected{Entry: e})
		} else {
			s.collected = append(s.collected, collected{Entry: e, filter: filter, origin: r.origin})
		}
		r.store = true // if it is being adopted, the journal waits for that
		return true
	}
	if s.catching != nil {
		s.catching[e.Msg.ID] = struct{}{}
	}
	s.core.Expire(e.Msg, sc.nano)
	if e.Share != "" && !sc.crowd && s.core.Full(e.Msg) {
		sc.full = DropQueueFull // another member may take it
		return false
	}
	if r.qos() == 0 { // nobody can be held back
		if !s.core.Push(e) {
			return false
		}
	} else {
		delay, far, taken := s.core.Offer(e, sc.nano)
		r.holdBack(delay, far)
		if !taken {
			return false
		}
	}
	if r.inherited != 0 {
		s.inherit(e.Msg.ID)
	}
	r.store = r.store || s.keeps(&e)
	s.pump(sc.nano)
	if c := s.conn; c != nil {
		c.mu.Lock()
		if c.soil() {
			sc.soiled = append(sc.soiled, c)
		}
		c.mu.Unlock()
	}
	return true
}
