package history_test

import (
	"time"

	"github.com/shoalmq/shoal/cluster/history"
)

// script writes a history by hand.
type script struct {
	h     history.History
	now   time.Duration
	conns int
}

func (s *script) add(e history.Event) {
	s.now += time.Millisecond
	e.At = s.now
	s.h = append(s.h, e)
}

func (s *script) wait(d time.Duration) { s.now += d }
func (s *script) fault(what, node string) {
	s.add(history.Event{Kind: history.Fault, Fault: what, Node: node})
}
func (s *script) calm()                           { s.add(history.Event{Kind: history.Calm}) }
func (s *script) quiet()                          { s.add(history.Event{Kind: history.Quiet}) }
func (s *script) as(client, node string) *actor   { return &actor{s: s, client: client, node: node} }
func (s *script) pub() *actor                     { return s.as("pub", "n1").open(clean) }
func (s *script) keeper(id, filter string) *actor { return s.as(id, "n1").open(keep).sub(filter, 2) }

func (s *script) visitor(id, filter string) *actor { return s.as(id, "n1").open(clean).sub(filter, 2) }

// actor is a connection.
type actor struct {
	s            *script
	client, node string
	conn         int
	id           uint16
}

type option func(connect, connack *history.Event)

func expiry(seconds uint32) option {
	return func(c, _ *history.Event) { c.SessionExpiry = &seconds }
}

func clean(c, _ *history.Event)   { c.CleanStart = true }
func keep(c, a *history.Event)    { expiry(600)(c, a) }
func present(_, a *history.Event) { a.SessionPresent = true }
func willOf(name string, delay uint32) option {
	return func(c, _ *history.Event) { c.Will = &history.Will{Topic: "will", QoS: 1, Message: name, Delay: delay} }
}

func (a *actor) add(e history.Event) *actor {
	e.Client, e.Conn, e.Node = a.client, a.conn, a.node
	a.s.add(e)
	return a
}

func (a *actor) at(node string) *actor {
	return &actor{s: a.s, client: a.client, node: node, conn: a.conn}
}

// begin sends CONNECT on a new connection.
func (a *actor) begin(options ...option) (*actor, history.Event) {
	a.s.conns++
	b := &actor{s: a.s, client: a.client, node: a.node, conn: a.s.conns}
	none := uint32(0)
	c, ack := history.Event{Kind: history.Connect, SessionExpiry: &none}, history.Event{Kind: history.ConnAck}
	for _, o := range options {
		o(&c, &ack)
	}
	return b.add(c), ack
}

// open is a new connection, accepted.
func (a *actor) open(options ...option) *actor {
	b, ack := a.begin(options...)
	return b.add(ack)
}

func (a *actor) drop() *actor {
	return a.add(history.Event{Kind: history.Closed, By: history.ByClient})
}

func (a *actor) lost() *actor { return a.add(history.Event{Kind: history.Closed, By: history.ByPeer}) }
func (a *actor) drained()     { a.add(history.Event{Kind: history.Drained}) }
func (a *actor) bye() *actor  { return a.add(history.Event{Kind: history.Disconnect}) }
func (a *actor) ping() *actor {
	return a.add(history.Event{Kind: history.Ping}).add(history.Event{Kind: history.Pong})
}

func (a *actor) asks(filter string, qos int) *actor {
	a.id++
	return a.add(history.Event{Kind: history.Subscribe, PacketID: a.id, Subscriptions: []history.Subscription{{TopicFilter: filter, QoS: qos}}})
}

func (a *actor) sub(filter string, qos int) *actor {
	a.asks(filter, qos)
	return a.add(history.Event{Kind: history.SubAck, PacketID: a.id, Codes: []int{qos}})
}

func (a *actor) unsub(filter string) *actor {
	a.id++
	a.add(history.Event{Kind: history.Unsubscribe, PacketID: a.id, Subscriptions: []history.Subscription{{TopicFilter: filter}}})
	return a.add(history.Event{Kind: history.UnsubAck, PacketID: a.id, Codes: []int{0}})
}

type change func(*history.Event)

func dup(e *history.Event)    { e.Dup = true }
func retain(e *history.Event) { e.Retain = true }
func empty(e *history.Event)  { e.Empty, e.Message = true, "" }
func id(n uint16) change      { return func(e *history.Event) { e.PacketID = n } }
func code(n int) change       { return func(e *history.Event) { e.Code = n } }
func to(topic string) change  { return func(e *history.Event) { e.Topic = topic } }

func message(kind history.Kind, name string, q int, changes []change) history.Event {
	e := history.Event{Kind: kind, Message: name, Topic: "t", QoS: q}
	for _, c := range changes {
		c(&e)
	}
	return e
}

// sends publishes without an answer.
func (a *actor) sends(name string, q int, changes ...change) *actor {
	e := message(history.Publish, name, q, changes)
	if q > 0 && e.PacketID == 0 {
		a.id++
		e.PacketID = a.id
	}
	a.id = max(a.id, e.PacketID)
	return a.add(e)
}

// acked answers the last publish.
func (a *actor) acked(kind history.Kind, changes ...change) *actor {
	e := history.Event{Kind: kind, PacketID: a.id}
	for _, c := range changes {
		c(&e)
	}
	return a.add(e)
}

func (a *actor) pub1(name string, changes ...change) *actor {
	return a.sends(name, 1, changes...).acked(history.PubAck)
}

func (a *actor) pub2(name string, changes ...change) *actor {
	return a.sends(name, 2, changes...).acked(history.PubRec).acked(history.PubRel).acked(history.PubComp)
}

func (a *actor) got(name string, q int, changes ...change) *actor {
	e := message(history.Deliver, name, q, changes)
	if q > 0 && e.PacketID == 0 {
		e.PacketID = 1
	}
	return a.add(e)
}

// got2 is a whole delivery of QoS 2.
func (a *actor) got2(name string, changes ...change) *actor {
	a.got(name, 2, changes...)
	n := a.s.h[len(a.s.h)-1].PacketID
	a.add(history.Event{Kind: history.Acknowledge, PacketID: n})
	return a.released(n)
}

func (a *actor) released(n uint16) *actor {
	a.add(history.Event{Kind: history.Release, PacketID: n})
	return a.add(history.Event{Kind: history.Complete, PacketID: n})
}
