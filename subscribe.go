package shoal

import (
	"context"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// subscription is one subscription of a session, or of the program. It is not changed once it is in the index; a new SUBSCRIBE
// puts a new one in its place.
type subscription struct {
	s     *session      // nil for an in-process subscription
	local *Subscription // nil for a session's

	filter            string // as the client gave it, "$share/…" included
	match             string // the filter to match
	qos               packets.QoS
	noLocal           bool
	retainAsPublished bool
	retainHandling    byte
	ids               []uint32 // the Subscription Identifier, if any
	shared            bool
	place             membership // in its group, if it is shared
}

func (*subscription) isTarget() {}

// connected reports whether the subscriber can be sent something now.
func (sub *subscription) connected() bool { return sub.local != nil || sub.s.online.Load() }

func (sub *subscription) owner() string {
	if sub.s != nil {
		return sub.s.clientID
	}
	return ""
}

// pendingSubscribe is a SUBSCRIBE whose subscriptions are made and not yet known everywhere.
type pendingSubscribe struct {
	p     *packets.Subscribe
	ack   *packets.SubAck
	made  []*subscription // nil where refused
	isNew []bool
}

// handleSubscribe makes the subscriptions of a SUBSCRIBE. It is answered by finishSubscribes, together with others that have arrived at the
// same time, since waiting for the other nodes costs the same for one as for many.
func (c *conn) handleSubscribe(p *packets.Subscribe) (ended, bool) {
	ids, err := c.subscriptionIDs(p)
	if err != nil {
		return c.protocolEnd(err), false
	}
	for _, sub := range p.Subscriptions {
		if _, shared, _ := topics.ParseShare(sub.TopicFilter); shared && sub.NoLocal {
			return c.protocolEnd(&packets.Error{
				Code: packets.ProtocolError, Packet: packets.TypeSubscribe, Field: "No Local",
				Problem: "must not be set for a shared subscription", Clause: "MQTT-3.8.3-4",
			}), false
		}
	}
	ctx, cancel := context.WithTimeout(c.context(), subscribeTimeout)
	defer cancel()
	n := len(p.Subscriptions)
	ps := pendingSubscribe{
		p: p, ack: &packets.SubAck{PacketID: p.PacketID, ReasonCodes: make([]packets.ReasonCode, n)},
		made: make([]*subscription, n), isNew: make([]bool, n),
	}
	for i := range p.Subscriptions {
		ps.made[i], ps.isNew[i], err = c.subscribe(ctx, &p.Subscriptions[i], ids, p.Properties.UserProperties)
		if err == nil {
			ps.ack.ReasonCodes[i] = packets.ReasonCode(ps.made[i].qos)
			continue
		}
		ps.made[i] = nil
		c.refuseSubscription(&ps, i, err, packets.UnspecifiedError)
		c.loses(p.Subscriptions[i].TopicFilter, err)
	}
	c.subscribing = append(c.subscribing, ps)
	return ended{}, true
}

func (c *conn) refuseSubscription(ps *pendingSubscribe, i int, err error, otherwise packets.ReasonCode) {
	ps.ack.ReasonCodes[i] = ReasonCodeOf(err, otherwise)
	c.b.log.Debug("subscription refused", "client_id", c.clientID, "topic", ps.p.Subscriptions[i].TopicFilter, "error", err)
	if reason := reasonStringOf(err); reason != "" && !c.quiet {
		ps.ack.Properties.ReasonString = packets.Some(reason)
	}
}

// finishSubscribes waits until every node knows the subscriptions that were made (guarantee 1), and answers.
func (c *conn) finishSubscribes(sc *scratch) (ended, bool) {
	if len(c.subscribing) == 0 {
		return ended{}, true
	}
	pending := c.subscribing
	c.subscribing = nil
	sc.flush() // what follows may take its time
	var all []*subscription
	for i := range pending {
		all = append(all, pending[i].made...)
	}
	if err := c.b.settle(c.context(), all, c.durability); err != nil {
		for i := range pending {
			c.unmake(&pending[i], err)
		}
	}
	if c.s.gone(c) {
		return ended{code: packets.SessionTakenOver, err: errGone}, false
	}
	for i := range pending {
		ps := &pending[i]
		c.appendPacket(ps.ack)
		sc.soil(c)
		for j, sub := range ps.made {
			if sub != nil {
				c.b.sendRetained(sc, sub, ps.isNew[j])
			}
		}
		c.observeSubscribed(ps)
	}
	c.s.endCatching()
	return ended{}, true
}

// unmake takes back subscriptions that could not be made known.
func (c *conn) unmake(ps *pendingSubscribe, err error) {
	for i, sub := range ps.made {
		if sub == nil {
			continue
		}
		c.refuseSubscription(ps, i, err, packets.ImplementationSpecificError)
		if ps.isNew[i] {
			c.s.unsubscribe(sub.filter)
		}
		ps.made[i] = nil
	}
}

// subscribeTimeout bounds how long a SUBSCRIBE waits for the store, and for a cluster that takes no subscriptions at all; while it takes
// those that came before, a SUBSCRIBE waits for its turn.
const subscribeTimeout = 15 * time.Second

func (c *conn) subscriptionIDs(p *packets.Subscribe) ([]uint32, error) {
	ids := p.Properties.SubscriptionIdentifiers
	if len(ids) > 0 && c.b.caps.NoSubscriptionIdentifiers {
		return nil, &packets.Error{
			Code: packets.SubscriptionIdentifiersNotSupported, Packet: packets.TypeSubscribe, Field: "Subscription Identifier",
			Problem: "this server does not support any", Clause: "section 3.2.2.3.12",
		}
	}
	return ids, nil
}

func (c *conn) observeSubscribed(ps *pendingSubscribe) {
	if c.own != nil || len(c.b.hooks.subscribed) == 0 {
		return
	}
	var made []packets.Subscription
	for i, sub := range ps.made {
		if sub != nil {
			made = append(made, ps.p.Subscriptions[i])
		}
	}
	for i := range made {
		e := SubscribedEvent{
			ClientID: c.clientID, Subscription: made[i], Client: c.info(), PacketID: ps.p.PacketID, Together: made, Index: i,
		}
		for _, o := range c.b.hooks.subscribed {
			o.Subscribed(e)
		}
	}
}

func (c *conn) observeUnsubscribed(packetID uint16, gone []*subscription) {
	if c.own != nil || len(c.b.hooks.unsubscribe) == 0 {
		return
	}
	filters := make([]string, 0, len(gone))
	for _, sub := range gone {
		filters = append(filters, sub.filter)
	}
	for i, filter := range filters {
		e := UnsubscribedEvent{
			ClientID: c.clientID, TopicFilter: filter, Client: c.info(), PacketID: packetID, Together: filters, Index: i,
		}
		for _, o := range c.b.hooks.unsubscribe {
			o.Unsubscribed(e)
		}
	}
}

// subscribe makes one subscription. isNew reports that the session had none with this filter.
func (c *conn) subscribe(ctx context.Context, p *packets.Subscription, ids []uint32, user []packets.UserProperty) (sub *subscription, isNew bool, err error) {
	sub, err = c.b.parseSubscription(p, ids)
	if err != nil {
		return nil, false, err
	}
	if err := c.mayTakeOn(p, user); err != nil {
		return nil, false, err
	}
	if c.own == nil {
		if err := c.maySubscribe(ctx, p, sub, user); err != nil {
			return nil, false, err
		}
	}
	if log := c.b.journal.storeLog(); log != nil && log.refuses() && c.s.lasts() {
		return nil, false, errSubscriptionUnkept
	}
	if c.bridge && !sub.shared {
		sub.noLocal, sub.retainAsPublished = true, true // as mosquitto does for its bridges: no loops, and what is retained stays that
	}
	sub.s = c.s
	isNew, err = c.s.subscribe(sub)
	return sub, isNew, err
}

// maySubscribe asks the Authorizer and the interceptors, which may lower the QoS.
func (c *conn) maySubscribe(ctx context.Context, p *packets.Subscription, sub *subscription, user []packets.UserProperty) error {
	if isOwn(sub.match) {
		return errReservedTopic
	}
	share, _, _ := topics.ParseShare(p.TopicFilter)
	err := c.b.authorize(ctx, &AccessRequest{
		ClientID: c.clientID, Principal: c.principal, Action: ActionSubscribe, Topic: sub.match, QoS: sub.qos, Group: share.Group,
	})
	if err != nil {
		return refusal(err, packets.NotAuthorized)
	}
	if len(c.b.hooks.subscribe) > 0 {
		e := &SubscribeEvent{Client: c.info(), Subscription: *p, UserProperties: user}
		for _, h := range c.b.hooks.subscribe {
			if err := h.InterceptSubscribe(ctx, e); err != nil {
				return refusal(err, packets.NotAuthorized)
			}
		}
		sub.qos = min(sub.qos, e.Subscription.QoS)
	}
	return nil
}

// parseSubscription checks a subscription against the specification and what this broker offers.
func (b *Broker) parseSubscription(p *packets.Subscription, ids []uint32) (*subscription, error) {
	refuse := func(code packets.ReasonCode, problem, clause string) error {
		return &packets.Error{Code: code, Packet: packets.TypeSubscribe, Field: "Topic Filter", Problem: problem, Clause: clause}
	}
	sub := &subscription{
		filter: p.TopicFilter, match: p.TopicFilter, qos: min(p.QoS, b.caps.maximumQoS()), noLocal: p.NoLocal,
		retainAsPublished: p.RetainAsPublished, retainHandling: p.RetainHandling, ids: ids,
	}
	if err := topics.ValidateFilter(p.TopicFilter); err != nil {
		return nil, refuse(packets.TopicFilterInvalid, err.Error(), "MQTT-4.7.1-1")
	}
	if share, ok, _ := topics.ParseShare(p.TopicFilter); ok {
		if b.caps.NoSharedSubscriptions {
			return nil, refuse(packets.SharedSubscriptionsNotSupported, "this server has no shared subscriptions", "")
		}
		sub.shared, sub.match = true, share.Filter
	}
	if b.caps.NoWildcardSubscriptions && topics.HasWildcard(sub.match) {
		return nil, refuse(packets.WildcardSubscriptionsNotSupported, "this server takes no wildcards", "")
	}
	return sub, nil
}

// subscribe puts a subscription into the session and the index, in place of an earlier one with the same filter [MQTT-3.8.4-3].
func (s *session) subscribe(sub *subscription) (isNew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.phase.lives() {
		return false, errGone
	}
	old := s.subs[sub.filter]
	if old == nil && len(s.subs) >= s.b.limits.Subscriptions {
		return false, &Error{ReasonCode: packets.QuotaExceeded, Reason: "the session has as many subscriptions as the server allows"}
	}
	if old == nil && !s.takeSubscription() {
		return false, errTooManySubscriptions
	}
	if s.subs == nil {
		s.subs = make(map[string]*subscription)
	}
	s.subs[sub.filter] = sub
	s.several.Store(len(s.subs) > 1)
	if s.catching == nil {
		s.catching = make(map[msgID]struct{})
	}
	s.b.addSubscription(sub, old)
	if old == nil && sub.shared {
		s.shares++
	}
	if sub.shared && sub.qos > 0 {
		s.keepShares()
	}
	s.logSubscription(sub)
	return old == nil, nil
}

// addSubscription makes a subscription match. The announcement to other nodes is in the order of the calls.
func (b *Broker) addSubscription(sub, old *subscription) {
	switch {
	case sub.shared:
		b.join(sub, old)
	case old != nil:
		b.index.Replace(sub.match, old, sub)
	default:
		b.index.Add(sub.match, sub)
	}
	if old != nil {
		return
	}
	b.sys.watch(sub, 1)
	if b.cluster != nil {
		b.cluster.routes.add(sub)
	}
}

func (b *Broker) removeSubscription(sub *subscription) {
	if sub.shared {
		b.leave(sub)
	} else {
		b.index.Remove(sub.match, sub)
	}
	b.sys.watch(sub, -1)
	if b.cluster != nil {
		b.cluster.routes.remove(sub)
	}
}

// settle returns when the subscriptions are stored, if they are to be, and known to every node that serves clients.
func (b *Broker) settle(ctx context.Context, subs []*subscription, d Durability) error {
	durable, some := false, false
	for _, sub := range subs {
		if sub != nil {
			some = true
			if sub.s != nil {
				sub.s.mu.Lock()
				durable = durable || sub.s.durable
				sub.s.mu.Unlock()
			}
		}
	}
	if !some {
		return nil
	}
	if durable {
		flushing, cancel := context.WithTimeout(ctx, subscribeTimeout)
		err := b.journal.flush(flushing, d)
		cancel()
		if err != nil {
			return err
		}
	}
	if b.cluster != nil {
		return b.cluster.routes.settle(ctx, subs)
	}
	return nil
}

// gone reports whether the session is no longer this connection's.
func (s *session) gone(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != c || !s.phase.lives()
}

// endCatching ends what subscribe began: noting the messages that came while retained ones were still to be sent.
func (s *session) endCatching() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catching = nil
}

// handleUnsubscribe ends subscriptions.
func (c *conn) handleUnsubscribe(sc *scratch, p *packets.Unsubscribe) (ended, bool) {
	ack := &packets.UnsubAck{PacketID: p.PacketID, ReasonCodes: make([]packets.ReasonCode, len(p.TopicFilters))}
	var gone []*subscription
	for i, filter := range p.TopicFilters {
		switch sub := c.s.unsubscribe(filter); {
		case topics.ValidateFilter(filter) != nil:
			ack.ReasonCodes[i] = packets.TopicFilterInvalid
		case sub == nil:
			ack.ReasonCodes[i] = packets.NoSubscriptionExisted
		default:
			gone = append(gone, sub)
		}
	}
	c.observeUnsubscribed(p.PacketID, gone)
	ctx, cancel := context.WithTimeout(c.context(), subscribeTimeout)
	defer cancel()
	if cl := c.b.cluster; cl != nil && len(gone) > 0 {
		sc.flush()
		// The subscription is gone here in any case; that the others know, too, is not worth a refusal.
		_ = cl.routes.settle(ctx, gone)
	}
	if err := c.s.flushJournal(ctx, c.durability); err != nil {
		return ended{code: packets.ImplementationSpecificError, err: err, notify: true}, false
	}
	c.appendPacket(ack)
	sc.soil(c)
	return ended{}, true
}

// unsubscribe ends a subscription and returns it, or nil if there was none.
func (s *session) unsubscribe(filter string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[filter]
	if sub == nil || !s.endSubscription(sub) {
		return nil
	}
	return sub
}

// endSubscription ends a subscription that stands. The caller holds s.mu.
func (s *session) endSubscription(sub *subscription) bool {
	if !s.phase.lives() {
		return false
	}
	delete(s.subs, sub.filter)
	s.giveSubscription()
	s.several.Store(len(s.subs) > 1)
	if sub.shared {
		s.shares--
	}
	s.logUnsubscribed(sub.filter)
	s.b.removeSubscription(sub)
	return true
}

func (s *session) flushJournal(ctx context.Context, d Durability) error {
	s.mu.Lock()
	durable := s.durable
	s.mu.Unlock()
	if !durable {
		return nil
	}
	return s.b.journal.flush(ctx, d)
}
