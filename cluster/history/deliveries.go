package history

// checkDeliveries holds each message that was received to Unknown, Corrupted, NotSubscribed and PacketIdentifier.
func (c *checker) checkDeliveries() {
	for _, m := range c.order {
		c.Summary.Messages++
		for _, t := range m.sends {
			e := &c.h[t.event]
			if e.Topic != m.topic || e.QoS != m.qos {
				// The history itself is wrong; nothing can be said about such a message.
				m.topic = ""
			}
		}
	}
	for i := range c.h {
		e := &c.h[i]
		if e.Kind == Deliver {
			c.Summary.Deliveries++
			c.checkDelivery(i, e)
		}
	}
	for _, s := range c.sessions {
		c.checkIdentifiers(s)
		for _, d := range s.deliveries {
			c.checkUnsubscribed(s, d)
			c.checkDup(s, d)
		}
	}
}

func (c *checker) checkDelivery(i int, e *Event) {
	conn := c.byConn[e.Conn]
	switch {
	case e.Corrupt != "":
		c.found(Corrupted, e.Client, c.messages[e.Message], []int{i}, "the payload of a message to %q is not what anybody sent: %s", e.Topic, e.Corrupt)
		return
	case e.Empty:
		c.checkEmpty(i, e)
	default:
		c.checkSent(i, e)
	}
	if conn == nil || conn.session == nil || conn.session.fromNothing || conn.session.owner.tangled {
		return
	}
	for _, sub := range conn.session.matching(e.Topic) {
		if sub.sent < i {
			return
		}
	}
	c.found(NotSubscribed, e.Client, c.messages[e.Message], []int{conn.connack, i}, "a message to %q, which no subscription of the session matches", e.Topic)
}

func (c *checker) checkSent(i int, e *Event) {
	m := c.messages[e.Message]
	if m != nil && m.topic == "" {
		return
	}
	switch {
	case m == nil:
		c.found(Unknown, e.Client, &message{name: e.Message}, []int{i}, "message %q to %q was never sent", e.Message, e.Topic)
	case m.topic != e.Topic:
		c.found(Unknown, e.Client, m, []int{m.sentAt(), i}, "message %q came to %q and was sent to %q", m.name, e.Topic, m.topic)
	case m.sentAt() > i:
		c.found(Unknown, e.Client, m, []int{i, m.sentAt()}, "message %q came before it was sent", m.name)
	case e.QoS > m.qos:
		c.found(Unknown, e.Client, m, []int{m.sentAt(), i}, "message %q came with QoS %d and was sent with QoS %d", m.name, e.QoS, m.qos)
	}
}

// checkEmpty holds that somebody sent an empty message to the topic.
func (c *checker) checkEmpty(i int, e *Event) {
	for _, m := range c.order {
		if m.empty && m.topic == e.Topic && m.sentAt() < i {
			return
		}
	}
	for _, k := range c.conns {
		if k.will != nil && k.will.Empty && k.will.Topic == e.Topic && k.connect < i {
			return
		}
	}
	c.found(Unknown, e.Client, nil, []int{i}, "an empty message to %q was never sent", e.Topic)
}

// sentAt is when the message, or the CONNECT with the will, was sent.
func (m *message) sentAt() int {
	if m.will != nil {
		return m.will.connect
	}
	return m.firstSent()
}

// checkUnsubscribed holds that nothing comes that was sent after UNSUBACK [MQTT-3.10.4-2].
func (c *checker) checkUnsubscribed(s *session, d *delivery) {
	if d.m.will != nil || d.m.firstSent() >= s.uncertain {
		return
	}
	ack := none
	for _, sub := range s.matching(d.m.topic) {
		if sub.sent > d.event {
			continue
		}
		if sub.unacked > d.m.firstSent() && !sub.replacedBefore(s, d.m.firstSent()) {
			return
		}
		if sub.unacked != never {
			ack = max(ack, sub.unacked)
		}
	}
	if ack != none {
		c.found(NotSubscribed, s.client, d.m, []int{ack, d.m.firstSent(), d.event}, "message %q was sent after the session had unsubscribed from %q", d.m.name, d.m.topic)
	}
}

// replacedBefore reports whether another SUBSCRIBE of the same filter took the subscription's place before an event.
func (sub *subscription) replacedBefore(s *session, i int) bool {
	for _, other := range s.subs {
		if other.TopicFilter == sub.TopicFilter && other.sent > sub.sent && other.acked != none && other.acked < i {
			return true
		}
	}
	return false
}

func (c *checker) checkDup(s *session, d *delivery) {
	if !d.dup || d.qos == 0 || d.conn != s.conns[0] || d.conn.present {
		return
	}
	for _, sub := range s.matching(d.m.topic) {
		if sub.group != "" {
			return // another member may have had it before
		}
	}
	c.found(DupFlag, s.client, d.m, []int{d.conn.connack, d.event}, "message %q has DUP set on the first connection of the session", d.m.name)
}

// checkIdentifiers holds that a packet identifier stays that of one message until PUBREL [MQTT-4.3.3-10].
func (c *checker) checkIdentifiers(s *session) {
	open := make(map[uint16]*delivery)
	next := 0
	for i := range c.h {
		e := &c.h[i]
		if e.Kind != Release && e.Kind != Deliver || e.Client != s.client {
			continue
		}
		if conn := c.byConn[e.Conn]; conn == nil || conn.session != s || i >= s.uncertain {
			continue
		}
		if e.Kind == Release {
			delete(open, e.PacketID)
			continue
		}
		for next < len(s.deliveries) && s.deliveries[next].event < i {
			next++
		}
		if e.QoS != 2 || next == len(s.deliveries) || s.deliveries[next].event != i {
			continue
		}
		d := s.deliveries[next]
		if before := open[e.PacketID]; before != nil && before.m != d.m {
			c.found(PacketIdentifier, s.client, d.m, []int{before.event, i}, "packet identifier %d came for message %q while that of message %q was not released", e.PacketID, d.m.name, before.m.name)
		}
		open[e.PacketID] = d
	}
}
