package shoal

import (
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// will is the Will Message of one connection, from its CONNECT until it was published or became void.
type will struct {
	b       *Broker
	client  ClientInfo
	message Message
	delay   time.Duration
	epoch   uint64 // of the ownership, in a cluster

	mu     sync.Mutex
	timer  *time.Timer
	done   bool
	stored uint64        // its number in the store, 0 if it is not there; see willstore.go
	again  bool          // somebody may have had it, by a node that was lost, or when others did not take it
	pause  time.Duration // before it was published again the last time
}

// willMessage is the will of a CONNECT, or nil.
func willMessage(p *packets.Connect) *Message {
	if p.Will == nil {
		return nil
	}
	return &Message{
		TopicName: p.Will.TopicName, Payload: p.Will.Payload, QoS: p.Will.QoS, Retain: p.Will.Retain,
		Properties: p.Will.Properties, Publisher: p.ClientID,
	}
}

func newWill(b *Broker, c *conn, p *packets.Connect, m *Message) *will {
	if m == nil {
		return nil
	}
	w := &will{b: b, client: c.info(), message: *m}
	if p.Will != nil {
		w.delay = time.Duration(p.Will.Properties.WillDelayInterval.Or(0)) * time.Second
	}
	return w
}

// connectionEnded is the end of the will's connection without the client's leave, or, with over set, the end of its
// session: the will is published now or after its delay [MQTT-3.1.2-8].
func (w *will) connectionEnded(over bool) {
	if over || w.delay == 0 {
		w.publish()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.timer != nil || w.done:
	case w.stored != 0:
		w.keepAnew(w.b.now().Add(w.delay).UnixNano())
		w.publishAfter(w.delay, w.publish)
	default:
		w.timer = time.AfterFunc(w.delay, w.publish)
	}
}

// replaced is the arrival of a new connection of the client's: a will that still waits is void [MQTT-3.1.3-9], unless the session
// ends with it.
func (w *will) replaced(over bool) {
	if over || (w.delay == 0 && !w.waiting()) {
		w.publish()
		return
	}
	if w.cancel() {
		w.withdraw()
	}
}

// void makes the will void because the client has taken its leave.
func (w *will) void() {
	if !w.cancel() {
		return
	}
	w.withdraw()
	if w.b.cluster != nil {
		w.b.cluster.willDone(w.client.ClientID, w.epoch)
	}
}

func (w *will) waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.timer != nil
}

// cancel makes the will void, and reports whether it was not before.
func (w *will) cancel() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.done
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
	return first
}

// setPrincipal makes p the one whose permissions the will is published with.
func (w *will) setPrincipal(p *Principal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client.Principal = p
	w.keepAnew(0)
}

// stop keeps a will that waits from being published, at the end of the broker.
func (w *will) stop() { w.cancel() }

// publish publishes the will, once, subject to the same permissions as any message of the client's.
func (w *will) publish() {
	if !w.cancel() {
		return
	}
	if cl := w.b.cluster; cl != nil && !cl.serving() {
		cl.publishLater(w)
		return
	}
	w.publishNow()
}

// publishNow publishes the will unless, in a cluster, another node does.
func (w *will) publishNow() {
	b := w.b
	if cl := b.cluster; cl != nil {
		cl.lastWords.add()
		defer cl.lastWords.done()
		if cl.leavesToOthers(w) {
			return
		}
	}
	m := w.message
	drop := func(why DropReason) {
		b.drop(DroppedEvent{ClientID: w.client.ClientID, TopicName: m.TopicName, QoS: m.QoS, Reason: why})
	}
	w.mu.Lock()
	client := w.client
	w.mu.Unlock()
	ctx := b.life
	err := errPanic
	if isSys(m.TopicName) {
		err = &Error{ReasonCode: packets.NotAuthorized}
	} else {
		b.guard(func() {
			err = b.authorize(ctx, &AccessRequest{
				ClientID: client.ClientID, Principal: client.Principal, Action: ActionPublish, Topic: m.TopicName, QoS: m.QoS, Retain: m.Retain, Will: true,
			})
		})
	}
	if err != nil {
		drop(DropNotAuthorized)
	} else if !w.intercept(&m, client) {
		drop(DropIntercepted)
	} else {
		p := publishOf(&m)
		m.Retain = m.Retain && b.mayRetain(&p, client.ClientID) // what cannot be retained is heard all the same
		w.send(&m)
		return
	}
	w.withdraw()
	if b.cluster != nil {
		b.cluster.willDone(w.client.ClientID, w.epoch)
	}
}

// send routes the will's message.
func (w *will) send(m *Message) {
	cl := w.b.cluster
	if cl == nil {
		err := w.b.publish(m, w.client.ClientID, nil, w.accepted)
		if err != nil {
			w.tryAgain()
		}
		return
	}
	cl.lastWords.add()
	then := func(code packets.ReasonCode) {
		if code.IsError() {
			cl.publishAgain(w)
		} else {
			cl.willDone(w.client.ClientID, w.epoch)
		}
		cl.lastWords.done()
	}
	if err := w.b.publish(m, w.client.ClientID, w.origin(), then); err != nil {
		then(ReasonCodeOf(err, packets.ServerUnavailable))
	}
}

func (w *will) intercept(m *Message, client ClientInfo) bool {
	if len(w.b.hooks.will) == 0 {
		return true
	}
	e := &PublishEvent{Client: client, Message: *m}
	e.Message.Properties.UserProperties = slices.Clone(m.Properties.UserProperties)
	for _, h := range w.b.hooks.will {
		var err error
		if !w.b.guard(func() { err = h.InterceptWill(w.b.life, e) }) || err != nil {
			return false
		}
	}
	*m = e.Message
	return topics.ValidateName(m.TopicName) == nil && m.QoS <= 2
}
