package history

// checkLoss holds that what was acknowledged arrives: MessageLost.
func (c *checker) checkLoss() {
	for _, s := range c.sessions {
		if s.drained == none || s.drained >= s.uncertain {
			continue
		}
		got := make(map[*message]bool, len(s.deliveries))
		for _, d := range s.deliveries {
			got[d.m] = true
		}
		for _, m := range c.order {
			ack := m.accepted()
			if m.qos == 0 || m.empty || m.topic == "" || ack == none || ack > s.drained || m.expires {
				continue
			}
			sub := s.holds(m, m.firstSent(), s.drained)
			if sub == nil {
				continue
			}
			c.Summary.MustArrive++
			if !got[m] {
				c.found(MessageLost, s.client, m, []int{sub.acked, m.firstSent(), ack, s.drained},
					"message %q of QoS %d to %q was acknowledged and never came, though the session had subscribed to %q before", m.name, m.qos, m.topic, sub.TopicFilter)
			}
		}
	}
}

// holds returns a subscription by which the session must get a message that was sent at an event: one that was granted before, for at
// least QoS 1, and stays until another.
func (s *session) holds(m *message, sent, until int) *subscription {
	for _, sub := range s.matching(m.topic) {
		if sub.group != "" || sub.acked == none || sub.acked > sent || sub.granted < 1 || (sub.NoLocal && s.client == m.client) {
			continue
		}
		if sub.ended > until {
			return sub
		}
	}
	return nil
}
