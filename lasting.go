package shoal

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// lasting is a Subscription with a Name: the client of a session of the broker's own. Messages come
// to it by Take, all else by packets over a connection in memory (see lastingconn.go). It is made
// for one connection: when that ends, nothing more comes, and what was not acknowledged comes again
// to the next Subscription of that name, here or on another node.
type lasting struct {
	b    *Broker
	id   string // ClientID
	opts SubscribeOptions
	skip string // messages of this publisher are acknowledged and not handed out; "" for none

	nc      net.Conn // the client's end of the connection
	c       *conn    // the broker's
	s       *session // set before the first Take
	answers chan packets.Packet
	ended   chan struct{} // closed when the connection has ended

	handed atomic.Uint64 // messages that Next has returned

	mu      sync.Mutex
	queue   []Message
	bytes   int   // cost of what was taken and is not acknowledged, or, of QoS 0, not handed out
	stalled bool  // the session has more than fits
	over    error // why nothing more comes
	signal  chan struct{}
}

// delivery is a message that was handed to a lasting subscription and awaits its acknowledgement.
type delivery struct {
	l    *lasting
	id   uint16
	qos  packets.QoS
	cost int
	done atomic.Bool
}

// Room implements session.Taker.
func (l *lasting) Room(e *core.Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	room := l.bytes == 0 || l.bytes+e.Msg.Cost() <= l.opts.BufferBytes
	if e.QoS == 0 {
		room = room && len(l.queue) < l.opts.Buffer
	} else if !room {
		l.stalled = true
	}
	return room || l.over != nil
}

// Take implements session.Taker.
func (l *lasting) Take(e *core.Entry, _ bool, now int64) {
	m := publicMessage(e.Msg, now)
	m.QoS, m.Retain, m.Properties.SubscriptionIdentifiers = e.QoS, e.Retain, e.SubIDs
	cost := e.Msg.Cost()
	m.delivery = &delivery{l: l, id: e.PacketID, qos: e.QoS, cost: cost}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil {
		return // it stays in the session
	}
	l.queue = append(l.queue, m)
	l.bytes += cost
	l.wake()
}

// wake wakes Next. The caller holds l.mu.
func (l *lasting) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

func (l *lasting) next(ctx context.Context) (Message, error) {
	for {
		m, ok, err := l.pop()
		switch {
		case err != nil:
			return Message{}, err
		case ok && l.skip != "" && m.Publisher == l.skip:
			m.delivery.finish(packets.Success)
			continue
		case ok:
			if m.QoS == 0 || !l.opts.AcknowledgeByHand {
				m.delivery.finish(packets.Success)
				m.delivery = nil
			}
			l.handed.Add(1)
			return m, nil
		}
		select {
		case <-l.signal:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

func (l *lasting) pop() (m Message, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil {
		return m, false, l.over
	}
	if len(l.queue) == 0 {
		return m, false, nil
	}
	m = l.queue[0]
	l.queue[0] = Message{}
	l.queue = l.queue[1:]
	return m, true, nil
}

// finish ends a delivery, with a code of 0x80 or more as a refusal, and lets the session send more.
// If its session has another connection by now, or none, that has no effect.
func (d *delivery) finish(code packets.ReasonCode) {
	if d.done.Swap(true) {
		return
	}
	l := d.l
	l.mu.Lock()
	l.bytes -= d.cost
	stalled := l.stalled
	l.stalled = false
	l.mu.Unlock()
	if d.qos == 0 && !stalled {
		return
	}
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != l.c || !s.phase.lives() {
		return
	}
	switch d.qos {
	case 1:
		s.core.PubAck(d.id, code)
	case 2: // within the program the two halves of the exchange are one
		released := outbox.Buffer{Pool: &l.b.pool}
		s.core.PubRec(&released, d.id, code)
		released.Reset()
		s.core.PubComp(d.id)
	}
	s.pump(l.b.nano())
}

// end makes Next return err from now on, unless it returns another already.
func (l *lasting) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over == nil {
		l.over, l.queue = err, nil
		l.wake()
	}
}

// close ends the connection, and the session, too, if remove is set.
func (l *lasting) close(remove bool) {
	l.end(ErrClosed)
	d := packets.Disconnect{}
	if remove {
		d.Properties.SessionExpiryInterval = packets.Some(uint32(0))
	}
	_ = l.send(&d) // else it has ended
	timer := time.NewTimer(cutOffTime)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
		l.c.kick(kicked{code: packets.AdministrativeAction, silent: true})
		_ = l.nc.Close()
		<-l.ended
	}
}

// Close implements closer.
func (l *lasting) Close() error {
	l.close(false)
	return nil
}

// Acknowledge tells the session that a message is done with: it does not come again. It is for
// subscriptions with AcknowledgeByHand, and does nothing for messages of QoS 0 and for those that
// were acknowledged before. Messages may be acknowledged in any order and on any goroutine. If the
// subscription has ended meanwhile, the message comes again, to the next one of that name.
func (m *Message) Acknowledge() {
	if m.delivery != nil {
		m.delivery.finish(packets.Success)
	}
}

// Refuse is Acknowledge of a message that cannot be handled, now or later: it does not come again,
// and is counted as dropped, with the reason refused.
func (m *Message) Refuse() {
	if m.delivery != nil {
		m.delivery.finish(packets.ImplementationSpecificError)
	}
}

// validateName reports what is wrong with the Name of a subscription or a bridge.
func validateName(name string) error {
	if name == "" || len(name) > 128 {
		return fmt.Errorf("it has %d bytes; use 1 to 128", len(name))
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return fmt.Errorf("it contains %q; use letters, digits, and the characters - _ . alone", r)
		}
	}
	return nil
}
