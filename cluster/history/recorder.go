package history

import (
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// Recorder records a history. Its methods may be called on any goroutine; none of them blocks. The history is kept in memory.
type Recorder struct {
	began time.Time

	mu     sync.Mutex
	events History
	conns  int
}

// NewRecorder begins a history.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// Record adds an event and sets its time.
func (r *Recorder) Record(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Since(r.began)
	r.events = append(r.events, e)
}

// Fault records that something is done to nodes: before it is done. fault is one word, detail what the reader should know.
func (r *Recorder) Fault(fault, node, detail string) {
	r.Record(Event{Kind: Fault, Fault: fault, Node: node, Reason: detail})
}

// Calm records that no fault is in effect any more and that all nodes serve.
func (r *Recorder) Calm() { r.Record(Event{Kind: Calm}) }

// Quiet records that nothing is on its way any more.
func (r *Recorder) Quiet() { r.Record(Event{Kind: Quiet}) }

// History returns what was recorded so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Conn begins a connection of a client to a node.
func (r *Recorder) Conn(clientID, node string) *ConnRecorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns++
	return &ConnRecorder{r: r, base: Event{Client: clientID, Conn: r.conns, Node: node}}
}

// ConnRecorder records one connection of a client.
type ConnRecorder struct {
	r    *Recorder
	base Event

	mu     sync.Mutex
	closed bool
}

// Sent records a packet, before it is written.
func (c *ConnRecorder) Sent(p packets.Packet) {
	e := c.base
	if sent(&e, p) {
		c.r.Record(e)
	}
}

// Received records a packet, after it was read.
func (c *ConnRecorder) Received(p packets.Packet) {
	e := c.base
	if received(&e, p) {
		c.r.Record(e)
	}
}

// Closed records the end of the connection: ByClient before the client closes it, or ByPeer when it has found it closed. Only the first call counts.
func (c *ConnRecorder) Closed(by, reason string) {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		e := c.base
		e.Kind, e.By, e.Reason = Closed, by, reason
		c.r.Record(e)
	}
}

// Drained records that all that the connection was to receive had the time to arrive.
func (c *ConnRecorder) Drained() {
	e := c.base
	e.Kind = Drained
	c.r.Record(e)
}

// sent makes e of a packet that a client sends. It returns false for packets that no rule looks at.
func sent(e *Event, p packets.Packet) bool {
	switch p := p.(type) {
	case *packets.Connect:
		expiry := p.Properties.SessionExpiryInterval.Or(0)
		if p.ProtocolVersion != packets.V5 && !p.CleanStart {
			expiry = 1<<32 - 1
		}
		e.Kind, e.CleanStart, e.SessionExpiry = Connect, p.CleanStart, &expiry
		if w := p.Will; w != nil {
			name, _ := ParsePayload(w.Payload)
			e.Will = &Will{
				Topic: w.TopicName, QoS: int(w.QoS), Retain: w.Retain, Message: name, Empty: len(w.Payload) == 0,
				Delay: w.Properties.WillDelayInterval.Or(0),
			}
		}
	case *packets.Subscribe:
		e.Kind, e.PacketID = Subscribe, p.PacketID
		for _, s := range p.Subscriptions {
			e.Subscriptions = append(e.Subscriptions, Subscription{
				TopicFilter: s.TopicFilter, QoS: int(s.QoS), NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
				RetainHandling: int(s.RetainHandling),
			})
		}
	case *packets.Unsubscribe:
		e.Kind, e.PacketID = Unsubscribe, p.PacketID
		for _, f := range p.TopicFilters {
			e.Subscriptions = append(e.Subscriptions, Subscription{TopicFilter: f})
		}
	case *packets.Publish:
		e.Kind = Publish
		publish(e, p)
	case *packets.PubRel:
		e.Kind, e.PacketID, e.Code = PubRel, p.PacketID, int(p.ReasonCode)
	case *packets.PubAck:
		e.Kind, e.PacketID, e.Code = Acknowledge, p.PacketID, int(p.ReasonCode)
	case *packets.PubRec:
		e.Kind, e.PacketID, e.Code = Acknowledge, p.PacketID, int(p.ReasonCode)
	case *packets.PubComp:
		e.Kind, e.PacketID, e.Code = Complete, p.PacketID, int(p.ReasonCode)
	case *packets.PingReq:
		e.Kind = Ping
	case *packets.Disconnect:
		e.Kind, e.Code = Disconnect, int(p.ReasonCode)
		e.SessionExpiry = pointer(p.Properties.SessionExpiryInterval)
	default:
		return false
	}
	return true
}

// received makes e of a packet that a client received.
func received(e *Event, p packets.Packet) bool {
	switch p := p.(type) {
	case *packets.ConnAck:
		e.Kind, e.Code, e.SessionPresent = ConnAck, int(p.ReasonCode), p.SessionPresent
		e.SessionExpiry = pointer(p.Properties.SessionExpiryInterval)
	case *packets.SubAck:
		e.Kind, e.PacketID, e.Codes = SubAck, p.PacketID, codes(p.ReasonCodes)
	case *packets.UnsubAck:
		e.Kind, e.PacketID, e.Codes = UnsubAck, p.PacketID, codes(p.ReasonCodes)
	case *packets.PubAck:
		e.Kind, e.PacketID, e.Code = PubAck, p.PacketID, int(p.ReasonCode)
	case *packets.PubRec:
		e.Kind, e.PacketID, e.Code = PubRec, p.PacketID, int(p.ReasonCode)
	case *packets.PubComp:
		e.Kind, e.PacketID, e.Code = PubComp, p.PacketID, int(p.ReasonCode)
	case *packets.PubRel:
		e.Kind, e.PacketID, e.Code = Release, p.PacketID, int(p.ReasonCode)
	case *packets.Publish:
		e.Kind = Deliver
		publish(e, p)
	case *packets.PingResp:
		e.Kind = Pong
	case *packets.Disconnect:
		e.Kind, e.Code = Disconnected, int(p.ReasonCode)
		e.Reason = p.Properties.ReasonString.Or("")
	default:
		return false
	}
	return true
}

func publish(e *Event, p *packets.Publish) {
	e.Topic, e.QoS, e.Dup, e.Retain, e.PacketID = p.TopicName, int(p.QoS), p.Dup, p.Retain, p.PacketID
	e.Expires = p.Properties.MessageExpiryInterval.Set
	if e.Empty = len(p.Payload) == 0; !e.Empty {
		e.Message, e.Corrupt = ParsePayload(p.Payload)
	}
}

func pointer(o packets.Optional[uint32]) *uint32 {
	if v, ok := o.Get(); ok {
		return &v
	}
	return nil
}

func codes(list []packets.ReasonCode) []int {
	all := make([]int, len(list))
	for i, c := range list {
		all[i] = int(c)
	}
	return all
}
