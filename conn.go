package shoal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/wire"
	"github.com/shoalmq/shoal/packets"
)

// conn is one network connection. Its own goroutine (run) reads, handles packets and ends it; others append to its
// outbox and write that out (see writing.go). To end a connection from elsewhere, kick it.
type conn struct {
	b        *Broker
	nc       net.Conn
	rd       *wire.Reader
	listener string
	started  time.Time
	remote   net.Addr // nil until it is known; changed under b.mu
	// durability is what the listener has for what says nothing else.
	durability Durability

	// Set by the CONNECT, not changed afterwards.
	s           *session
	version     packets.Version
	clientID    string
	principal   *Principal               // a re-authentication replaces it, on the connection's goroutine
	who         atomic.Pointer[identity] // for others
	enhanced    *enhanced                // nil: the CONNECT named no Authentication Method
	counted     *counted                 // nil: connections are not limited
	rate        []*limiter               // of what it publishes
	tooFast     bool                     // the connection ends for that
	bridge      bool                     // of mosquitto, by MQTT 3
	quiet       bool                     // Request Problem Information 0: no Reason Strings but where they are always allowed
	keepAlive   time.Duration            // one and a half times what was agreed; 0 for none
	lastRead    time.Time                // when the last packet had arrived
	lastBytes   time.Time                // when the last bytes had
	heard       int                      // bytes read since it was told to end; see hearout.go
	aliases     map[uint16]string        // of the client
	authCache   authCache
	will        bool // the session's will is this connection's, until a DISCONNECT takes it back
	established bool
	since       uint64             // where in the agreed order the connection began, in a cluster
	caughtUp    bool               // all nodes have come that far
	subscribing []pendingSubscribe // SUBSCRIBEs of this batch, not yet answered

	// own is the client, if that is the program itself, and nil for all others; see own.go.
	own *lasting

	order atomic.Pointer[kicked] // to end the connection, from elsewhere
	waits waits
	// fenced is set when the session was taken from the connection before that had ended: it accepts nothing any more.
	fenced atomic.Bool

	// stopped is closed when the session has let go of this connection: nothing more comes from it.
	stopped chan struct{}

	mu      sync.Mutex // never held across I/O; taken inside of the session's lock, never the other way
	out     outbox.Buffer
	wr      *wire.Writer
	acks    []ackSlot  // answers that wait for their turn, oldest first
	rels    []*heldRel // PUBRELs that do
	writing bool       // somebody is writing; they take along what is appended meanwhile
	dirty   bool       // somebody will flush soon
	stalled bool       // the session has more than the outbox takes; whoever drains it pumps
	broken  error      // nothing can be written any more
	idle    chan struct{}

	wake chan struct{} // wakes a reader that waits for answers to leave; see awaitAcks
}

func newConn(b *Broker, nc net.Conn, listener string) *conn {
	c := &conn{
		b: b, nc: nc, listener: listener, started: time.Now(),
		rd:      wire.NewReader(nc, &b.pool, min(maxConnect, int(b.limits.MaximumPacketSize))),
		wr:      wire.NewWriter(nc, b.limits.WriteTimeout),
		stopped: make(chan struct{}),
		wake:    make(chan struct{}, 1),
		version: packets.V311,
	}
	c.out.Pool = &b.pool
	c.durability = b.cfg.durabilities.of(listener)
	return c
}

// maxConnect is the largest CONNECT: before it, nobody is known, and nobody gets more memory than this.
const maxConnect = 512 << 10

// ended says how a connection came to its end.
type ended struct {
	code      packets.ReasonCode
	err       error  // nil after a DISCONNECT of the client's
	reference string // Server Reference to send
	notify    bool   // the client is to be told by a DISCONNECT
	reason    string // Reason String
}

// run serves the connection until its end.
func (c *conn) run() {
	end := c.guarded()
	if c.established && end.err == nil {
		c.finishAcks()
	}
	c.waits.end()
	c.rd.Close()
	c.countReceived()
	c.dropAcks()
	c.endReauthentication()
	c.leaveLimits() // before anybody can know that the client can come again
	if c.established {
		c.detach()
	}
	close(c.stopped)
	c.goodbye(end)
	if c.established {
		c.observeDisconnect(end)
		c.b.log.Debug("client disconnected", "client_id", c.clientID, "code", end.code.String(), "error", end.err)
	} else if end.err != nil && !errors.Is(end.err, io.EOF) {
		c.b.log.Debug("connection ended before it was accepted", "remote", fmt.Sprint(c.remote), "error", end.err)
	}
}

// begin asks where the connection comes from, which one that is the embedder's may have to wait for, and counts it. It reports false if it is to be closed at once.
func (c *conn) begin() bool {
	c.setDeadline(c.started.Add(c.b.limits.ConnectTimeout))
	remote := c.nc.RemoteAddr()
	c.b.mu.Lock()
	c.remote = remote
	c.b.mu.Unlock()
	return c.own != nil || c.underLimits()
}

// guarded is serve with panics, which only user code called from here can cause, turned into the end of this connection. User code that
// runs on behalf of none is called by Broker.guard.
func (c *conn) guarded() (end ended) {
	defer func() {
		if p := recover(); p != nil {
			c.b.log.Error("panic while serving a client", "client_id", c.clientID, "panic", p, "stack", string(debug.Stack()))
			end = ended{code: packets.UnspecifiedError, err: errPanic, notify: c.established}
		}
	}()
	return c.serve()
}

var errPanic = errors.New("shoal: panic while serving the client")

func (c *conn) serve() ended {
	if k := c.order.Load(); k != nil {
		return ended{code: k.code, err: errGone}
	}
	if t, ok := c.nc.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(c.context(), c.b.limits.ConnectTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return ended{code: packets.UnspecifiedError, err: err}
		}
	}
	if end, ok := c.handshake(); !ok {
		return end
	}
	for { // first what came together with the CONNECT [MQTT-3.1.4-6]
		if end, ok := c.outstayed(); !ok {
			return end
		}
		if end, ok := c.batch(); !ok {
			return end
		}
		if end, ok := c.fill(); !ok {
			return end
		}
	}
}

// fill waits for more bytes. It returns false when the connection is to end.
func (c *conn) fill() (ended, bool) {
	began := time.Now()
	for {
		if k := c.order.Load(); k != nil {
			return c.hear(k)
		}
		err := c.rd.Fill()
		if err == nil {
			if c.kickedHard() {
				return c.kickedEnd(c.order.Load()), false
			}
			return ended{}, true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return ended{code: packets.UnspecifiedError, err: err}, false
		}
		if c.order.Load() != nil {
			continue
		}
		if n, err := c.arrivedBefore(began); err != nil {
			return ended{code: packets.UnspecifiedError, err: err}, false
		} else if n > 0 { // it came while the reader was busy
			return ended{}, true
		}
		if end, ok := c.overdue(); !ok {
			return end, false
		}
		c.setDeadline(c.nextDue())
	}
}

// batch handles all packets that have arrived, then flushes what they caused, once.
func (c *conn) batch() (ended, bool) {
	sc := c.b.scratch()
	defer sc.release()
	sc.own = c
	c.lastBytes = sc.now
	for {
		h, body, ok, err := c.rd.Next()
		if err != nil {
			return c.protocolEnd(err), false
		}
		if !ok {
			break
		}
		c.lastRead = sc.now
		if end, ok := c.handle(sc, h, body); !ok {
			return end, false
		}
		if sc.drain > 0 {
			c.awaitDrain(sc)
		}
	}
	if end, ok := c.finishSubscribes(sc); !ok {
		return end, false
	}
	c.rd.Release()
	c.countReceived()
	sc.flush()
	if sc.gives {
		c.awaitRoom()
	}
	c.awaitAcks()
	return ended{}, true
}

// awaitRoom keeps the reader from reading on while the journal, or what is on its way to another node, is full. Clients that add nothing to
// them are read: acknowledgements, of which there are no more than messages that were sent, and PINGREQs.
func (c *conn) awaitRoom() {
	if j := c.b.journal; j != nil {
		j.admit(c.context())
	}
	if cl := c.b.cluster; cl != nil {
		_ = cl.pause(c.context()) // it fails only at the end
	}
}

// countReceived counts what was read since the last time.
func (c *conn) countReceived() {
	c.b.metrics.in.add(&c.rd.Traffic)
	c.rd.Traffic = outbox.Traffic{}
}

// protocolEnd is the end after a packet that breaks the rules.
func (c *conn) protocolEnd(err error) ended {
	return ended{
		code: ReasonCodeOf(err, packets.MalformedPacket), err: err, notify: true, reason: reasonStringOf(err),
	}
}

// goodbye tells the client why, if it is to know, sees to it that it can read that, and closes the connection.
func (c *conn) goodbye(end ended) {
	defer c.discard()
	if !end.notify {
		if c.established || c.hasOutput() {
			c.writeOut(time.Second)
		}
		_ = c.nc.Close()
		return
	}
	if c.established && c.version >= packets.V5 {
		d := packets.Disconnect{ReasonCode: end.code}
		if end.reason != "" && !c.quiet {
			d.Properties.ReasonString = packets.Some(end.reason)
		}
		if end.reference != "" {
			d.Properties.ServerReference = packets.Some(end.reference)
		}
		c.appendPacket(&d)
	}
	c.writeOut(time.Second)
	c.linger()
	_ = c.nc.Close()
}

// linger closes the write side and reads on for up to a second, so that a client that is still sending reads the
// DISCONNECT and not a reset.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(time.Second)) // on failure the read fails, too
	buf := c.b.pool.Get(outbox.SmallChunk)
	defer c.b.pool.Put(buf)
	for {
		if _, err := c.nc.Read(buf[:cap(buf)]); err != nil {
			return
		}
	}
}

func (c *conn) observeConnected(present, cleanStart bool) {
	if c.own != nil {
		return
	}
	for _, o := range c.b.hooks.connected {
		o.Connected(ConnectedEvent{Client: c.info(), SessionPresent: present, CleanStart: cleanStart})
	}
}

func (c *conn) observeDisconnect(end ended) {
	if c.own != nil {
		return
	}
	for _, o := range c.b.hooks.disconnect {
		c.b.guard(func() {
			o.Disconnected(DisconnectedEvent{
				Client: c.info(), ReasonCode: end.code, Err: end.err, After: time.Since(c.started),
			})
		})
	}
}

func (c *conn) info() ClientInfo {
	return ClientInfo{
		ClientID: c.clientID, Principal: c.principal, Version: c.version, RemoteAddr: c.remote, Listener: c.listener,
	}
}

func (c *conn) logger() *slog.Logger { return c.b.log.With("client_id", c.clientID) }
