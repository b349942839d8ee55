package history

import (
	"slices"

	"github.com/shoalmq/shoal/topics"
)

// write is one PUBLISH with RETAIN, or a will with it.
type write struct {
	m     *message
	sent  int
	done  int // from here on it changes nothing any more; never, if nobody knows
	acked int // when it certainly was in effect; never
}

// checkRetained holds what new subscriptions read: RetainedStale, RetainedMissing, RetainedDiffers.
func (c *checker) checkRetained() {
	writes := c.writes()
	var topicNames []string
	for topic := range writes {
		topicNames = append(topicNames, topic)
	}
	slices.Sort(topicNames)
	for _, s := range c.sessions {
		for _, d := range s.deliveries {
			if d.retain && writes[d.m.topic] != nil {
				c.checkStale(s, d, writes[d.m.topic])
			}
		}
	}
	for _, topic := range topicNames {
		c.checkReaders(topic, writes[topic])
	}
}

// writes returns what was retained, by topic. A transmission is a write of its own: each may have taken effect. One that goes on with an exchange of
// QoS 2 is a write since the beginning of that.
func (c *checker) writes() map[string][]*write {
	all := make(map[string][]*write)
	for _, m := range c.order {
		if !m.retain || m.topic == "" {
			continue
		}
		if m.will != nil {
			all[m.topic] = append(all[m.topic], &write{m: m, sent: m.will.connect, done: never, acked: never})
		}
		began := none
		for _, t := range m.sends {
			if !t.again {
				began = t.event // else the answer is about the whole exchange: the message may have taken effect when it was first sent
			}
			w := &write{m: m, sent: began, done: never, acked: never}
			if t.ack != none {
				w.done = t.ack
				if !failed(t.code) {
					w.acked = t.ack
				}
			}
			all[m.topic] = append(all[m.topic], w)
		}
	}
	return all
}

// replacedBy returns an acknowledged write that surely replaced w before an event.
func (w *write) replacedBy(writes []*write, before int) *write {
	for _, other := range writes {
		if w.done < other.sent && other.acked < before {
			return other
		}
	}
	return nil
}

// checkStale holds that a retained message was not replaced before the subscription was made.
func (c *checker) checkStale(s *session, d *delivery, writes []*write) {
	made := never // the first subscription that may have asked for it
	for _, sub := range s.matching(d.m.topic) {
		if sub.RetainAsPublished {
			return
		}
		made = min(made, sub.sent)
	}
	var by *write
	for _, w := range writes {
		if w.m != d.m {
			continue
		}
		if by = w.replacedBy(writes, made); by == nil {
			return
		}
	}
	if by != nil {
		c.found(RetainedStale, s.client, d.m, []int{d.m.sentAt(), by.sent, by.acked, made, d.event},
			"retained message %q to %q came to a subscription that was made after %q had replaced it", d.m.name, d.m.topic, by.m.name)
	}
}

// reading is what a new subscription got.
type reading struct {
	sub *subscription
	s   *session
	got *delivery // the last; nil for none
}

// readings returns what subscriptions on the first connections of new sessions read of a topic.
func (c *checker) readings(topic string) (list []reading) {
	for _, s := range c.sessions {
		k := s.conns[0]
		if k.present || k.drained == none || k.session != s || len(s.matching(topic)) != 1 {
			continue
		}
		sub := s.matching(topic)[0]
		if sub.group != "" || sub.RetainHandling == 2 || sub.acked == none || sub.ended < k.drained || !topics.Match(sub.filter, topic) ||
			sub.acked > k.drained || (k.closed != none && k.closed < k.drained) {
			continue
		}
		if !slices.ContainsFunc(c.h[sub.sent:sub.acked], func(e Event) bool { return e.Conn == k.number && e.Kind == Subscribe }) {
			continue
		}
		r := reading{sub: sub, s: s}
		for _, d := range s.deliveries {
			// What is published with RETAIN while the subscription is being made may come as any message does, and does not come twice.
			if d.conn == k && (d.retain || d.m.retain && d.event < sub.acked) && d.m.topic == topic && d.event < k.drained {
				r.got = d
			}
		}
		list = append(list, r)
	}
	return list
}

func (c *checker) checkReaders(topic string, writes []*write) {
	var first *reading
	for _, r := range c.readings(topic) {
		c.Summary.RetainedRead++
		if w := surely(writes, r.sub.sent); w != nil && r.got == nil {
			c.found(RetainedMissing, r.s.client, w.m, []int{w.sent, w.acked, r.sub.sent, r.sub.acked, r.s.conns[0].drained},
				"node %s has no retained message for %q, and %q was acknowledged before", r.s.conns[0].node, topic, w.m.name)
		}
		if c.quiet == none || r.sub.sent < c.quiet || slices.ContainsFunc(writes, func(w *write) bool { return w.sent > c.quiet }) {
			continue
		}
		if first == nil {
			first = &r
			continue
		}
		if a, b := first.name(), r.name(); a != b {
			c.found(RetainedDiffers, r.s.client, nil, []int{first.sub.sent, first.event(), r.sub.sent, r.event()},
				"node %s has %s retained for %q, and node %s has %s", first.s.conns[0].node, a, topic, r.s.conns[0].node, b)
		}
	}
}

// surely returns an acknowledged write by which there must be a retained message at an event; nil if there may be none.
func surely(writes []*write, at int) (sure *write) {
	for _, w := range writes {
		if (w.m.empty || w.m.expires || w.m.will != nil) && w.replacedBy(writes, at) == nil {
			return nil
		}
		if w.acked < at && !w.m.empty {
			sure = w
		}
	}
	return sure
}

func (r *reading) name() string {
	if r.got == nil {
		return "nothing"
	}
	return "message " + r.got.m.name
}

func (r *reading) event() int {
	if r.got == nil {
		return none
	}
	return r.got.event
}
