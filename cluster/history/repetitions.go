package history

import "strconv"

// checkRepetitions holds how often a message comes: ExactlyOnce, Repeated, AtMostOnce, and WillTwice for wills.
func (c *checker) checkRepetitions() {
	for _, s := range c.sessions {
		for _, list := range s.live() {
			c.checkMessage(s, list)
		}
	}
}

// live returns the deliveries of each message that are not those of a retained one, in the order of their first ones.
func (s *session) live() (lists [][]*delivery) {
	at := make(map[*message]int)
	for _, d := range s.deliveries {
		if d.retain {
			continue
		}
		i, ok := at[d.m]
		if !ok {
			i = len(lists)
			at[d.m] = i
			lists = append(lists, nil)
		}
		lists[i] = append(lists[i], d)
	}
	return lists
}

// checkMessage checks the deliveries of one message to one session.
func (c *checker) checkMessage(s *session, list []*delivery) {
	m := list[0].m
	most := m.exchanges() * s.copies(m.topic)
	var byQoS [3][]*delivery
	for _, d := range list {
		if d.event < s.uncertain && d.qos < len(byQoS) {
			byQoS[d.qos] = append(byQoS[d.qos], d)
		}
	}
	rule := func(r Rule) Rule {
		if m.will != nil {
			return WillTwice
		}
		return r
	}
	if d := byQoS[2]; len(d) > most {
		c.found(rule(ExactlyOnce), s.client, m, eventsOf(d), "QoS 2 message %q came %d times and was published %s", m.name, len(d), times(most))
	}
	if d := byQoS[0]; len(d) > most {
		c.found(rule(AtMostOnce), s.client, m, eventsOf(d), "QoS 0 message %q came %d times and was published %s", m.name, len(d), times(most))
	}
	c.checkAtLeastOnce(s, m, byQoS[1], most, rule(Repeated))
	perConn := make(map[*conn]int)
	for _, d := range byQoS[2] {
		seen := make(map[*conn]int)
		seen[d.conn]++
		for _, e := range d.repeats {
			seen[c.byConn[c.h[e].Conn]]++
		}
		for k, n := range seen {
			perConn[k] = max(perConn[k], n)
			if n > most && perConn[k] == n {
				c.found(rule(Repeated), s.client, m, append(d.repeats, d.event), "QoS 2 message %q came %d times on connection %d", m.name, n, k.number)
			}
		}
	}
}

func (c *checker) checkAtLeastOnce(s *session, m *message, list []*delivery, most int, r Rule) {
	perConn := make(map[*conn][]*delivery)
	var fresh []*delivery // without DUP
	for _, d := range list {
		perConn[d.conn] = append(perConn[d.conn], d)
		if !d.dup {
			fresh = append(fresh, d)
		}
	}
	for _, k := range s.conns {
		if d := perConn[k]; len(d) > most {
			c.found(r, s.client, m, eventsOf(d), "QoS 1 message %q came %d times on connection %d and was published %s", m.name, len(d), k.number, times(most))
			return
		}
	}
	if len(fresh) > most && !c.forgotten(fresh[0].event, fresh[len(fresh)-1].event) {
		c.found(r, s.client, m, eventsOf(fresh), "QoS 1 message %q came %d times without DUP and was published %s", m.name, len(fresh), times(most))
	}
}

func eventsOf(list []*delivery) []int {
	events := make([]int, len(list))
	for i, d := range list {
		events[i] = d.event
	}
	return events
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return "at most " + strconv.Itoa(n) + " times"
}
