package history

import (
	"slices"
	"time"
)

// settleWill is how long before the drain a will must have been due, beyond its delay: the broker may learn late that a connection is gone.
const settleWill = 30 * time.Second

// checkWills holds that wills are published when they are due: WillLost, and not otherwise: WillVoid.
func (c *checker) checkWills() {
	for _, m := range c.order {
		k := m.will
		if k == nil || k.connack == none || k.session == nil {
			continue
		}
		if why, from := c.void(k); why != "" {
			c.checkVoid(m, why, from)
		} else if m.qos > 0 {
			c.checkDue(m)
		}
	}
}

// checkDue holds that a will comes that is surely due.
func (c *checker) checkDue(m *message) {
	k := m.will
	if k.closed == none || (k.disconnect != none && k.disconnectCode == 0) {
		return
	}
	due := c.h[k.closed].At + settleWill
	if k.will.Delay > 0 {
		due += time.Duration(k.will.Delay) * time.Second
		for _, other := range c.clients[k.client].conns {
			if other.connect > k.connect && !other.clean {
				return // it may have returned in time
			}
		}
	}
	for _, s := range c.sessions {
		if s.drained == none || s.drained >= s.uncertain || c.h[s.drained].At < due {
			continue
		}
		sub := s.holds(m, k.aliveAt(), s.drained)
		if sub == nil {
			continue
		}
		c.Summary.WillsDue++
		if !slices.ContainsFunc(s.deliveries, func(d *delivery) bool { return d.m == m }) {
			c.found(WillLost, s.client, m, []int{sub.acked, k.connect, k.connack, k.closed, s.drained},
				"the will %q of %s to %q was due and never came, though the session had subscribed to %q before", m.name, k.client, m.topic, sub.TopicFilter)
		}
	}
}

// aliveAt is the sending of the last packet on the connection that was answered: the will was not published before.
func (k *conn) aliveAt() int { return max(k.connect, k.served) }

// void says why a will must not be published, and the events that show it; "" if it may be.
func (c *checker) void(k *conn) (why string, events []int) {
	if k.disconnect != none && k.disconnectCode == 0 && k.closed != none && k.by == ByPeer && k.disconnected == none && c.calm(k.disconnect, k.closed) {
		return "the client had said DISCONNECT", []int{k.disconnect, k.closed}
	}
	if k.closed == none || k.will.Delay == 0 {
		return "", nil
	}
	delay := min(k.will.Delay, k.expiry) // the end of the session publishes the will, too
	for _, next := range c.clients[k.client].conns {
		if next.connect < k.closed {
			if next.connect > k.connect {
				return "", nil // who came first is another matter
			}
			continue
		}
		if next.clean || next.session == nil {
			return "", nil
		}
		if next.present && c.h[next.connack].At-k.aliveUntil < time.Duration(delay)*time.Second {
			return "the client had returned within the delay", []int{k.closed, next.connect, next.connack}
		}
		return "", nil
	}
	return "", nil
}

func (c *checker) checkVoid(m *message, why string, events []int) {
	for _, s := range c.sessions {
		for _, d := range s.deliveries {
			if d.m == m {
				c.found(WillVoid, s.client, m, append(slices.Clone(events), m.will.connect, d.event), "the will %q of %s to %q came, and %s", m.name, m.will.client, m.topic, why)
				return
			}
		}
	}
}
