package history

import (
	"slices"
	"strconv"
	"time"
)

// exchange is a packet identifier on a connection.
type exchange struct {
	conn *conn
	id   uint16
}

// builder makes a model, event by event.
type builder struct {
	*model
	published    map[exchange]*transmission // awaits PUBACK or PUBREC
	subscribes   map[exchange]int           // the SUBSCRIBE
	unsubscribes map[exchange]int
}

func (b *builder) event(i int, e *Event) {
	switch e.Kind {
	case Connect:
		b.connect(i, e)
		return
	case Fault:
		b.faults = append(b.faults, i)
		switch e.Fault {
		case FaultKill:
			b.kills = append(b.kills, i)
		case FaultPacketLoss:
			b.lossy = append(b.lossy, i)
		}
		return
	case Calm:
		b.calms = append(b.calms, i)
		return
	case Quiet:
		b.quiet = i
		return
	}
	c := b.byConn[e.Conn]
	if c == nil {
		return // before its CONNECT, which is nothing a rule speaks of
	}
	switch e.Kind {
	case ConnAck:
		b.connack(i, e, c)
	case Closed:
		if c.closed == none {
			c.closed, c.by = i, e.By
		}
	case Disconnect:
		c.disconnect, c.disconnectCode = i, e.Code
		if e.SessionExpiry != nil {
			c.expiry = *e.SessionExpiry
		}
	case Disconnected:
		c.disconnected = i
	case Drained:
		c.drained = i
		if c.session != nil {
			c.session.drained = i
		}
	case Ping:
		c.requests = append(c.requests, request{i, none})
	case Pong:
		for j := range c.requests { // the first that has no answer
			if r := &c.requests[j]; r.answered == none && b.h[r.sent].Kind == Ping {
				b.answered(c, r, i)
				break
			}
		}
	case Publish:
		b.publish(i, e, c)
	case PubAck, PubRec:
		b.acked(i, e, c)
	case Deliver:
		b.deliver(i, e, c)
	case Release:
		if c.session != nil {
			delete(c.session.unreleased, e.PacketID)
		}
	case Subscribe, Unsubscribe, SubAck, UnsubAck:
		b.subscription(i, e, c)
	}
}

// answered notes that a request has its answer: the connection lived when it was sent.
func (b *builder) answered(c *conn, r *request, i int) {
	r.answered = i
	c.served = max(c.served, r.sent)
	c.aliveUntil = max(c.aliveUntil, b.h[r.sent].At)
}

func (b *builder) answer(c *conn, sent, i int) {
	for j := range c.requests {
		if c.requests[j].sent == sent {
			b.answered(c, &c.requests[j], i)
			return
		}
	}
}

func (b *builder) connect(i int, e *Event) {
	if b.byConn[e.Conn] != nil {
		return // a second CONNECT is for other tests
	}
	c := &conn{
		number: e.Conn, client: e.Client, node: e.Node, connect: i, connack: none, closed: none, clean: e.CleanStart, will: e.Will,
		disconnect: none, disconnected: none, drained: none, served: none, aliveUntil: e.At,
	}
	if e.SessionExpiry != nil {
		c.expiry = *e.SessionExpiry
	}
	cl := b.clients[e.Client]
	if cl == nil {
		cl = new(client)
		b.clients[e.Client] = cl
	}
	for _, other := range cl.conns {
		if other.connack == none && other.closed == none {
			cl.tangled = true
		}
	}
	cl.conns = append(cl.conns, c)
	b.byConn[e.Conn] = c
	b.conns = append(b.conns, c)
	if w := e.Will; w != nil && w.Message != "" && b.messages[w.Message] == nil {
		m := &message{name: w.Message, topic: w.Topic, client: e.Client, qos: w.QoS, retain: w.Retain, will: c}
		b.messages[w.Message] = m
		b.order = append(b.order, m)
	}
}

func (b *builder) connack(i int, e *Event, c *conn) {
	c.connack = i
	if failed(e.Code) || c.session != nil {
		return
	}
	if e.SessionExpiry != nil {
		c.expiry = *e.SessionExpiry
	}
	c.present = e.SessionPresent
	cl := b.clients[c.client]
	var s *session
	if n := len(cl.sessions); c.present && n > 0 {
		s = cl.sessions[n-1]
	} else {
		s = &session{client: c.client, owner: cl, drained: none, uncertain: never, unreleased: make(map[uint16]*delivery), fromNothing: c.present}
		cl.sessions = append(cl.sessions, s)
		b.sessions = append(b.sessions, s)
	}
	s.conns = append(s.conns, c)
	c.session = s
}

func (b *builder) publish(i int, e *Event, c *conn) {
	t := &transmission{conn: c, event: i, packetID: e.PacketID, dup: e.Dup, ack: none}
	if e.QoS > 0 {
		b.published[exchange{c, e.PacketID}] = t
		c.requests = append(c.requests, request{i, none})
	}
	name := e.Message
	if e.Empty {
		// It has no name of its own. What goes on with an exchange of QoS 2 is known by that; another repetition is another one of the same.
		name = emptyName(i)
		if before := b.emptyBefore(e, c); before != nil {
			name = before.name
		}
	}
	m := b.messages[name]
	if m == nil {
		m = &message{name: name, topic: e.Topic, client: e.Client, qos: e.QoS, retain: e.Retain, empty: e.Empty, expires: e.Expires}
		b.messages[name] = m
		b.order = append(b.order, m)
	}
	if e.QoS == 2 && e.Dup && c.present {
		for _, before := range m.sends {
			t.again = t.again || (before.packetID == t.packetID && before.conn.session == c.session)
		}
	}
	m.sends = append(m.sends, t)
}

// emptyBefore returns the empty message with whose exchange of QoS 2 a PUBLISH goes on, or nil.
func (b *builder) emptyBefore(e *Event, c *conn) *message {
	if e.QoS != 2 || !e.Dup || !c.present {
		return nil
	}
	for _, m := range slices.Backward(b.order) {
		if !m.empty || m.client != e.Client || m.topic != e.Topic {
			continue
		}
		if last := m.sends[len(m.sends)-1]; last.packetID == e.PacketID {
			if last.conn.session == c.session {
				return m
			}
			return nil
		}
	}
	return nil
}

func (b *builder) acked(i int, e *Event, c *conn) {
	at := exchange{c, e.PacketID}
	t := b.published[at]
	if t == nil || t.ack != none {
		return
	}
	t.ack, t.code = i, e.Code
	b.answer(c, t.event, i)
}

func (b *builder) deliver(i int, e *Event, c *conn) {
	s := c.session
	if s == nil || e.Empty || e.Corrupt != "" {
		return
	}
	m := b.messages[e.Message]
	if m == nil {
		return
	}
	if e.QoS == 2 {
		if before := s.unreleased[e.PacketID]; before != nil && before.m == m {
			before.repeats = append(before.repeats, i)
			return
		}
		if later := b.laterOn(s, m, e.PacketID, c); later != nil {
			later.repeats = append(later.repeats, i)
			return
		}
	}
	d := &delivery{m: m, conn: c, event: i, qos: e.QoS, dup: e.Dup, retain: e.Retain}
	if e.QoS == 2 {
		s.unreleased[e.PacketID] = d
	}
	s.deliveries = append(s.deliveries, d)
}

// laterOn returns the same delivery on a later connection of the client's. Who connects anew may still read what had come on the connection before; by
// then the exchange may be over on the new one.
func (b *builder) laterOn(s *session, m *message, packetID uint16, c *conn) *delivery {
	last := s.conns[len(s.conns)-1]
	if last == c || last.connack == none {
		return nil
	}
	for _, d := range slices.Backward(s.deliveries) {
		if d.m == m && d.conn.number > c.number && d.qos == 2 && b.h[d.event].PacketID == packetID {
			return d
		}
	}
	return nil
}

func (b *builder) subscription(i int, e *Event, c *conn) {
	s := c.session
	if s == nil {
		return
	}
	at := exchange{c, e.PacketID}
	switch e.Kind {
	case Subscribe:
		b.subscribes[at] = i
		c.requests = append(c.requests, request{i, none})
		for _, f := range e.Subscriptions {
			s.end(f.TopicFilter, i)
			sub := &subscription{Subscription: f, sent: i, acked: none, ended: never, unacked: never}
			sub.filter, sub.group = shareOf(f.TopicFilter)
			s.subs = append(s.subs, sub)
		}
	case SubAck:
		sent, ok := b.subscribes[at]
		if !ok {
			return
		}
		b.answer(c, sent, i)
		n := 0
		for _, sub := range s.subs {
			if sub.sent == sent && n < len(e.Codes) {
				if !failed(e.Codes[n]) {
					sub.acked, sub.granted = i, e.Codes[n]
				}
				n++
			}
		}
	case Unsubscribe:
		b.unsubscribes[at] = i
		c.requests = append(c.requests, request{i, none})
		for _, f := range e.Subscriptions {
			s.end(f.TopicFilter, i)
		}
	case UnsubAck:
		sent, ok := b.unsubscribes[at]
		if !ok {
			return
		}
		b.answer(c, sent, i)
		for _, f := range b.h[sent].Subscriptions {
			for _, sub := range s.subs {
				if sub.TopicFilter == f.TopicFilter && sub.ended <= sent && sub.unacked == never {
					sub.unacked = i
				}
			}
		}
	}
}

// end notes that a filter may be gone, or have become another subscription.
func (s *session) end(filter string, i int) {
	for _, sub := range s.subs {
		if sub.TopicFilter == filter && sub.ended == never {
			sub.ended = i
		}
	}
}

// doubt finds from when on a session may be gone.
func (m *model) doubt(s *session) {
	from := func(i int) { s.uncertain = min(s.uncertain, i) }
	if s.owner.tangled || s.fromNothing {
		from(0)
		return
	}
	first := s.conns[0]
	end, expiry := first.aliveUntil, first.expiry // of the last connection; and the least that was asked for since
	for _, c := range s.owner.conns {
		switch {
		case c.connect < first.connect && c.clean && c.connack == none:
			from(first.connack) // an unanswered Clean Start of long ago may still arrive
			continue
		case c.connect < first.connect:
			continue
		case c != first:
			if c.clean || (c.expiry == 0 && c.session != s) {
				from(c.connect)
			}
			if !c.present && expired(end, m.h[c.connect].At, min(expiry, c.expiry)) {
				from(c.connect)
			}
		}
		if c.session != s {
			expiry = min(expiry, c.expiry) // it may have been accepted
			continue
		}
		end, expiry = c.aliveUntil, c.expiry
		if c.expiry == 0 && c.closed != none {
			from(c.closed)
		}
		if c.expiry == 0 && c.disconnect != none {
			from(c.disconnect)
		}
	}
	if m.excuseLostNodes {
		m.excuse(s)
	}
}

// excuse doubts a session from when the node was killed that had it, or may have had it.
func (m *model) excuse(s *session) {
	for _, k := range m.kills {
		all := s.owner.conns
		for i := len(all) - 1; i >= 0; i-- {
			c := all[i]
			if c.connect > k {
				continue
			}
			if c.node == m.h[k].Node && c.connect >= s.conns[0].connect {
				s.uncertain = min(s.uncertain, k)
			}
			if c.connack != none && c.connack < k && c.session != nil {
				break // where it was before has no part in it
			}
		}
	}
}

// expired reports whether a session that surely lived at end may be over at now.
func expired(end, now time.Duration, expiry uint32) bool {
	return expiry != 1<<32-1 && now-end >= time.Duration(expiry)*time.Second
}

// emptyName names a message that has no name of its own, after its event.
func emptyName(i int) string { return "(empty, event " + strconv.Itoa(i+1) + ")" }
