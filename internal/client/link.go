package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// write writes what there is to be written, and keeps the connection alive.
func (l *link) write(ctx context.Context) {
	var tick <-chan time.Time
	if l.keepAlive > 0 {
		t := time.NewTicker(max(l.keepAlive/2, time.Millisecond))
		defer t.Stop()
		tick = t.C
	}
	batch := new(outbox.Batch)
	for {
		select {
		case <-l.wake:
		case <-tick:
			if !l.ping() {
				l.fail(errSilent)
				return
			}
		case <-ctx.Done():
			return
		}
		for l.take(batch) {
			if err := l.wr.WriteAll(batch); err != nil {
				l.fail(err)
				return
			}
			batch.Release()
		}
	}
}

var errSilent = errors.New("the broker has been silent for longer than the Keep Alive allows")

// ping sends PINGREQ [MQTT-3.1.2-22]. It reports false if the broker has been silent for too long.
func (l *link) ping() bool {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(l.heard) > l.keepAlive*3/2+time.Second {
		return false
	}
	l.out.Append([]byte{byte(packets.TypePingReq) << 4, 0})
	return true
}

// take takes what is to be written, and then what the session sends because there is room.
func (l *link) take(batch *outbox.Batch) bool {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != l {
		return false
	}
	if l.out.Len() == 0 {
		c.s.Pump(&l.out, time.Now().UnixNano())
	}
	if l.out.Len() == 0 {
		return false
	}
	l.out.TakeInto(batch)
	return true
}

// next waits for a packet. Its body is valid until the next call.
func (l *link) next() (h packets.FixedHeader, body []byte, err error) {
	for {
		h, body, ok, err := l.rd.Next()
		if ok || err != nil {
			return h, body, err
		}
		l.rd.Release()
		if err := l.rd.Fill(); err != nil {
			return h, nil, err
		}
		l.c.mu.Lock()
		l.heard = time.Now()
		l.c.mu.Unlock()
	}
}

// read reads until the connection ends, and returns why it has.
func (l *link) read() error {
	for {
		h, body, err := l.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errEnded
		}
		if err != nil {
			return err
		}
		if err := l.handle(h, body); err != nil {
			return err
		}
	}
}

var errEnded = errors.New("the connection was ended")

func (l *link) handle(h packets.FixedHeader, body []byte) error {
	v := l.c.cfg.Version
	switch h.Type {
	case packets.TypePublish:
		var p packets.Publish
		if err := p.Decode(h, body, v); err != nil {
			return err
		}
		return l.received(p.Clone())
	case packets.TypePingResp:
		return nil
	}
	p := packets.New(h.Type)
	if p == nil {
		return fmt.Errorf("the broker sends an unknown packet, %s", h.Type)
	}
	if err := p.Decode(h, body, v); err != nil {
		return err
	}
	switch p := p.(type) {
	case *packets.SubAck:
		l.ready <- refusedSubscription(p)
	case *packets.Disconnect:
		return &RefusedError{p.ReasonCode, p.Properties.ReasonString.Or(""), "the broker ends the connection"}
	case *packets.PubAck:
		l.answered(func() { l.c.s.PubAck(p.PacketID, p.ReasonCode) })
	case *packets.PubRec:
		l.answered(func() { l.c.s.PubRec(&l.out, p.PacketID, p.ReasonCode) })
	case *packets.PubComp:
		l.answered(func() { l.c.s.PubComp(p.PacketID) })
	case *packets.PubRel:
		l.released(p.PacketID)
	}
	return nil
}

func refusedSubscription(p *packets.SubAck) error {
	for i, code := range p.ReasonCodes {
		if code.IsError() {
			return &RefusedError{code, p.Properties.ReasonString.Or(""), fmt.Sprintf("the broker refuses subscription %d", i+1)}
		}
	}
	return nil
}

// answered takes an answer to a message, and sends what there is room for now.
func (l *link) answered(fn func()) {
	c := l.c
	c.mu.Lock()
	defer c.unlock()
	if c.link == l {
		fn()
		c.s.Pump(&l.out, time.Now().UnixNano())
	}
}

// released takes a PUBREL [MQTT-4.3.3-11].
func (l *link) released(id uint16) {
	c := l.c
	c.mu.Lock()
	defer c.unlock()
	code := packets.Success
	if c.s.Release(id) {
		c.s.Finish()
	} else if c.cfg.Version >= packets.V5 {
		code = packets.PacketIdentifierNotFound
	}
	l.out.Commit(packets.AppendAck(l.out.Reserve(8), packets.TypePubComp, c.cfg.Version, id, code))
}

// received hands a message of the broker's on.
func (l *link) received(p *packets.Publish) error {
	c := l.c
	if p.QoS == 0 {
		c.cfg.Receive(p, func(error) {})
		return nil
	}
	a := &ack{id: p.PacketID, qos: p.QoS}
	c.mu.Lock()
	if p.QoS == 2 {
		if _, duplicate := c.s.Pending(p.PacketID); duplicate { // [MQTT-4.3.3-10]
			a.ready = true
			l.acks = append(l.acks, a)
			l.releaseAcks()
			c.unlock()
			return nil
		}
	}
	if !c.s.Begin() {
		c.unlock()
		return fmt.Errorf("the broker sends more than %d messages that are not acknowledged", c.cfg.ReceiveMaximum)
	}
	l.acks = append(l.acks, a)
	c.receiving++
	c.unlock()
	c.cfg.Receive(p, func(err error) {
		c.mu.Lock()
		defer c.unlock()
		c.received()
		if err != nil {
			l.fail(fmt.Errorf("a message cannot be taken: %w", err))
			return
		}
		if a.qos == 2 {
			c.s.Receive(a.id)
		}
		a.ready = true
		if c.link == l {
			l.releaseAcks()
		}
	})
	return nil
}

// releaseAcks answers the messages at the front that are accepted. The caller holds c.mu.
func (l *link) releaseAcks() {
	n := 0
	for ; n < len(l.acks) && l.acks[n].ready; n++ {
		a := l.acks[n]
		t := packets.TypePubAck
		if a.qos == 2 {
			t = packets.TypePubRec
		} else {
			l.c.s.Finish()
		}
		l.out.Commit(packets.AppendAck(l.out.Reserve(8), t, l.c.cfg.Version, a.id, packets.Success))
	}
	rest := l.acks[:copy(l.acks, l.acks[n:])]
	clear(l.acks[len(rest):])
	l.acks = rest
}
