package history

// checkShared holds that each message comes to one member of each group: SharedTwice, SharedLost.
func (c *checker) checkShared() {
	groups := make(map[string][]*session)
	var names []string
	for _, s := range c.sessions {
		seen := make(map[string]bool)
		for _, sub := range s.subs {
			if sub.group != "" && !seen[sub.group] {
				seen[sub.group] = true
				if groups[sub.group] == nil {
					names = append(names, sub.group)
				}
				groups[sub.group] = append(groups[sub.group], s)
			}
		}
	}
	for _, g := range names {
		got := make(map[*message][]*delivery) // first deliveries by the group alone, one for each session
		for _, s := range groups[g] {
			for _, list := range s.live() {
				if s.onlyBy(g, list[0].m.topic) {
					got[list[0].m] = append(got[list[0].m], list[0])
				}
			}
		}
		for _, m := range c.order {
			if m.topic == "" || m.empty || m.will != nil {
				continue
			}
			c.checkSharedTwice(g, m, got[m])
			if len(got[m]) == 0 {
				c.checkSharedLost(g, groups[g], m)
			}
		}
	}
}

// onlyBy reports whether a group is all by which a session may get messages to a topic.
func (s *session) onlyBy(group, topic string) bool {
	for _, sub := range s.matching(topic) {
		if sub.group != group {
			return false
		}
	}
	return true
}

func (c *checker) checkSharedTwice(group string, m *message, list []*delivery) {
	if len(list) <= m.exchanges() {
		return
	}
	from, to := m.firstSent(), 0
	for _, d := range list {
		to = max(to, d.event)
	}
	if c.memberLost(group, from, to) {
		return
	}
	c.found(SharedTwice, list[0].conn.client, m, append(eventsOf(list), from), "message %q came to %d members of %q", m.name, len(list), group)
}

func (c *checker) checkSharedLost(group string, members []*session, m *message) {
	ack := m.accepted()
	if m.qos == 0 || ack == none || m.expires {
		return
	}
	var lasting *session
	var by *subscription
	for _, s := range members {
		if !s.onlyBy(group, m.topic) || !s.keepsUntilEnd(group, m) || c.lostNode(s, m) {
			return // it may have got the message otherwise, or taken it along
		}
		for _, sub := range s.matching(m.topic) {
			if sub.acked != none && sub.acked < m.firstSent() && sub.granted > 0 && sub.ended == never && s.drained > ack && s.uncertain > s.drained {
				lasting, by = s, sub
			}
		}
	}
	if lasting == nil {
		return
	}
	c.Summary.MustArrive++
	c.found(SharedLost, lasting.client, m, []int{by.acked, m.firstSent(), ack, lasting.drained}, "message %q of QoS %d to %q was acknowledged and came to no member of %q", m.name, m.qos, m.topic, group)
}

// keepsUntilEnd reports whether a session surely took no message along: it is drained after the message's acknowledgement and still there, or
// it is one that ends with its connection and holds nothing of QoS 2 back.
func (s *session) keepsUntilEnd(group string, m *message) bool {
	for _, sub := range s.subs {
		if sub.group == group && (sub.ended != never || sub.QoS == 0 || (sub.acked != none && sub.granted == 0)) {
			return false
		}
	}
	if s.drained > m.accepted() && s.uncertain > s.drained {
		return true
	}
	if s.uncertain < m.firstSent() && s.conns[len(s.conns)-1].expiry == 0 {
		return true // it was over before
	}
	for _, k := range s.conns {
		if k.expiry != 0 {
			return false
		}
	}
	return m.qos == 1
}

// lostNode reports whether a message may have been lost with a member's node, where that is excused.
func (c *checker) lostNode(s *session, m *message) bool {
	if !c.excuseLostNodes {
		return false
	}
	for _, i := range c.kills {
		for _, k := range s.conns {
			if i > m.firstSent() && c.h[i].Node == k.node && k.connect < i && (k.closed == none || k.closed > m.firstSent()) {
				return true
			}
		}
	}
	return false
}
