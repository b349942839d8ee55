package history

import "slices"

// checkConnections holds that a client has one connection: TwoConnections, StaleOwner, Unasked.
func (c *checker) checkConnections() {
	for _, a := range c.conns {
		if a.session == nil {
			continue
		}
		var b *conn
		for _, other := range c.clients[a.client].conns {
			if other.session != nil && other.connect > a.connack && (b == nil || other.connack < b.connack) {
				b = other
			}
		}
		if b != nil {
			c.checkSuperseded(a, b)
		}
	}
	c.checkAnswers()
}

// checkSuperseded holds that nothing that began after b's CONNACK happens on a, which is an older connection of the client.
func (c *checker) checkSuperseded(a, b *conn) {
	for _, r := range a.requests {
		if r.sent < b.connack || r.answered == none {
			continue
		}
		asked, answer := &c.h[r.sent], &c.h[r.answered]
		events := []int{a.connack, b.connack, r.sent, r.answered}
		switch {
		case asked.Kind == Publish && !failed(answer.Code):
			c.found(StaleOwner, a.client, c.messages[asked.Message], events,
				"connection %d on node %s acknowledged a message that was sent after connection %d on node %s had been accepted", a.number, a.node, b.number, b.node)
		case asked.Kind != Publish && (len(answer.Codes) == 0 || !failed(slices.Min(answer.Codes))):
			c.found(TwoConnections, a.client, nil, events,
				"connection %d on node %s answered a %s that was sent after connection %d on node %s had been accepted", a.number, a.node, asked.Kind, b.number, b.node)
		}
	}
	for _, d := range a.session.deliveries {
		if sent := d.m.firstSent(); d.conn == a && sent != never && sent > b.connack {
			c.found(TwoConnections, a.client, d.m, []int{a.connack, b.connack, sent, d.event},
				"connection %d on node %s got a message that was sent after connection %d on node %s had been accepted", a.number, a.node, b.number, b.node)
		}
	}
}

// checkAnswers holds that acknowledgements answer something that is open on their connection.
func (c *checker) checkAnswers() {
	open := make(map[exchange]Kind) // what the next answer is
	for i := range c.h {
		e := &c.h[i]
		conn := c.byConn[e.Conn]
		if conn == nil {
			continue
		}
		at := exchange{conn, e.PacketID}
		switch e.Kind {
		case Publish:
			switch e.QoS {
			case 1:
				open[at] = PubAck
			case 2:
				open[at] = PubRec
			}
		case PubRel:
			open[at] = PubComp
		case Subscribe:
			open[at] = SubAck
		case Unsubscribe:
			open[at] = UnsubAck
		case PubAck, PubRec, PubComp, SubAck, UnsubAck:
			if open[at] != e.Kind {
				c.found(Unasked, e.Client, nil, []int{i}, "connection %d got a %s for packet identifier %d, to which nothing is open", e.Conn, e.Kind, e.PacketID)
				continue
			}
			if e.Kind == PubAck || (e.Kind == PubRec && !failed(e.Code)) {
				c.Summary.Acknowledged++
			}
			delete(open, at)
		}
	}
}

// checkSessionPresent holds what CONNACKs say about sessions.
func (c *checker) checkSessionPresent() {
	for _, cl := range c.clients {
		kept := false // a CONNECT before this one asked for a session that outlives its connection
		for _, k := range cl.conns {
			if k.session != nil {
				switch {
				case k.present && k.clean:
					c.found(SessionPresentWrong, k.client, nil, []int{k.connect, k.connack}, "Session Present is 1 after Clean Start")
				case k.present && !kept && !cl.tangled:
					c.found(SessionPresentWrong, k.client, nil, []int{k.connect, k.connack}, "Session Present is 1, and this client never had a session that outlives a connection")
				case !k.present:
					c.checkSessionLost(cl, k)
				}
			}
			kept = kept || c.h[k.connect].keepsSession()
		}
	}
}

func (e *Event) keepsSession() bool { return e.SessionExpiry != nil && *e.SessionExpiry > 0 }

// checkSessionLost holds that a CONNACK without a session means that there need not be one.
func (c *checker) checkSessionLost(cl *client, k *conn) {
	var before *session
	for _, s := range cl.sessions {
		if s != k.session && s.conns[0].connack < k.connack {
			before = s
		}
	}
	if before == nil || k.clean || before.uncertain <= k.connack {
		return
	}
	old := before.conns[len(before.conns)-1]
	if old.expiry == 0 || old.connack > k.connect || expired(old.aliveUntil, c.h[k.connack].At, min(old.expiry, k.expiry)) {
		return
	}
	c.found(SessionPresentWrong, k.client, nil, []int{old.connect, old.connack, old.closed, k.connect, k.connack},
		"Session Present is 0, and the session of connection %d on node %s must be there", old.number, old.node)
}
