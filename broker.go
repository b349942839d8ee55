package shoal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/internal/memory"
	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/internal/pace"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

// Broker is an MQTT broker, alone or a node of a cluster. Make one with New. Its methods may be called on any goroutine.
type Broker struct {
	endpoints []listen.Endpoint
	cfg       config
	limits    Limits
	caps      Capabilities
	log       *slog.Logger
	auth      Authenticator
	authz     Authorizer // nil: everything is allowed
	enhanced  EnhancedAuthenticator
	methods   []string // of enhanced
	hooks     hooks

	pool          outbox.Pool
	batches       sync.Pool // of *outbox.Batch
	scratches     sync.Pool // of *scratch
	sessionLimits core.Limits

	index      *topics.Index[target]
	groups     groups
	retained   retained
	wills      storedWills
	bans       bans
	durability Durability  // of what comes by no listener and says nothing else
	connLimits *connLimits // nil: no limits
	rateLimits *rateLimits // nil: no limits
	flaps      *flaps      // nil: nobody counts
	sessions   sessions
	totals     totals
	memory     *memory.Budget // nil: no limit
	own        ownClients
	bridges    []*BridgeHost
	// bridging are the goroutines of bridges, and stopBridges ends them; nil before they are started.
	bridging    sync.WaitGroup
	stopBridges context.CancelFunc
	journal     *journal     // nil: nothing is stored
	cluster     *clusterNode // nil: alone
	metrics     metrics
	sys         *sysTree          // nil: turned off
	dropEvents  chan DroppedEvent // nil: nobody listens
	authzEpoch  atomic.Uint32     // changes when cached decisions become void
	recheck     chan struct{}     // see rights.go
	late        lateFlush
	heldBack    *pace.Wheel[*acceptance] // what waits for full queues

	origin  uint64        // names this run of the broker in message IDs
	numbers atomic.Uint64 // of messages

	began      time.Time  // when Start was called
	timekeeper Timekeeper // nil without a cluster whose nodes agree on the time

	life context.Context // ends when the broker has drained
	kill context.CancelFunc
	wg   sync.WaitGroup // everything that Shutdown waits for
	// journalEnd ends the journal, which outlives everything that writes to it.
	journalEnd  context.CancelFunc
	journalDone chan struct{}

	hurry chan struct{} // closed when Shutdown begins

	mu        sync.Mutex
	state     brokerState
	closing   bool // no connections are accepted any more
	listeners []net.Listener
	conns     map[*conn]struct{}
	stopped   chan struct{} // closed when Shutdown is through
	stopErr   error
}

type brokerState byte

const (
	stateNew brokerState = iota
	stateRunning
	stateDraining
	stateStopped
)

// New makes a Broker. It checks all options and joins what is wrong with them into one error; it does no I/O and
// starts no goroutine.
func New(opts ...Option) (*Broker, error) {
	b := &Broker{conns: make(map[*conn]struct{}), stopped: make(chan struct{}), hurry: make(chan struct{}), recheck: make(chan struct{}, 1)}
	b.late.wake = make(chan struct{}, 1)
	b.heldBack = pace.NewWheel[*acceptance]()
	for _, o := range opts {
		o(&b.cfg)
	}
	endpoints, err := b.cfg.validate()
	errs := []error{err}
	for _, h := range b.cfg.hooks {
		errs = append(errs, b.hooks.add(h))
	}
	errs = append(errs, b.addBridges())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.endpoints = endpoints
	b.limits, b.caps = b.cfg.limits, b.cfg.caps
	b.limits.setDefaults()
	for _, cl := range b.cfg.cluster {
		b.limits.limitTo(cl)
	}
	b.caps.limit(&b.limits)
	if b.log = b.cfg.logger; b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	for _, br := range b.cfg.bridges {
		b.bridges = append(b.bridges, newBridgeHost(b, br))
	}
	b.durability = b.cfg.durabilities.of("")
	b.auth = b.cfg.auth[0]
	b.authz, _ = b.auth.(Authorizer)
	if b.enhanced, _ = b.auth.(EnhancedAuthenticator); b.enhanced != nil {
		b.methods = slices.Clone(b.enhanced.AuthenticationMethods())
		if err := checkMethods(b.methods); err != nil {
			return nil, err
		}
	}
	b.connLimits, b.rateLimits = newConnLimits(&b.cfg.connLimits), newRateLimits(&b.cfg.rateLimits)
	if f := b.cfg.flapping; f != nil {
		b.flaps = &flaps{Flapping: *f}
	}
	b.sessionLimits = core.Limits{
		QueuedMessages: b.limits.QueuedMessages,
		QueuedBytes:    b.limits.QueuedBytes,
		DropOldest:     b.limits.WhenFull == QueueDropOldest,
		Wait:           b.limits.WhenFull == QueueWait,
		ReceiveMaximum: int(b.limits.ReceiveMaximum),
		OutboxBytes:    b.limits.OutboxBytes,
		InFlightBytes:  b.limits.InFlightBytes,
	}
	b.sys = newSysTree(b, b.cfg.sysInterval)
	b.index = topics.NewIndex[target]()
	b.groups.init()
	b.retained.init(b.nano, b.timely)
	b.sessions.init()
	b.totals.init(&b.cfg)
	b.retained.totals = &b.totals
	b.memory = memory.New(b.cfg.memoryLimit)
	if len(b.hooks.dropped) > 0 {
		b.dropEvents = make(chan DroppedEvent, 1024)
	}
	clustered := len(b.cfg.cluster) > 0
	switch {
	case clustered:
		b.cluster = newClusterNode(b, b.cfg.cluster[0])
		b.timekeeper, _ = b.cfg.cluster[0].(Timekeeper)
		var common *commonLog
		if shared, ok := b.cfg.storage.(FencedStorage); ok { // validate has refused all others
			common = newCommonLog(shared, b.log)
			common.stale, common.note = b.cluster.gone, b.cluster.note
		}
		b.journal = newClusterJournal(newReplication(b.cluster, common != nil), common)
	case b.cfg.storage != nil:
		b.journal = newOwnJournal(newStoreLog(b.cfg.storage, b.log))
	}
	return b, nil
}

// Start restores what was stored, binds every listener, begins to serve and returns. In a cluster it does not wait for the other nodes:
// clients that come before the node has joined wait, up to Limits.ConnectTimeout; see Ready. ctx bounds Start alone.
// If Start fails, everything it began is undone.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	if b.state != stateNew {
		b.mu.Unlock()
		return ErrStarted
	}
	b.state = stateRunning
	b.life, b.kill = context.WithCancel(context.Background())
	b.origin = rand.Uint64()
	b.began = time.Now()
	b.mu.Unlock()
	if err := b.start(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = b.Shutdown(stop) // what matters is why the start failed
		return err
	}
	return nil
}

func (b *Broker) start(ctx context.Context) error {
	if err := b.openStorage(ctx); err != nil {
		return err
	}
	b.wg.Go(func() { b.late.run(b.life) })
	b.wg.Go(func() { b.heldBack.Run(b.life, func(a *acceptance) { a.finish(packets.Success) }) })
	if b.memory != nil {
		b.wg.Go(func() { b.memory.Run(b.life) })
	}
	if b.dropEvents != nil {
		b.wg.Go(b.reportDrops)
	}
	if b.authz != nil {
		b.wg.Go(b.recheckRights)
	}
	if b.sys != nil {
		b.sys.started = time.Now()
		b.wg.Go(b.sys.run)
	}
	for _, e := range b.endpoints {
		l, err := e.Listen(ctx, b.cfg.tls)
		if err != nil {
			return fmt.Errorf("shoal: listen on %s: %w", e.URL, err)
		}
		b.addListener(l)
	}
	for _, l := range b.cfg.listeners {
		b.addListener(l)
	}
	if b.cluster != nil {
		if err := b.cluster.start(ctx); err != nil {
			return err
		}
	}
	b.startBridges()
	b.mu.Lock()
	listeners := b.listeners
	b.mu.Unlock()
	for i, l := range listeners {
		name := l.Addr().String()
		if i < len(b.endpoints) {
			name = b.endpoints[i].URL
		}
		foreign := i >= len(b.endpoints)
		b.wg.Go(func() { b.accept(l, name, foreign) })
		b.log.Info("listening", "address", l.Addr().String(), "listener", name)
	}
	b.publishRestored()
	return nil
}

func (b *Broker) addListener(l net.Listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(b.listeners, l)
}

// Run is Start, then waiting for ctx to end, then Shutdown with 30 seconds of time.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.Start(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-b.stopped:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return b.Shutdown(stop)
}

// Ready returns when the broker serves clients: at once when it is alone, or when it has joined its cluster.
func (b *Broker) Ready(ctx context.Context) error {
	if err := b.running(); err != nil {
		return err
	}
	if b.cluster == nil {
		return nil
	}
	return b.cluster.awaitServing(ctx)
}

// Addrs returns the addresses of the listeners, in the order of WithListen and then WithListener.
func (b *Broker) Addrs() []net.Addr {
	b.mu.Lock()
	listeners := slices.Clone(b.listeners)
	b.mu.Unlock()
	addrs := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

func (b *Broker) running() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state {
	case stateNew:
		return ErrNotStarted
	case stateRunning:
		return nil
	}
	return ErrClosed
}

// serving reports whether this node may accept and acknowledge.
func (b *Broker) serving() bool { return b.cluster == nil || b.cluster.serving() }

// accept serves the connections of a listener, which is foreign if the embedder has made it.
func (b *Broker) accept(l net.Listener, name string, foreign bool) {
	delay := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		if err == nil {
			delay = 5 * time.Millisecond
			b.serve(nc, name, foreign)
			continue
		}
		if errors.Is(err, net.ErrClosed) || b.running() != nil {
			return
		}
		// Out of file descriptors, for example: connections that end make room.
		b.log.Warn("accepting connections failed", "listener", name, "error", err)
		select {
		case <-time.After(delay):
			delay = min(2*delay, time.Second)
		case <-b.life.Done():
			return
		}
	}
}

// serve begins to serve a connection on a goroutine of its own. The methods of a foreign one may block.
func (b *Broker) serve(nc net.Conn, listener string, foreign bool) {
	b.serveConn(newConn(b, nc, listener), foreign)
}

func (b *Broker) serveConn(c *conn, foreign bool) {
	nc := c.nc
	b.mu.Lock()
	if b.state != stateRunning || b.closing {
		b.mu.Unlock()
		_ = nc.Close()
		return
	}
	b.conns[c] = struct{}{}
	b.wg.Add(1)
	b.mu.Unlock()
	begun := true
	if foreign = foreign && !c.rd.IsSocket(); !foreign {
		begun = c.begin() // in the order in which they were accepted
	}
	go func() {
		defer b.wg.Done()
		if begun && (!foreign || c.begin()) {
			b.metrics.opened(c)
			c.run()
			b.metrics.closed(c)
		} else {
			close(c.stopped)
			_ = nc.Close()
		}
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
}

// kickAll ends all connections. Where clients are sent elsewhere, they are spread.
func (b *Broker) kickAll(k kicked) {
	var refs []string
	if k.reference != "" {
		refs = b.cluster.serverReferences()
	}
	for _, c := range b.allConns() {
		if len(refs) > 0 {
			k.reference = b.cluster.nextReference(refs)
		}
		c.kick(k)
	}
}

func (b *Broker) allConns() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.conns))
}

// newID names a message that this node has accepted.
func (b *Broker) newID() core.ID {
	return core.ID{Origin: b.origin, Number: b.numbers.Add(1)}
}
