package shoal

import (
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/internal/quota"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// TotalLimits bound what all clients of a broker take together, or those of each tenant. A field left at zero is no limit.
// Each node of a cluster counts what it has itself; retained messages all of them have.
//
// What is restored, or comes from another node of the cluster, is counted and never refused, and a limit may be passed by
// what is on its way at the same moment. Metrics tell what is used, and how often something was refused.
type TotalLimits struct {
	// Sessions is how many there may be, those without a connection included. The CONNECT of a client that would need
	// another one is refused with Quota exceeded (0x97), in MQTT 3 with Server unavailable.
	Sessions int
	// Subscriptions is how many they may have. SUBACK says Quota exceeded (0x97) of one that is too many.
	Subscriptions int
	// QueuedBytes is how many bytes may wait in queues, in flight included. Beyond it a message is dropped, with the reason
	// broker_full, for sessions without a connection, and for those that have more waiting than Limits.InFlight messages.
	QueuedBytes int64
	// RetainedMessages and RetainedBytes are how many may be retained, and how many bytes. A PUBLISH with RETAIN
	// beyond that is refused with Quota exceeded (0x97); one of QoS 0, or of MQTT 3, is dropped, with the reason broker_full. A
	// retained message belongs to the tenant of its publisher; that is not known any more, and it counts for no tenant, when
	// the publisher's session has ended before the broker starts again. A will that cannot be retained is published without RETAIN.
	RetainedMessages int
	RetainedBytes    int64
}

// WithTotalLimits bounds what all clients take together.
func WithTotalLimits(l TotalLimits) Option { return func(c *config) { c.totals = l } }

// WithTenantLimits bounds what the clients of each tenant take together. tenantOf names the tenant of a Principal, by its
// Name; it is called with locks held, must not block, must always say the same, and says "" for those who are no tenant's.
func WithTenantLimits(tenantOf func(principal string) string, each TotalLimits) Option {
	return func(c *config) { c.tenantOf, c.tenants = tenantOf, &each }
}

func (l *TotalLimits) quotas() (q quota.Limits) {
	q[quota.Sessions], q[quota.Subscriptions], q[quota.QueuedBytes] = int64(l.Sessions), int64(l.Subscriptions), l.QueuedBytes
	q[quota.RetainedMessages], q[quota.RetainedBytes] = int64(l.RetainedMessages), l.RetainedBytes
	return q
}

func (l *TotalLimits) validate(option string) error {
	var errs []error
	for k, n := range l.quotas() {
		if n < 0 {
			errs = append(errs, fmt.Errorf("shoal: %s: the limit of %s is %d; it must not be negative, 0 means no limit", option, quota.Kind(k), n))
		}
	}
	return errors.Join(errs...)
}

func (c *config) validateTotals() error {
	errs := []error{c.totals.validate("WithTotalLimits")}
	if c.tenants != nil {
		errs = append(errs, c.tenants.validate("WithTenantLimits"))
		if c.tenantOf == nil {
			errs = append(errs, errors.New("shoal: WithTenantLimits: tenantOf is nil; it must name the tenant of a principal"))
		}
	}
	if c.memoryLimit < 0 {
		errs = append(errs, fmt.Errorf("shoal: WithMemoryLimit: %d is negative; 0 means no limit", c.memoryLimit))
	}
	return errors.Join(errs...)
}

// totals is what all sessions count for together, and each tenant's.
type totals struct {
	quota.Book
	queued bool // there is a limit of what waits
	retain bool // of what is retained
}

func (t *totals) init(c *config) {
	each := TotalLimits{}
	if c.tenants != nil {
		each = *c.tenants
	}
	t.Init(c.totals.quotas(), each.quotas())
	t.queued = c.totals.QueuedBytes+each.QueuedBytes > 0
	t.retain = c.totals.RetainedMessages+each.RetainedMessages > 0 || c.totals.RetainedBytes+each.RetainedBytes > 0
}

// tenantOf returns the tenant that somebody belongs to; "" for none.
func (b *Broker) tenantOf(m maker) string {
	if b.cfg.tenantOf == nil || !m.known {
		return ""
	}
	return b.cfg.tenantOf(m.name)
}

// charge is what a session counts for. The session's lock guards it.
type charge struct {
	account *quota.Account // nil before anybody knows the session, and after its end
	subs    int64
	bytes   int64
}

var errTooManySessions = &Error{ReasonCode: packets.QuotaExceeded, Reason: "there are as many sessions as the server allows"}

// enrolNew has a session count that is made for a client, and reports false if there are too many. The caller has the session alone.
func (s *session) enrolNew(m maker) bool {
	a := s.b.totals.Open(s.b.tenantOf(m))
	if !a.Take(quota.Sessions, 1) {
		s.b.totals.Close(a)
		return false
	}
	s.charge.account = a
	return true
}

// enrol has a session count, with all it has, for the tenant of its maker from here on. The caller holds s.mu, or has the session alone.
func (s *session) enrol() {
	if s.cleared != nil {
		return
	}
	a := s.b.totals.Open(s.b.tenantOf(s.maker))
	if a == s.charge.account {
		s.b.totals.Close(a) // it is open already
	} else {
		subs := s.charge.subs
		s.discharge()
		s.charge = charge{account: a, subs: subs}
		a.Add(quota.Sessions, 1)
		a.Add(quota.Subscriptions, subs)
	}
	s.weigh()
}

// discharge ends what enrol began. The caller holds s.mu.
func (s *session) discharge() {
	c := s.charge
	if c.account == nil {
		return
	}
	c.account.Add(quota.Sessions, -1)
	c.account.Add(quota.Subscriptions, -c.subs)
	c.account.Add(quota.QueuedBytes, -c.bytes)
	s.b.totals.Close(c.account)
	s.charge = charge{}
}

// weigh counts what waits in the session, after that has changed. The caller holds s.mu.
func (s *session) weigh() {
	c := &s.charge
	if now := int64(s.core.Bytes()); now != c.bytes && c.account != nil {
		c.account.Add(quota.QueuedBytes, now-c.bytes)
		c.bytes = now
	}
}

// roomFor reports whether all queues together have room for a message. A client that takes what it gets always has some. The caller holds s.mu.
func (s *session) roomFor(m *core.Message) bool {
	if !s.b.totals.queued || s.charge.account == nil || (s.conn != nil && s.core.Len() < int(s.b.limits.InFlight)) {
		return true
	}
	if s.charge.account.Room(quota.QueuedBytes, int64(m.Cost())) {
		return true
	}
	s.charge.account.Refuse(quota.QueuedBytes)
	return false
}

// takeSubscription counts one more subscription, and reports false if there are too many. What does not come from a client counts in any case. The
// caller holds s.mu.
func (s *session) takeSubscription() bool {
	c := &s.charge
	switch {
	case s.conn != nil && c.account != nil:
		if !c.account.Take(quota.Subscriptions, 1) {
			return false
		}
	case c.account != nil:
		c.account.Add(quota.Subscriptions, 1)
	}
	c.subs++
	return true
}

// giveSubscription counts one less. The caller holds s.mu.
func (s *session) giveSubscription() {
	c := &s.charge
	if c.subs--; c.account != nil {
		c.account.Add(quota.Subscriptions, -1)
	}
}

var errTooManySubscriptions = &Error{ReasonCode: packets.QuotaExceeded, Reason: "there are as many subscriptions as the server allows"}

const reasonRetainedFull = "as much is retained as the server allows"

// mayRetain reports whether there is room for a message that is to be retained.
func (b *Broker) mayRetain(p *packets.Publish, publisher string) bool {
	if !b.totals.retain || !p.Retain || len(p.Payload) == 0 {
		return true
	}
	a := b.totals.Open(b.tenantOfPublisher(publisher))
	defer b.totals.Close(a)
	bytes, messages := int64(len(p.TopicName)+len(p.Payload)), int64(1)
	if old, known := b.retained.names.Load().Get(p.TopicName); known {
		messages, bytes = 0, bytes-retainedBytes(old)
	}
	for kind, n := range map[quota.Kind]int64{quota.RetainedMessages: messages, quota.RetainedBytes: bytes} {
		if n > 0 && !a.Room(kind, n) {
			a.Refuse(kind)
			return false
		}
	}
	return true
}

func retainedBytes(m *core.Message) int64 { return int64(len(m.TopicName) + len(m.Payload)) }

// tenantOfPublisher returns the tenant of a publisher with a session here, or, as all nodes agree, anywhere.
func (b *Broker) tenantOfPublisher(publisher string) string {
	if b.cfg.tenantOf == nil || publisher == "" {
		return ""
	}
	return b.tenantOf(b.makerOf(publisher))
}

// makerOf returns whom the session of a client belongs to, here, or, as all nodes agree, anywhere.
func (b *Broker) makerOf(id string) (m maker) {
	if s := b.sessions.get(id); s != nil {
		m = s.madeBy()
	}
	if !m.known && b.cluster != nil {
		m = b.cluster.state.makerOf(id)
	}
	return m
}

// makerOf returns whom the session of a client belongs to, as all nodes agree.
func (a *agreed) makerOf(id string) maker {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if o := a.owners[id]; o != nil {
		return o.maker
	}
	return maker{}
}

// hasHome reports whether a client has a session anywhere, as all nodes agree.
func (a *agreed) hasHome(id string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	o := a.owners[id]
	return o != nil && o.home != ""
}
