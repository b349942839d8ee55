package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/internal/wire"
	"github.com/shoalmq/shoal/packets"
)

// Config configures a Client. Version and Receive are required.
type Config struct {
	Version packets.Version
	// Receive takes a message from the broker, in order, on the connection's goroutine. The message is its own. accepted must be called
	// once, on any goroutine, with nil if the message is where it belongs; with an error the connection ends, without an acknowledgement, so that the
	// broker sends the message again. Acknowledgements leave in the order of the messages [MQTT-4.6.0-2].
	Receive func(p *packets.Publish, accepted func(error))
	// ReceiveMaximum is how many messages of QoS 1 and 2 the broker may send without an acknowledgement. Default 1,024.
	ReceiveMaximum uint16
	// MaximumPacketSize is the largest packet taken from the broker. Default 64 MiB.
	MaximumPacketSize int
	// WriteTimeout is how long the broker may take nothing of what is written. Default 30 s.
	WriteTimeout time.Duration
}

// Client is the state of a client, over its connections.
type Client struct {
	cfg  Config
	pool outbox.Pool

	mu    sync.Mutex
	s     *session.Session
	then  map[uint64]func(session.Why) // by number of the entry
	ended []func()                     // to be called without the lock
	link  *link                        // nil while there is no connection
	// receiving counts the messages that Receive has and has not accepted; a new connection waits for them.
	receiving int
	idle      chan struct{} // closed when there are none, if somebody waits for that
}

// unlimited bounds nothing: whoever calls Publish bounds what it has outstanding.
const unlimited = 1 << 30

// New returns a Client without a connection.
func New(cfg Config) *Client {
	if cfg.ReceiveMaximum == 0 {
		cfg.ReceiveMaximum = 1024
	}
	if cfg.MaximumPacketSize == 0 {
		cfg.MaximumPacketSize = 64 << 20
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	c := &Client{cfg: cfg, then: make(map[uint64]func(session.Why))}
	c.s = session.New(&session.Limits{
		QueuedMessages: unlimited, QueuedBytes: unlimited, ReceiveMaximum: int(cfg.ReceiveMaximum), OutboxBytes: 256 << 10,
	}, (*log)(c))
	return c
}

// log is the Client as the Log of its session.
type log Client

func (*log) Enqueued(*session.Entry)       {}
func (*log) Sent(*session.Entry)           {}
func (*log) PubRecReceived(*session.Entry) {}
func (*log) Received(uint16)               {}
func (*log) Completed(uint16)              {}

// Ended notes that a message's exchange is over. The caller holds the lock.
func (l *log) Ended(e *session.Entry, why session.Why) {
	c := (*Client)(l)
	if then := c.then[e.Seq]; then != nil {
		delete(c.then, e.Seq)
		c.ended = append(c.ended, func() { then(why) })
	}
}

// unlock ends what lock has begun, calls what has ended meanwhile and has the writer write.
func (c *Client) unlock() {
	ended := c.ended
	c.ended = nil
	if l := c.link; l != nil && l.out.Len() > 0 {
		l.wakeWriter()
	}
	c.mu.Unlock()
	for _, fn := range ended {
		fn()
	}
}

// Publish queues a message of QoS 1 or 2, and sends it when there is a connection, again and again, until the broker has answered. then is called
// with how that ended, and must not block.
func (c *Client) Publish(m *session.Message, qos packets.QoS, retain bool, then func(session.Why)) {
	c.mu.Lock()
	defer c.unlock()
	c.then[c.s.Last()+1] = then
	c.s.Push(session.Entry{Msg: m, QoS: qos, Retain: retain})
	if l := c.link; l != nil {
		c.s.Pump(&l.out, time.Now().UnixNano())
	}
}

// PublishQoS0 sends a message of QoS 0. It reports false if there is no connection, or no room.
func (c *Client) PublishQoS0(m *session.Message, retain bool) bool {
	c.mu.Lock()
	defer c.unlock()
	l := c.link
	if l == nil || l.out.Len() > 4<<20 {
		return false
	}
	return c.s.SendQoS0(&l.out, &session.Entry{Msg: m, Retain: retain}, time.Now().UnixNano())
}

// link is one connection.
type link struct {
	c         *Client
	nc        net.Conn
	rd        *wire.Reader
	wr        *wire.Writer
	keepAlive time.Duration
	heard     time.Time // guarded by c.mu

	out   outbox.Buffer // guarded by c.mu
	acks  []*ack        // that are due, oldest first; guarded by c.mu
	wake  chan struct{}
	ready chan error // of the answers to SUBSCRIBE
	fail  context.CancelCauseFunc
}

// ack is an answer that is due.
type ack struct {
	id    uint16
	qos   packets.QoS
	ready bool
}

func (l *link) wakeWriter() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// RefusedError is why a connection came to nothing or ended: the broker said so.
type RefusedError struct {
	ReasonCode packets.ReasonCode
	Reason     string
	What       string
}

// Error implements error.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%s: %s (0x%02X)", e.What, e.ReasonCode, byte(e.ReasonCode))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Run serves a connection until it ends, and closes it. connected is called once the session goes on there. With
// ctx it ends by a DISCONNECT, and its error is ctx's.
func (c *Client) Run(ctx context.Context, nc net.Conn, p *packets.Connect, subs []packets.Subscription, connected func()) error {
	defer func() { _ = nc.Close() }() // it has ended
	if err := c.awaitReceived(ctx); err != nil {
		return err
	}
	outer := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	l := &link{
		c: c, nc: nc, rd: wire.NewReader(nc, &c.pool, c.cfg.MaximumPacketSize), wr: wire.NewWriter(nc, c.cfg.WriteTimeout),
		wake: make(chan struct{}, 1), ready: make(chan error, 1), fail: fail, heard: time.Now(),
		keepAlive: time.Duration(p.KeepAlive) * time.Second,
	}
	l.out.Pool = &c.pool
	defer l.rd.Close()
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) }) // fails only if it is closed
	defer stop()
	if err := l.connect(ctx, p); err != nil {
		return errors.Join(outer.Err(), err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.write(ctx) })
	wg.Go(func() { fail(l.read()) })
	err := l.subscribe(ctx, subs)
	if err == nil {
		connected()
		<-ctx.Done()
	}
	fail(err)
	c.mu.Lock()
	c.link = nil
	c.s.Detach()
	c.unlock()
	if outer.Err() != nil {
		l.leave()
	}
	_ = nc.SetDeadline(time.Unix(1, 0)) // fails only if it is closed
	wg.Wait()
	if outer.Err() != nil {
		return outer.Err()
	}
	return context.Cause(ctx)
}

// awaitReceived waits until what Receive has is accepted, or else it could overtake itself when it is sent again.
func (c *Client) awaitReceived(ctx context.Context) error {
	c.mu.Lock()
	if c.receiving == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// received ends what Receive has begun. The caller holds the lock.
func (c *Client) received() {
	if c.receiving--; c.receiving == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// leave says good-bye.
func (l *link) leave() {
	d := packets.Disconnect{}
	if b, err := d.Append(nil, l.c.cfg.Version); err == nil {
		_ = l.nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = l.nc.Write(b) // the session is there in any case
	}
}

func (l *link) send(p packets.Packet) error {
	b, err := p.Append(nil, l.c.cfg.Version)
	if err != nil {
		return err
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.out.Append(b)
	l.wakeWriter()
	return nil
}

// connect sends CONNECT, reads the answer, and has the session go on.
func (l *link) connect(ctx context.Context, p *packets.Connect) error {
	b, err := p.Append(nil, l.c.cfg.Version)
	if err != nil {
		return err
	}
	if err := l.nc.SetDeadline(time.Now().Add(l.c.cfg.WriteTimeout)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // by now, or it interrupts what follows
	}
	if _, err := l.nc.Write(b); err != nil {
		return err
	}
	h, body, err := l.next()
	if err != nil {
		return err
	}
	var ack packets.ConnAck
	if h.Type != packets.TypeConnAck {
		return fmt.Errorf("the broker answers CONNECT with %s", h.Type)
	}
	if err := ack.Decode(h, body, l.c.cfg.Version); err != nil {
		return err
	}
	if ack.ReasonCode != packets.Success {
		return &RefusedError{ack.ReasonCode, ack.Properties.ReasonString.Or(""), "the broker refuses the connection"}
	}
	if v, ok := ack.Properties.ServerKeepAlive.Get(); ok {
		l.keepAlive = time.Duration(v) * time.Second
	}
	if err := l.nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c := l.c
	c.mu.Lock()
	defer c.unlock()
	c.link = l
	c.s.Attach(session.Conn{
		Version: c.cfg.Version, ReceiveMaximum: int(ack.Properties.ReceiveMaximum.Or(65535)),
		MaximumPacketSize: int(ack.Properties.MaximumPacketSize.Or(0)), TopicAliasMaximum: min(ack.Properties.TopicAliasMaximum.Or(0), 64),
	})
	for _, id := range c.s.Released() {
		l.out.Append(packets.AppendAck(nil, packets.TypePubRel, c.cfg.Version, id, packets.Success))
	}
	c.s.Pump(&l.out, time.Now().UnixNano())
	return nil
}

// freeID returns a packet identifier that no message has, or gets soon [MQTT-2.2.1-3].
func (c *Client) freeID() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := make(map[uint16]bool)
	c.s.Entries(func(e *session.Entry) { used[e.PacketID] = true })
	for {
		number := c.s.Last() + 1
		c.s.Skip(number)
		if id := session.IDOf(number); !used[id] {
			return id
		}
	}
}

// subscribe subscribes and waits for the answer.
func (l *link) subscribe(ctx context.Context, subs []packets.Subscription) error {
	if len(subs) == 0 {
		return nil
	}
	if err := l.send(&packets.Subscribe{PacketID: l.c.freeID(), Subscriptions: subs}); err != nil {
		return err
	}
	select {
	case err := <-l.ready:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
