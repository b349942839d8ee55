package nemesis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/packets"
)

// client is one client over all its connections. It does what the specification asks of clients: it goes on with its session when the broker
// has it, sends again what was not acknowledged, with DUP, and drops what it knew when the broker has no session.
type client struct {
	w    *workload
	id   string
	like profile
	rng  *rand.Rand // of the client's own goroutine

	mu       sync.Mutex // never held while anything is written or awaited
	link     *link
	inflight []*sending // not acknowledged, in the order in which they were first sent
	lastID   uint16
	number   int             // of messages
	granted  map[string]bool // filters with a SUBACK in this session
	asked    map[uint16][]packets.Subscription
	dropped  map[uint16]string // the UNSUBSCRIBEs that are not answered
	refused  int               // publishes that were refused
	herded   int64             // the last call of the herd that it has followed
}

// sending is a message that is not acknowledged.
type sending struct {
	p        *packets.Publish
	released bool // PUBREC has come, PUBREL was sent
	since    time.Time
}

const (
	dialTimeout    = 3 * time.Second
	connackTimeout = 12 * time.Second
	// silence is how long a client waits for any packet before it gives a connection up; it asks for one every third of that.
	silence = 12 * time.Second
	// window is how many messages a client has unacknowledged at most.
	window    = 10
	maxPacket = 1 << 20
)

// run keeps the client connected until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := c.open(ctx)
		if err != nil {
			c.sleep(ctx, c.around(c.like.pause))
			continue
		}
		c.live(ctx, l)
		if !c.w.settling.Load() {
			c.sleep(ctx, c.around(c.like.pause))
		}
	}
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.leave(packets.Success)
	}
}

// around returns a time near d.
func (c *client) around(d time.Duration) time.Duration {
	return d/2 + time.Duration(c.rng.Int64N(int64(d)+1))
}

func (c *client) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// open connects to a node, whichever, and goes on where the client was.
func (c *client) open(ctx context.Context) (*link, error) {
	return c.openAt(ctx, c.w.herd.node(c.rng, c.w.target.Nodes()))
}

func (c *client) openAt(ctx context.Context, node int) (*link, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.w.target.DialContext(dialCtx, node)
	if err != nil {
		return nil, err
	}
	l := &link{
		c: c, node: node, conn: conn, rec: c.w.rec.Conn(c.id, c.w.target.Name(node)),
		done: make(chan struct{}), wake: make(chan struct{}, 1), pong: make(chan struct{}, 1),
	}
	ack, err := l.hello()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.rec.Received(ack)
	if ack.ReasonCode.IsError() {
		l.rec.Closed(history.ByClient, "refused: "+ack.ReasonCode.String())
		_ = conn.Close()
		return nil, fmt.Errorf("refused: %s", ack.ReasonCode)
	}
	c.link = l
	if !ack.SessionPresent {
		c.inflight, c.granted = nil, make(map[string]bool)
	}
	c.asked, c.dropped = make(map[uint16][]packets.Subscription), make(map[uint16]string)
	c.w.wg.Go(l.read)
	c.w.wg.Go(l.write)
	for _, s := range c.inflight {
		s.since = time.Now()
		if s.released {
			l.send(&packets.PubRel{PacketID: s.p.PacketID})
			continue
		}
		s.p.Dup = true
		l.send(s.p)
	}
	c.subscribe(l)
	return l, nil
}

// will makes a Will Message, another one for each connection.
func (c *client) will() *packets.Will {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &packets.Will{TopicName: "w/" + c.id, QoS: packets.QoS(c.rng.IntN(3)), Payload: c.payload()}
	if c.like.version >= packets.V5 && c.rng.IntN(2) == 0 {
		w.Properties.WillDelayInterval = packets.Some(uint32(1 + c.rng.IntN(6)))
	}
	if c.rng.IntN(4) == 0 {
		w.TopicName, w.Retain = "r/will", true
	}
	return w
}

// payload makes the payload of the next message. The caller holds c.mu.
func (c *client) payload() []byte {
	c.number++
	size := c.rng.IntN(200)
	if c.rng.IntN(50) == 0 {
		size = 20_000
	}
	return history.Payload(history.MessageName(c.id, c.number), size)
}

// subscribe asks for what the session does not have. The caller holds c.mu.
func (c *client) subscribe(l *link) {
	var missing []packets.Subscription
	for _, s := range c.like.subs {
		if !c.granted[s.TopicFilter] {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 || len(c.asked) > 0 {
		return
	}
	p := &packets.Subscribe{PacketID: c.nextID(), Subscriptions: missing}
	c.asked[p.PacketID] = missing
	l.send(p)
}

// nextID returns a packet identifier that is free. The caller holds c.mu.
func (c *client) nextID() uint16 {
	for {
		c.lastID++
		if c.lastID >= probeID {
			c.lastID = 1
		}
		free := true
		for _, s := range c.inflight {
			free = free && s.p.PacketID != c.lastID
		}
		if _, taken := c.asked[c.lastID]; free && !taken && c.dropped[c.lastID] == "" {
			return c.lastID
		}
	}
}

// live acts on a connection until it has ended.
func (c *client) live(ctx context.Context, l *link) {
	asked := time.Now()
	for {
		t := time.NewTimer(c.around(c.like.think))
		select {
		case <-l.done:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if time.Since(asked) > silence/3 {
			asked = time.Now()
			c.mu.Lock()
			l.send(&packets.PingReq{})
			c.mu.Unlock()
		}
		if next := c.act(ctx, l); next != nil {
			l = next
		}
	}
}

// handle deals with a packet that has arrived.
func (c *client) handle(l *link, p packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := p.(*packets.Publish); ok {
		c.w.arrived.Add(1)
		if l.old && m.QoS == 0 {
			return // nobody knows in which order two connections are read
		}
	}
	if c.w.tamper != nil {
		c.w.tamper(c.id, p, l.rec.Received)
	} else {
		l.rec.Received(p)
	}
	if l.old {
		return
	}
	switch p := p.(type) {
	case *packets.Publish:
		switch p.QoS {
		case 1:
			l.answer(&packets.PubAck{PacketID: p.PacketID})
		case 2:
			l.answer(&packets.PubRec{PacketID: p.PacketID})
		}
	case *packets.PubRel:
		l.answer(&packets.PubComp{PacketID: p.PacketID})
	case *packets.PubAck:
		c.finished(p.PacketID, p.ReasonCode)
	case *packets.PubRec:
		if p.ReasonCode.IsError() {
			c.finished(p.PacketID, p.ReasonCode)
			return
		}
		for _, s := range c.inflight {
			if s.p.PacketID == p.PacketID && !s.released {
				s.released = true
				l.send(&packets.PubRel{PacketID: p.PacketID})
			}
		}
	case *packets.PubComp:
		c.finished(p.PacketID, p.ReasonCode)
	case *packets.SubAck:
		for i, s := range c.asked[p.PacketID] {
			c.granted[s.TopicFilter] = i < len(p.ReasonCodes) && !p.ReasonCodes[i].IsError()
		}
		delete(c.asked, p.PacketID)
	case *packets.UnsubAck:
		delete(c.dropped, p.PacketID)
	case *packets.PingResp:
		select {
		case l.pong <- struct{}{}:
		default:
		}
	}
}

// finished ends the exchange of a message. The caller holds c.mu.
func (c *client) finished(id uint16, code packets.ReasonCode) {
	for i, s := range c.inflight {
		if s.p.PacketID == id {
			c.inflight = append(c.inflight[:i:i], c.inflight[i+1:]...)
			if code.IsError() {
				c.refused++
			}
			return
		}
	}
}
