package shoal

import (
	"slices"
	"strings"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// routing is one message on its way through route. It refers to the packet it came in; what outlives the packet is copied when the first
// session needs it, at most once.
type routing struct {
	p         *packets.Publish
	publisher string   // ClientID
	from      *session // for No Local; nil if the publisher is no session of this node
	id        core.ID
	nano      int64
	expires   int64

	// deliveryQoS is what an interceptor made of the QoS, if it differs from that of the exchange.
	deliveryQoS packets.Optional[packets.QoS]

	msg    *core.Message
	frame3 []byte // PUBLISH of QoS 0 without RETAIN for MQTT 3 and 3.1.1
	frame5 []byte // and for 5.0
	has3   bool
	has5   bool
	wait   *acceptance // nil: nothing to wait for
	// delay is how long the publisher is held back since queues are full whose clients get on; far: they have far too much.
	delay time.Duration
	far   bool
	// durability is what wait is for, where the journal is concerned.
	durability Durability
	store      bool // a durable session has taken it
	unserved   bool // the node has not served clients all the while that the message was matched; its publisher is to hear nothing

	// origin is nil unless the message may come again, by another node; seen says that this node's sessions that do not last have had it.
	origin *core.Origin
	seen   bool
	stale  bool // everybody here has had it: it is a will that two nodes have published
	// reserves: the packet identifier is kept when everybody who must have the message has it; see routed.
	reserves bool
	// had are the shared groups that have had it.
	had []string

	// borrowed: publisher refers to memory that does not outlive the routing.
	borrowed bool
	// inherited is set for a message that was on its way to a lost node: it is for sessions that were that node's at this step of the agreed order. With
	// heldBack, it is one of this node's own that has waited for adoptions, and is for sessions adopted at that step or later.
	inherited uint64
	heldBack  bool
	// sent is the last step of the agreed order that the sender of an inherited message had begun to take when it sent the
	// message to the lost node.
	sent uint64
	// step is the last of the agreed order that another node had begun to take when it sent the message here; 0 for a message of this node's.
	step uint64
	// doubtful: whoever gets it may have had it, by a node that was lost before it could say so.
	doubtful bool
	// groupsOnly: a shared group is to have it that had it before, and nobody else.
	groupsOnly bool
}

// begin prepares for a message. The caller owns p until route has returned.
func (r *routing) begin(p *packets.Publish, publisher string, from *session, sc *scratch) {
	qos := r.deliveryQoS
	r.reset()
	r.deliveryQoS = qos
	r.p, r.publisher, r.from, r.nano = p, publisher, from, sc.nano
	r.id = sc.b.newID()
	r.durability = sc.b.cfg.durabilities.ofMessage(p.TopicName, sc.b.durability)
	if v, ok := p.Properties.MessageExpiryInterval.Get(); ok {
		r.expires = r.nano + int64(v)*1_000_000_000
	}
}

func (r *routing) reset() {
	frame3, frame5 := r.frame3[:0], r.frame5[:0]
	*r = routing{frame3: frame3, frame5: frame5}
}

// isFor reports whether an inherited message is for a session.
func (r *routing) isFor(s *session) bool {
	switch {
	case s == nil || s.adopted < r.inherited:
		return false
	case r.heldBack:
		return true
	case s.adopted == r.inherited:
		return r.foundThere(s.adoptedEarlier)
	}
	// Another node, which was lost later, had the session as well, if it had been at the first one.
	i := slices.Index(s.adoptedEarlier, r.inherited)
	return i >= 0 && r.foundThere(s.adoptedEarlier[:i])
}

// foundThere reports whether a session had come to the lost node already when the message was
// sent there, as far as its sender knew; before are the steps in which the session had been
// adopted until then. If it had not, the message was sent to the node that had the session
// before, too, and comes to the session from there, in its place among those that were sent
// there alone.
func (r *routing) foundThere(before []uint64) bool {
	return len(before) == 0 || before[len(before)-1] <= r.sent
}

// precedes reports whether another node sent the message here before it had heard that this node has a session which a lost one had. It has sent it to the
// lost node as well, and sends it here from there, in its place among those that were not sent here.
func (r *routing) precedes(s *session) bool {
	return r.step != 0 && r.inherited == 0 && s != nil && r.step < s.adopted
}

func (r *routing) qos() packets.QoS { return r.deliveryQoS.Or(r.p.QoS) }

// message returns the message in memory of its own.
func (r *routing) message() *core.Message {
	if r.msg == nil {
		r.msg = core.NewMessage(r.p, r.nano)
		if r.borrowed {
			r.publisher, r.borrowed = strings.Clone(r.publisher), false
		}
		r.msg.ID, r.msg.Publisher, r.msg.QoS, r.msg.Expires = r.id, r.publisher, r.qos(), r.expires
		r.msg.Durability, r.msg.Origin = byte(r.durability), r.origin
	}
	return r.msg
}

// again prepares for a message that was routed before. p is made for it.
func (r *routing) again(p *packets.Publish, m *core.Message, nano int64) {
	r.reset()
	r.p, r.publisher, r.nano, r.id, r.expires, r.msg = p, m.Publisher, nano, m.ID, m.Expires, m
	r.durability = Durability(m.Durability)
}

// acceptance returns the wait of this message, for somebody who must have it before it is acknowledged.
func (r *routing) acceptance() *acceptance {
	if r.wait == nil {
		r.wait = newAcceptance()
	}
	return r.wait
}

// holdBack keeps the answer to the publisher back, since a queue is full.
func (r *routing) holdBack(delay time.Duration, far bool) {
	r.delay, r.far = max(r.delay, delay), r.far || far
}

// refuse has the publisher told that the message was not accepted.
func (r *routing) refuse(code packets.ReasonCode) {
	a := r.acceptance()
	a.add()
	a.finish(code) // the router has a count of its own
}

// frame returns the PUBLISH of QoS 0 as most subscribers get it, encoded once for each version; nil if it cannot be shared that way.
func (r *routing) frame(v packets.Version) []byte {
	if len(r.p.Payload) >= outbox.ShareFrom {
		return nil // goes by reference
	}
	buf, has := &r.frame3, &r.has3
	if v >= packets.V5 {
		buf, has = &r.frame5, &r.has5
	}
	if !*has {
		p := packets.Publish{TopicName: r.p.TopicName, Payload: r.p.Payload}
		if v >= packets.V5 {
			p.Properties = r.p.Properties
			p.Properties.SubscriptionIdentifiers = nil
		}
		b, err := p.Append((*buf)[:0], v)
		if err != nil {
			return nil
		}
		*buf, *has = b, true
	}
	return *buf
}
