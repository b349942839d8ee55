package shoal

import (
	"context"
	"strings"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// handlePublish deals with a PUBLISH of a client, step by step; see section 3.3 of the specification.
func (c *conn) handlePublish(sc *scratch, h packets.FixedHeader, body []byte) (ended, bool) {
	p := &sc.pub
	sc.size = h.Size + h.Remaining
	if err := p.Decode(h, body, c.version); err != nil {
		return c.protocolEnd(err), false
	}
	c.b.metrics.received.Add(1)
	if err := c.resolveAlias(p); err != nil {
		return c.protocolEnd(err), false
	}
	if err := c.checkPublish(p); err != nil {
		return c.protocolEnd(err), false
	}
	if p.QoS == 0 {
		code := c.permit(sc, p)
		if code.IsError() {
			return c.refusedPublish(sc, p, code)
		}
		if c.fenced.Load() {
			return ended{code: packets.SessionTakenOver, err: errGone}, false
		}
		sc.r.begin(p, c.clientID, c.s, sc)
		if c.b.cannotKeep(sc) {
			return c.refuseUnkept(sc, p)
		}
		sc.b.route(sc)
		c.published(p)
		return ended{}, true
	}
	return c.acceptPublish(sc, p)
}

// resolveAlias puts the TopicName in place of a Topic Alias, before anything looks at it [MQTT-3.3.2-8..12].
func (c *conn) resolveAlias(p *packets.Publish) error {
	alias, ok := p.Properties.TopicAlias.Get()
	if !ok {
		return nil
	}
	p.Properties.TopicAlias = packets.Optional[uint16]{} // of this connection only: it never travels
	invalid := func(problem, clause string) error {
		return &packets.Error{Code: packets.TopicAliasInvalid, Packet: packets.TypePublish, Field: "Topic Alias", Problem: problem, Clause: clause}
	}
	if alias > c.b.limits.TopicAliasMaximum {
		return invalid("is greater than the server's Topic Alias Maximum", "MQTT-3.3.2-9")
	}
	if p.TopicName == "" {
		name, ok := c.aliases[alias]
		if !ok {
			return &packets.Error{
				Code: packets.ProtocolError, Packet: packets.TypePublish, Field: "Topic Alias",
				Problem: "is not known on this connection and the Topic Name is empty", Clause: "MQTT-3.3.2-8",
			}
		}
		p.TopicName = name
		return nil
	}
	if c.aliases == nil {
		c.aliases = make(map[uint16]string)
	}
	if c.aliases[alias] != p.TopicName {
		c.aliases[alias] = strings.Clone(p.TopicName)
	}
	return nil
}

// checkPublish checks what the codec cannot know.
func (c *conn) checkPublish(p *packets.Publish) error {
	fault := func(code packets.ReasonCode, field, problem, clause string) error {
		return &packets.Error{Code: code, Packet: packets.TypePublish, Field: field, Problem: problem, Clause: clause}
	}
	switch {
	case len(p.Properties.SubscriptionIdentifiers) > 0:
		return fault(packets.ProtocolError, "Subscription Identifier", "must not be sent by a client", "MQTT-3.3.4-6")
	case p.QoS > c.b.caps.maximumQoS():
		return fault(packets.QoSNotSupported, "QoS", "is higher than this server's Maximum QoS", "MQTT-3.2.2-11")
	case p.Retain && c.b.caps.NoRetain:
		return fault(packets.RetainNotSupported, "RETAIN", "this server retains no messages", "MQTT-3.2.2-14")
	}
	return nil
}

// permit asks the authoriser and the interceptors, which may change p. The code is that of a refusal, sc.reason its Reason String.
func (c *conn) permit(sc *scratch, p *packets.Publish) packets.ReasonCode {
	b := c.b
	if c.rate != nil {
		if code := c.ration(sc, p); code.IsError() {
			return code
		}
	}
	if !b.serving() && !c.awaitServing(sc) {
		sc.reason = reasonNotServing
		return c.dropPublish(p, DropNotServing, packets.ServerUnavailable)
	}
	if code := c.withinLimits(sc, p); code.IsError() {
		return code
	}
	if isSys(p.TopicName) {
		return c.dropPublish(p, DropNotAuthorized, packets.NotAuthorized) // section 4.7.2: not for clients to talk to each other
	}
	if b.authz == nil && len(b.hooks.publish) == 0 {
		return packets.Success
	}
	if b.authz != nil {
		if code := c.mayPublish(sc, p); code.IsError() {
			return c.dropPublish(p, DropNotAuthorized, code)
		}
	}
	if len(b.hooks.publish) == 0 {
		return packets.Success
	}
	return c.intercept(sc, p)
}

// awaitServing holds a publisher while the cluster is choosing a new leader, rather than refusing what it sends.
func (c *conn) awaitServing(sc *scratch) bool {
	sc.flush()
	ctx, cancel := context.WithTimeout(c.context(), servingPatience)
	defer cancel()
	// If it was given up meanwhile and is back, its clients may be anywhere.
	return c.b.cluster.awaitServing(ctx) == nil && !c.kickedHard()
}

const reasonNotServing = "this node is separated from its cluster; publish again later, or to another node"

// servingPatience is how long a publisher is held while its node has no lease, before it is refused.
const servingPatience = 5 * time.Second

func (c *conn) dropPublish(p *packets.Publish, why DropReason, code packets.ReasonCode) packets.ReasonCode {
	c.b.drop(DroppedEvent{ClientID: c.clientID, TopicName: strings.Clone(p.TopicName), QoS: p.QoS, Reason: why})
	return code
}

// intercept runs the interceptors on a copy of their own, with everything flushed before, since they may take their time.
func (c *conn) intercept(sc *scratch, p *packets.Publish) packets.ReasonCode {
	sc.flush()
	own := p.Clone()
	e := &PublishEvent{Client: c.info(), Message: Message{
		TopicName: own.TopicName, Payload: own.Payload, QoS: own.QoS, Retain: own.Retain, Properties: own.Properties, Publisher: c.clientID,
	}}
	if own.QoS > 0 {
		e.PacketID = own.PacketID
	}
	for _, h := range c.b.hooks.publish {
		if err := h.InterceptPublish(c.context(), e); err != nil {
			sc.reason = reasonStringOf(err)
			return c.dropPublish(p, DropIntercepted, ReasonCodeOf(err, packets.ImplementationSpecificError))
		}
	}
	m := &e.Message
	if topics.ValidateName(m.TopicName) != nil || m.QoS > 2 {
		c.logger().Error("an interceptor made an invalid message; it is refused", "topic", m.TopicName, "qos", m.QoS)
		return c.dropPublish(p, DropIntercepted, packets.ImplementationSpecificError)
	}
	id, qos := p.PacketID, p.QoS
	*p = publishOf(m)
	p.PacketID = id
	sc.r.deliveryQoS = packets.Some(m.QoS)
	p.QoS = qos // of the exchange with the publisher
	return packets.Success
}

// refusedPublish answers a PUBLISH that is not let through.
func (c *conn) refusedPublish(sc *scratch, p *packets.Publish, code packets.ReasonCode) (ended, bool) {
	if c.tooFast {
		return c.protocolEnd(&Error{ReasonCode: packets.MessageRateTooHigh, Reason: sc.reason}), false
	}
	if (code == packets.ServerUnavailable || sc.reason == reasonNoMemory) && c.version < packets.V5 && p.QoS > 0 {
		// 3.1.1 has no way to say no; an acknowledgement would be a lie.
		if code == packets.ServerUnavailable {
			return ended{code: code, err: ErrNotServing}, false
		}
		return ended{code: code, err: errNoMemoryForMore}, false
	}
	if p.QoS == 0 {
		sc.reason = ""
		return ended{}, true
	}
	slot := ackSlot{id: p.PacketID, typ: packets.TypePubAck, code: code, reason: sc.reason}
	sc.reason = ""
	if p.QoS == 2 {
		slot.typ = packets.TypePubRec
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conn != c {
		return ended{code: packets.SessionTakenOver, err: errGone}, false
	}
	if p.QoS == 2 {
		c.s.core.Release(p.PacketID)
		if c.version < packets.V5 {
			// The client goes on with PUBREL, which finds nothing; that is fine [MQTT-3.3.5-2].
			slot.code = packets.Success
			c.s.core.Finish()
		}
	}
	c.answer(slot)
	sc.soil(c)
	return ended{}, true
}

// acceptPublish deals with QoS 1 and 2: the message is routed, and answered when everybody who must have it has it.
func (c *conn) acceptPublish(sc *scratch, p *packets.Publish) (ended, bool) {
	s, qos, id := c.s, p.QoS, p.PacketID
	if !c.catchUp(sc, p) {
		return c.kickedEnd(new(c.b.cluster.goElsewhere("this node has lost contact with the others"))), false
	}
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return ended{code: packets.SessionTakenOver, err: errGone}, false
	}
	if qos == 2 {
		if token, duplicate := s.core.Pending(id); duplicate {
			c.repeatPubRec(id, token)
			s.mu.Unlock()
			sc.soil(c)
			return ended{}, true
		}
	}
	room := s.core.Begin()
	origin, reserves := c.origin(p), c.reserves(p)
	s.mu.Unlock()
	if !room && c.version >= packets.V5 {
		return c.protocolEnd(&packets.Error{
			Code: packets.ReceiveMaximumExceeded, Packet: packets.TypePublish, Field: "Packet Identifier",
			Problem: "more messages are unacknowledged than the server's Receive Maximum", Clause: "MQTT-3.3.4-7",
		}), false
	}
	if code := c.permit(sc, p); code.IsError() {
		return c.refusedPublish(sc, p, code)
	}
	if c.fenced.Load() { // meanwhile: the client sends the message again on its next connection
		return ended{code: packets.SessionTakenOver, err: errGone}, false
	}
	sc.r.begin(p, c.clientID, s, sc)
	if c.b.cannotKeep(sc) {
		return c.refuseUnkept(sc, p)
	}
	sc.r.durability = c.b.cfg.durabilities.ofMessage(p.TopicName, c.durability)
	if sc.r.durability == DurabilityMemory {
		origin, reserves = nil, false // an interceptor has changed the topic
	}
	if sc.r.reserves = reserves; reserves {
		sc.r.acceptance() // before it is complete, the identifier is not kept
	}
	if sc.r.origin = origin; origin != nil {
		if origin.Again != 0 && c.askGroups(sc) != nil {
			return c.kickedEnd(new(c.b.cluster.goElsewhere("this node has lost contact with the others"))), false
		}
	}
	matched := sc.b.route(sc)
	if qos == 2 && !reserves {
		c.received(sc, id)
	}
	slot := ackSlot{id: id, typ: packets.TypePubAck}
	if qos == 2 {
		slot.typ = packets.TypePubRec
	}
	if sc.r.unserved {
		return c.forsake(sc, slot), false
	}
	if !matched && c.version >= packets.V5 {
		slot.code = packets.NoMatchingSubscribers
	}
	sc.drain, sc.far = sc.r.delay, sc.r.far
	c.answerPublish(sc, slot, sc.r.wait)
	c.published(p)
	return ended{}, true
}

// forsake ends the connection without an answer to a message that was matched when the lease may have run out already: whether it was accepted
// is not for this node to say. The client sends it again.
func (c *conn) forsake(sc *scratch, slot ackSlot) ended {
	a := sc.r.wait
	switch {
	case sc.r.reserves:
		p := new(pendingAnswer)
		slot.pending = p
		c.s.mu.Lock()
		c.s.core.Reserve(slot.id, p) // until it has arrived, wherever that is
		c.s.mu.Unlock()
		a.then = func(packets.ReasonCode) { c.s.forsake(p, slot) }
	case slot.typ == packets.TypePubRec:
		c.s.mu.Lock()
		c.s.core.Release(slot.id)
		c.s.mu.Unlock()
		fallthrough
	default:
		if a != nil {
			a.then = func(packets.ReasonCode) {}
		}
	}
	if a != nil {
		a.finish(packets.Success)
	}
	return c.kickedEnd(new(c.b.cluster.goElsewhere("this node has lost contact with the majority of its cluster")))
}

// received notes the identifier of a QoS 2 message, only once it was routed: whatever ends the connection before that, the message that is
// sent again is not taken for a duplicate. A session that lasts remembers it before the PUBREC leaves.
func (c *conn) received(sc *scratch, id uint16) {
	s := c.s
	s.mu.Lock()
	s.core.Receive(id)
	lasts := s.isLasting()
	s.mu.Unlock()
	if lasts {
		sc.b.journal.await(sc.r.acceptance(), sc.r.durability)
	}
}

func (c *conn) published(p *packets.Publish) {
	if len(c.b.hooks.published) == 0 {
		return
	}
	m := Message{
		TopicName: p.TopicName, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Properties: p.Properties, Publisher: c.clientID,
	}
	var id uint16
	if p.QoS > 0 {
		id = p.PacketID
	}
	for _, o := range c.b.hooks.published {
		o.Published(PublishedEvent{ClientID: c.clientID, Message: m, Client: c.info(), PacketID: id})
	}
}

// authCache remembers the decisions about the topics a client published to last.
type authCache struct {
	epoch   uint32
	until   time.Time
	decided map[authKey]verdict
}

// verdict is Success, or how to refuse.
type verdict struct {
	code   packets.ReasonCode
	reason string
}

type authKey struct {
	topic  string
	qos    packets.QoS
	retain bool
}

const (
	authCacheSize = 64
	authCacheTime = time.Minute
)

// mayPublish asks the Authorizer, or remembers what it said: Success, or the code to refuse with.
func (c *conn) mayPublish(sc *scratch, p *packets.Publish) packets.ReasonCode {
	a := &c.authCache
	if epoch := c.b.authzEpoch.Load(); a.decided == nil || a.epoch != epoch || sc.now.After(a.until) || len(a.decided) >= authCacheSize {
		*a = authCache{epoch: epoch, until: sc.now.Add(authCacheTime), decided: make(map[authKey]verdict)}
	}
	key := authKey{p.TopicName, p.QoS, p.Retain}
	v, known := a.decided[key]
	if !known {
		sc.flush()
		err := c.b.authorize(c.context(), &AccessRequest{
			ClientID: c.clientID, Principal: c.principal, Action: ActionPublish, Topic: strings.Clone(p.TopicName), QoS: p.QoS, Retain: p.Retain,
		})
		if err != nil {
			v = verdict{ReasonCodeOf(err, packets.NotAuthorized), reasonStringOf(err)}
		}
		if v.code != packets.ServerUnavailable { // which is no decision: the next message asks again
			key.topic = strings.Clone(key.topic)
			a.decided[key] = v
		}
	}
	sc.reason = v.reason
	return v.code
}

func (b *Broker) authorize(ctx context.Context, r *AccessRequest) error {
	if b.authz == nil {
		return nil
	}
	return b.authz.Authorize(ctx, r)
}
