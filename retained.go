package shoal

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/quota"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// retained keeps the last retained message of each topic.
type retained struct {
	names atomic.Pointer[topics.Names[*core.Message]]

	mu     sync.Mutex // serialises changes
	timers map[string]*time.Timer
	// tenants has the accounts of those messages that belong to a tenant.
	tenants map[string]*quota.Account
	totals  *totals
	closed  bool
	now     func() int64 // Broker.nano
	timely  func() bool  // Broker.timely
}

func (r *retained) init(now func() int64, timely func() bool) {
	r.now, r.timely = now, timely
	r.names.Store(topics.NewNames[*core.Message]())
	r.timers = make(map[string]*time.Timer)
	r.tenants = make(map[string]*quota.Account)
}

func (r *retained) len() int { return r.names.Load().Len() }

// set keeps m, of a tenant, or forgets the topic's message if m's payload is empty [MQTT-3.3.1-6, -7].
func (r *retained) set(m *core.Message, tenant string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.timers[m.TopicName]; t != nil {
		t.Stop()
		delete(r.timers, m.TopicName)
	}
	r.remove(m.TopicName)
	if len(m.Payload) == 0 {
		return
	}
	r.names.Load().Set(m.TopicName, m)
	a := r.totals.Open(tenant)
	a.Add(quota.RetainedMessages, 1)
	a.Add(quota.RetainedBytes, retainedBytes(m))
	if tenant != "" {
		r.tenants[m.TopicName] = a
	}
	if m.Expires != 0 {
		r.await(m, time.Duration(m.Expires-r.now()))
	}
}

// remove forgets the message of a topic, if there is one. The caller holds mu.
func (r *retained) remove(topic string) {
	old, known := r.names.Load().Get(topic)
	if !known {
		return
	}
	r.names.Load().Delete(topic)
	a := &r.totals.Whole
	if tenant := r.tenants[topic]; tenant != nil {
		a = tenant
		delete(r.tenants, topic)
	}
	a.Add(quota.RetainedMessages, -1)
	a.Add(quota.RetainedBytes, -retainedBytes(old))
	r.totals.Close(a)
}

// await sees to the end of m after a while. The caller holds mu.
func (r *retained) await(m *core.Message, left time.Duration) {
	if !r.closed {
		r.timers[m.TopicName] = time.AfterFunc(max(left, 0), func() { r.expire(m) })
	}
}

// expire forgets m, if it is still the one that is kept.
func (r *retained) expire(m *core.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now, ok := r.names.Load().Get(m.TopicName); ok && now == m {
		if !r.timely() {
			r.await(m, untimely)
			return
		}
		if left := time.Duration(m.Expires - r.now()); left > 0 { // the time was not known when this began
			r.await(m, left)
			return
		}
		r.remove(m.TopicName)
		delete(r.timers, m.TopicName)
	}
}

// clear forgets everything.
func (r *retained) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.timers {
		t.Stop()
	}
	clear(r.timers)
	var all []string
	for _, f := range []string{"#", "$SYS/#"} {
		r.names.Load().Match(f, func(topic string, _ *core.Message) bool {
			all = append(all, topic)
			return true
		})
	}
	for _, topic := range all {
		r.remove(topic)
	}
	r.names.Store(topics.NewNames[*core.Message]())
}

// stop stops the timers, at the end of the broker.
func (r *retained) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, t := range r.timers {
		t.Stop()
	}
}

// retain keeps the message that is being routed, before it is matched, so that a subscription made meanwhile gets it
// one way or the other.
func (b *Broker) retain(sc *scratch) {
	r := &sc.r
	if b.cluster != nil {
		b.cluster.retain(r)
		return
	}
	m := r.message()
	b.retained.set(m, b.tenantOfPublisher(m.Publisher))
	if b.journal == nil {
		return
	}
	b.journal.own.write(retainedOp(m))
	r.store = true
}

func retainedOp(m *core.Message) Op {
	if len(m.Payload) == 0 {
		return Op{Space: spaceRetained, Key: []byte(m.TopicName)}
	}
	return Op{Space: spaceRetained, Key: []byte(m.TopicName), Value: appendMessage(newRecord(), m)}
}

// sendRetained sends a new subscription the retained messages that match [MQTT-3.3.1-9..11]; none to a shared one.
// It waits for the client when there are many.
func (b *Broker) sendRetained(sc *scratch, sub *subscription, isNew bool) {
	if sub.shared || sub.retainHandling == 2 || (sub.retainHandling == 1 && !isNew) {
		return
	}
	var found []*core.Message
	b.retained.names.Load().Match(sub.match, func(_ string, m *core.Message) bool {
		found = append(found, m)
		return true
	})
	found = append(found, b.sys.messages(sub.match, sc.now)...)
	for _, m := range found {
		if m.Expired(sc.nano) || (sub.noLocal && m.Publisher == sub.owner() && m.Publisher != "") {
			continue
		}
		if !b.mayStillBeRetained(sc, m) {
			continue
		}
		if len(b.hooks.deliver) > 0 {
			sc.flush()
			if !b.mayDeliver(sub, m, sc.nano) {
				continue
			}
		}
		if sub.local != nil {
			sub.local.pushRetained(m, b.cfg.customs.outgoing(sub.qos, m.QoS), sub.ids)
			continue
		}
		if !sub.s.deliverRetained(sc, m, sub) {
			return
		}
	}
}

// deliverRetained delivers one retained message. It reports false when the connection has ended.
func (s *session) deliverRetained(sc *scratch, m *core.Message, sub *subscription) bool {
	s.mu.Lock()
	c := s.conn
	_, had := s.catching[m.ID]
	if c == nil || had {
		s.mu.Unlock()
		return c != nil // a message that came live meanwhile does not come twice
	}
	s.b.metrics.delivered.Add(1)
	e := core.Entry{Msg: m, QoS: s.b.cfg.customs.outgoing(sub.qos, m.QoS), Retain: true, SubIDs: sub.ids}
	if e.QoS > 0 {
		s.core.PushRetained(e)
		s.pump(sc.nano)
	}
	c.mu.Lock()
	if e.QoS == 0 && c.broken == nil && !s.core.SendQoS0(&c.out, &e, sc.nano) {
		s.b.drop(DroppedEvent{ClientID: s.clientID, TopicName: m.TopicName, Reason: DropTooLarge})
	}
	full := e.QoS == 0 && c.out.Len() >= s.b.limits.OutboxBytes
	c.mu.Unlock()
	s.mu.Unlock()
	sc.soil(c)
	if full {
		sc.flush()
		return c.drained(s.b.limits.WriteTimeout)
	}
	return true
}

// drained waits until the outbox has been written. It reports false if the connection ends first.
func (c *conn) drained(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		c.mu.Lock()
		if c.broken != nil {
			c.mu.Unlock()
			return false
		}
		if !c.writing {
			c.mu.Unlock()
			return true
		}
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		if c.order.Load() != nil {
			return false // whoever takes the connection over is not to wait for the client
		}
		select {
		case <-idle:
		case <-c.wake:
		case <-timer.C:
			return false
		}
	}
}

// Retained returns the retained messages whose topics match a filter, as of now.
func (b *Broker) Retained(filter string) ([]Message, error) {
	if err := topics.ValidateFilter(filter); err != nil || strings.HasPrefix(filter, "$share/") {
		return nil, &Error{ReasonCode: packets.TopicFilterInvalid, Err: err}
	}
	now := b.nano()
	var list []Message
	b.retained.names.Load().Match(filter, func(_ string, m *core.Message) bool {
		if !m.Expired(now) {
			list = append(list, publicMessage(m, now))
		}
		return true
	})
	return list, nil
}
