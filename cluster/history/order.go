package history

import (
	"slices"
	"time"
)

// stream is what has an order: one publisher, topic and QoS; and for one subscriber the QoS it arrives with.
type stream struct {
	publisher, topic string
	published, qos   int
}

// reach is how many messages back Disorder looks for one that should have come later.
const reach = 1000

// checkOrder holds that first deliveries come in the order of their publisher.
func (c *checker) checkOrder() {
	for _, s := range c.sessions {
		streams := make(map[stream][]*delivery)
		for _, list := range s.live() {
			d := list[0]
			if d.m.will != nil || d.m.topic == "" || d.m.refused() {
				continue
			}
			at := stream{d.m.client, d.m.topic, d.m.qos, d.qos}
			streams[at] = append(streams[at], d)
		}
		for _, list := range streams {
			c.checkStream(s, list)
		}
	}
}

func (c *checker) checkStream(s *session, list []*delivery) {
	latest := list[0] // sent last, of those that have come
	for i, d := range list {
		if d.m.firstSent() >= latest.m.firstSent() {
			latest = d
			continue
		}
		for _, before := range slices.Backward(list[max(0, i-reach):i]) {
			if c.precedes(d.m, before.m) && !c.passedOn(s, d, before) && !sentAgain(s, d, before) {
				c.found(Disorder, s.client, d.m, []int{d.m.firstSent(), before.m.firstSent(), before.event, d.event},
					"message %q came after %q and was sent before it", d.m.name, before.m.name)
				break
			}
		}
	}
}

// precedes reports whether a was certainly published before b.
func (c *checker) precedes(a, b *message) bool {
	if ack := a.accepted(); ack != none && ack < b.firstSent() {
		return true
	}
	for _, tb := range b.sends {
		ok := slices.ContainsFunc(a.sends, func(ta *transmission) bool { return ta.conn == tb.conn && ta.event < tb.event })
		if !ok {
			return false
		}
	}
	return true
}

// sentAgain reports whether the late message may have come because it was sent once more, behind the other: it is not certain that there was a
// subscription when it was sent first.
func sentAgain(s *session, late, early *delivery) bool {
	first := late.m.firstSent()
	for _, sub := range s.matching(late.m.topic) {
		if sub.acked != none && sub.acked < first && sub.ended > first {
			return false
		}
	}
	return slices.ContainsFunc(late.m.sends, func(t *transmission) bool {
		return t.event > early.m.firstSent() && t.event < late.event
	})
}

// passedOn reports whether a member of a shared subscription that matches went away while the two messages were on their way,
// as the broker saw it.
func (c *checker) passedOn(s *session, late, early *delivery) bool {
	from := min(late.m.firstSent(), early.m.firstSent())
	for _, sub := range s.matching(late.m.topic) {
		if sub.group != "" && (c.memberLost(sub.group, from, late.event) || c.justClosed(sub.group, from)) {
			return true
		}
	}
	return false
}

// noticed is how long a broker may take to notice that a client has dropped its connection.
const noticed = 100 * time.Millisecond

// justClosed reports whether a member of a group lost its connection so shortly before an event that the broker may have
// noticed afterwards.
func (c *checker) justClosed(group string, event int) bool {
	for _, s := range c.sessions {
		for _, k := range s.conns {
			if k.closed < event && k.closed != none && c.h[k.closed].At >= c.h[event].At-noticed && s.memberOf(group) {
				return true
			}
		}
	}
	return false
}

// memberLost reports whether a member of a group lost its connection, or left the group, between two events; or may have,
// because a fault was in effect.
func (c *checker) memberLost(group string, from, to int) bool {
	if !c.calm(from, to) {
		return true
	}
	for _, s := range c.sessions {
		if !s.memberOf(group) {
			continue
		}
		for _, k := range s.conns {
			for _, i := range []int{k.closed, k.disconnect, k.connect} {
				if i >= from && i <= to {
					return true
				}
			}
			if k.connect != none && k.connect < from && (k.connack == none || k.connack >= from) && (k.closed == none || k.closed >= from) {
				return true // the client was connecting, and its connection before that one was about to end
			}
			if k.disconnect != none && k.disconnect < from && (k.closed == none || k.closed >= from) {
				return true // the client had taken its leave, and its node had not read that yet
			}
		}
		for _, sub := range s.subs {
			if sub.group == group && sub.ended >= from && sub.ended <= to {
				return true
			}
		}
	}
	return false
}

func (s *session) memberOf(group string) bool {
	return slices.ContainsFunc(s.subs, func(sub *subscription) bool { return sub.group == group })
}
