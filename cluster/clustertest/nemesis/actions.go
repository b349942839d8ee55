package nemesis

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// probeID is the first of the packet identifiers that a client uses on a connection that it has left behind.
const probeID = 60_000

// act does one thing on a connection. It returns the connection that takes its place, if one does.
func (c *client) act(ctx context.Context, l *link) *link {
	c.mu.Lock()
	settling := c.w.settling.Load()
	if settling || c.like.lazy && c.rng.IntN(4) == 0 {
		l.payUp()
	}
	c.subscribe(l)
	impatient := c.like.patience > 0 && len(c.inflight) > 0 && time.Since(c.inflight[0].since) > c.like.patience
	c.mu.Unlock()
	if settling {
		return nil
	}
	if called := c.w.herd.calls.Load(); called != c.herded {
		c.herded = called
		if c.rng.IntN(4) > 0 {
			return c.move(ctx, l)
		}
	}
	if impatient {
		l.drop()
		return nil
	}
	if c.rng.Float64() < c.like.moves {
		return c.move(ctx, l)
	}
	if len(c.like.topics) > 0 {
		c.publish(l)
	}
	if c.like.fickle && c.rng.IntN(20) == 0 {
		c.unsubscribe(l)
	}
	return nil
}

// publish sends a message, or a few at once.
func (c *client) publish(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 1 + c.rng.IntN(3) {
		if len(c.inflight) >= window {
			return
		}
		topic := c.like.topics[c.rng.IntN(len(c.like.topics))]
		p := &packets.Publish{TopicName: topic.name, QoS: topic.qos, Retain: topic.retain}
		if topic.retain && c.rng.IntN(6) == 0 {
			p.Payload = nil // clears it
		} else {
			p.Payload = c.payload()
		}
		if p.QoS == 0 {
			l.send(p)
			continue
		}
		p.PacketID = c.nextID()
		c.inflight = append(c.inflight, &sending{p: p, since: time.Now()})
		l.send(p)
	}
}

// unsubscribe takes one of the subscriptions back. It is made again a little later.
func (c *client) unsubscribe(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.like.subs[c.rng.IntN(len(c.like.subs))]
	if !c.granted[s.TopicFilter] || len(c.asked) > 0 {
		return
	}
	c.granted[s.TopicFilter] = false
	p := &packets.Unsubscribe{PacketID: c.nextID(), TopicFilters: []string{s.TopicFilter}}
	c.dropped[p.PacketID] = s.TopicFilter
	l.send(p)
}

// move ends a connection in one of several ways; or begins another one beside it.
func (c *client) move(ctx context.Context, l *link) *link {
	switch n := c.rng.IntN(10); {
	case n < 4:
		l.drop()
	case n < 6:
		l.leave(packets.Success)
	case n < 7 && c.like.version >= packets.V5:
		l.leave(packets.DisconnectWithWillMessage)
	default:
		return c.takeOver(ctx, l)
	}
	return nil
}

// takeOver connects anew while the old connection is still there, and then tries whether that still works, which it must not.
func (c *client) takeOver(ctx context.Context, old *link) *link {
	c.mu.Lock()
	old.old = true
	c.mu.Unlock()
	var l *link
	for l == nil && ctx.Err() == nil {
		var err error
		if l, err = c.open(ctx); err != nil {
			c.sleep(ctx, c.around(c.like.pause))
		}
	}
	if l == nil {
		return nil
	}
	c.mu.Lock()
	old.send(&packets.PingReq{})
	old.send(&packets.Publish{TopicName: "p/" + c.id + "/probe", QoS: 1, PacketID: probeID, Payload: c.payload()})
	c.mu.Unlock()
	c.w.wg.Go(func() {
		t := time.NewTimer(2 * time.Second)
		defer t.Stop()
		select {
		case <-old.done:
		case <-t.C:
			old.drop()
		}
	})
	return l
}

// visit reads the retained messages with a session that is new.
func (w *workload) visit(ctx context.Context, number, node int) {
	c := w.newClient(fmt.Sprintf("visitor%d", number), profile{version: packets.V5, clean: true, subs: []packets.Subscription{{TopicFilter: "r/#", QoS: 1}}, pause: time.Second, think: time.Second})
	l, err := c.openAt(ctx, node)
	if err != nil {
		return
	}
	defer l.leave(packets.Success)
	ok := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.granted["r/#"]
	}
	for i := 0; i < 50 && !ok() && !l.over(); i++ {
		c.sleep(ctx, 100*time.Millisecond)
	}
	c.sleep(ctx, 500*time.Millisecond)
	if !ok() {
		return
	}
	c.mu.Lock()
	l.send(&packets.PingReq{})
	c.mu.Unlock()
	select {
	case <-l.pong:
		if !w.troubled.Load() {
			l.rec.Drained()
		}
	case <-l.done:
	case <-ctx.Done():
	}
}
