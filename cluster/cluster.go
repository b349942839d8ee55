package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/faults"
	"github.com/shoalmq/shoal/cluster/internal/gossip"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/peer"
	"github.com/shoalmq/shoal/cluster/internal/raftlog"
)

// Attributes of a node that the nodes of a cluster find each other by.
const (
	attributePeer   = raftlog.AttributePeer
	attributeRaft   = raftlog.AttributeRaft
	attributeLevels = raftlog.AttributeLevels
	// tunnelPrefix, before a node's name, is the raft address of a node whose raft is reached through gRPC.
	tunnelPrefix = "grpc:"
)

// Cluster is this node's part in a cluster: a shoal.Cluster. Make one with New. It is good for one Start.
type Cluster struct {
	cfg     Config
	invalid error
	self    shoal.Node // as Self returns it
	gossip  *gossip.Gossip

	started chan struct{} // closed when Start has succeeded
	closed  chan struct{} // closed when Close begins
	running atomic.Pointer[running]
	book    addresses
	forGood atomic.Bool // Close leaves the cluster

	startMu sync.Mutex // held during Start, and while Close begins
	starts  int
	stopped chan struct{} // closed when Close is over
	closing error         // what it returned
}

var (
	_ shoal.Cluster    = (*Cluster)(nil)
	_ shoal.Yielder    = (*Cluster)(nil)
	_ shoal.Timekeeper = (*Cluster)(nil)

	_ shoal.CommandLimiter = (*Cluster)(nil)
)

// running is what Start made.
type running struct {
	self shoal.Node // with addresses
	mesh *peer.Mesh
	log  *raftlog.Log
}

// New returns a Cluster. It does no I/O and starts no goroutine; Self tells what is wrong with cfg.
func New(cfg Config) *Cluster {
	cfg = cfg.withDefaults()
	c := &Cluster{
		cfg:     cfg,
		invalid: cfg.validate(),
		self:    cfg.node(raftlog.NewIncarnation(faults.Wall(cfg.Network))),
		started: make(chan struct{}),
		closed:  make(chan struct{}),
		stopped: make(chan struct{}),
		book:    addresses{live: make(map[string]string)},
	}
	c.gossip = gossip.New(gossip.Config{
		Network: cfg.Network, IP: cfg.BindIP, Port: max(cfg.GossipPort, 0), AdvertiseIP: cfg.AdvertiseIP,
		Join: cfg.Join, Resolver: cfg.Resolver, Keys: cfg.GossipKeys, Logger: cfg.Logger, Rivalled: c.rivalled,
	})
	return c
}

// rivalled says whether another node has this one's name. It is called while Run runs, which begins after Start.
func (c *Cluster) rivalled(is bool) { c.running.Load().log.Rivalled(is) }

// Self returns this node, or everything that is wrong with the Config. The attributes lack the addresses, which are not
// known before Start.
func (c *Cluster) Self() (shoal.Node, error) {
	n := c.self
	n.Attributes = maps.Clone(n.Attributes)
	return n, c.invalid
}

// Addr returns the address that other nodes may name in Config.Join, or "" before Start.
func (c *Cluster) Addr() string {
	if c.running.Load() == nil {
		return ""
	}
	addr, err := c.gossip.Listen()
	if err != nil {
		return ""
	}
	return addr
}

// Run implements shoal.Discovery. It waits for Start, which binds the ports that are announced, and returns an error if Close comes
// first.
func (c *Cluster) Run(ctx context.Context, self shoal.Node, update func(live []shoal.Node)) error {
	select {
	case <-c.started:
	case <-c.closed:
		return shoal.ErrClosed
	case <-ctx.Done():
		return nil
	}
	r := c.running.Load()
	self.Incarnation = r.self.Incarnation
	self.Attributes = withAddresses(self.Attributes, r.self)
	return c.gossip.Run(ctx, self, update)
}

// Start implements shoal.Replicator.
func (c *Cluster) Start(ctx context.Context, self shoal.Node, sm shoal.StateMachine) error {
	if c.invalid != nil {
		return c.invalid
	}
	c.startMu.Lock()
	defer c.startMu.Unlock()
	select {
	case <-c.closed:
		return shoal.ErrClosed
	default:
	}
	if c.starts++; c.starts > 1 {
		return shoal.ErrStarted
	}
	if self.Name != c.cfg.Name {
		return fmt.Errorf("cluster: started as node %q, but configured as %q", self.Name, c.cfg.Name)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := c.start(self, sm)
	if err != nil {
		return fmt.Errorf("cluster: starting node %s: %w", self.Name, err)
	}
	c.running.Store(r)
	close(c.started)
	c.cfg.Logger.Info("cluster node started", "node", self.Name, "gossip", c.Addr(),
		attributeRaft, r.self.Attributes[attributeRaft], attributePeer, r.self.Attributes[attributePeer])
	return nil
}

// start binds everything and puts the parts together.
func (c *Cluster) start(self shoal.Node, sm shoal.StateMachine) (_ *running, err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				err = errors.Join(err, undo[i]())
			}
		}
	}()
	if _, err := c.gossip.Listen(); err != nil {
		return nil, err
	}
	undo = append(undo, c.gossip.Close)
	peerListener, peerAddr, err := c.listen(c.cfg.PeerPort)
	if err != nil {
		return nil, fmt.Errorf("PeerPort: %w", err)
	}
	h := &handler{sm: sm}
	mesh := peer.New(peer.Config{
		Self: self.Name, Boot: rand.Uint64(), Listener: peerListener,
		Dial: c.dialer(), Handler: h, Logger: c.cfg.Logger, Levels: level.Of(c.cfg.Network), Level: h.level,
	})
	undo = append(undo, func() error { mesh.Close(); return nil })
	rc := raftlog.Config{
		Dir: c.cfg.Dir, Disk: faults.DiskOf(c.cfg.Network), Wall: faults.Wall(c.cfg.Network), Bootstrap: c.cfg.Bootstrap, ExpectNodes: c.cfg.ExpectNodes, SM: sm, Logger: c.cfg.Logger,
		Peers:         &peers{self: self.Name, mesh: mesh, book: &c.book, seen: c.gossip},
		Renamed:       c.gossip.Announce,
		Unfound:       c.gossip.Unfound,
		Dial:          c.dialRaft(mesh),
		LeaseDuration: c.cfg.LeaseDuration, HeartbeatTimeout: c.cfg.HeartbeatTimeout, ElectionTimeout: c.cfg.ElectionTimeout,
		RemoveLostAfter: c.cfg.RemoveLostAfter, Voters: c.cfg.Voters, Levels: level.Of(c.cfg.Network), SnapshotEntries: c.cfg.SnapshotEntries, SnapshotBytes: c.cfg.SnapshotBytes,
	}
	if c.cfg.RaftOverGRPC {
		rc.Addr = tunnelPrefix + self.Name
		rc.Accept = mesh.AcceptTunnel
		rc.CloseListener = func() error { return nil }
	} else {
		l, addr, err := c.listen(c.cfg.RaftPort)
		if err != nil {
			return nil, fmt.Errorf("RaftPort: %w", err)
		}
		undo = append(undo, func() error { _ = l.Close(); return nil })
		rc.Addr, rc.Accept, rc.CloseListener = addr, l.Accept, l.Close
	}
	if self.Incarnation == 0 {
		self.Incarnation = c.self.Incarnation
	}
	self.Attributes = withAddresses(self.Attributes, shoal.Node{Attributes: map[string]string{attributePeer: peerAddr, attributeRaft: rc.Addr}})
	rc.Self = self
	mesh.Start()
	log, err := raftlog.Start(rc)
	if err != nil {
		return nil, err
	}
	h.log.Store(log)
	return &running{self: self, mesh: mesh, log: log}, nil
}

// listen opens a listener and returns the address to announce.
func (c *Cluster) listen(port int) (net.Listener, string, error) {
	l, err := c.cfg.Network.Listen(net.JoinHostPort(c.cfg.BindIP, strconv.Itoa(max(port, 0))))
	if err != nil {
		return nil, "", err
	}
	addr := l.Addr().String()
	if c.cfg.AdvertiseIP != "" {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, "", errors.Join(err, l.Close())
		}
		addr = net.JoinHostPort(c.cfg.AdvertiseIP, strconv.Itoa(int(ap.Port())))
	}
	return c.secured(l), addr, nil
}

// dialRaft returns how another node's raft is reached, by the address it announces.
func (c *Cluster) dialRaft(mesh *peer.Mesh) func(context.Context, string) (net.Conn, error) {
	dial := c.dialer()
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if name, ok := strings.CutPrefix(addr, tunnelPrefix); ok {
			return mesh.DialTunnel(ctx, name)
		}
		return dial(ctx, addr)
	}
}

func withAddresses(attributes map[string]string, from shoal.Node) map[string]string {
	a := maps.Clone(attributes)
	if a == nil {
		a = make(map[string]string)
	}
	for _, k := range []string{attributePeer, attributeRaft} {
		a[k] = from.Attributes[k]
	}
	return a
}

// SetPeers implements shoal.Replicator.
func (c *Cluster) SetPeers(live []shoal.Node) {
	r := c.running.Load()
	if r == nil {
		return
	}
	c.book.setLive(live)
	for _, n := range live {
		if addr := n.Attributes[attributePeer]; addr != "" && n.Name != r.self.Name {
			r.mesh.SetAddress(n.Name, addr)
		}
	}
	r.log.SetPeers(live)
}

// Propose implements shoal.Replicator.
func (c *Cluster) Propose(ctx context.Context, cmd []byte) (any, error) {
	r := c.running.Load()
	if r == nil {
		return nil, errNotStarted
	}
	return r.log.Propose(ctx, cmd)
}

var errNotStarted = fmt.Errorf("%w: %w", shoal.ErrNotReplicated, shoal.ErrNotStarted)

// ProposeAsync implements shoal.Replicator.
func (c *Cluster) ProposeAsync(cmd []byte, done func(result any, err error)) {
	c.proposeAsync((*raftlog.Log).ProposeAsync, cmd, done)
}

// ProposeStable implements shoal.Replicator.
func (c *Cluster) ProposeStable(cmd []byte, done func(result any, err error)) {
	c.proposeAsync((*raftlog.Log).ProposeStable, cmd, done)
}

func (c *Cluster) proposeAsync(propose func(*raftlog.Log, []byte, func(any, error)), cmd []byte, done func(any, error)) {
	r := c.running.Load()
	switch {
	case r != nil:
		propose(r.log, cmd, done)
	case done != nil:
		go done(nil, errNotStarted)
	}
}

// MaxCommand implements shoal.CommandLimiter.
func (c *Cluster) MaxCommand() int { return raftlog.MaxCommand }

// Stable implements shoal.Replicator: a node with a Dir has its log there.
func (c *Cluster) Stable() bool { return c.cfg.Dir != "" }

// Barrier implements shoal.Replicator.
func (c *Cluster) Barrier(ctx context.Context) error {
	r := c.running.Load()
	if r == nil {
		return shoal.ErrNotStarted
	}
	return r.log.Barrier(ctx)
}

// Forward implements shoal.Replicator.
func (c *Cluster) Forward(node string, batch []byte, done func(error)) bool {
	r := c.running.Load()
	return r != nil && r.mesh.Forward(node, batch, done)
}

// Call implements shoal.Replicator. An error of the other node's StateMachine.Serve comes back as its text.
func (c *Cluster) Call(ctx context.Context, node string, request []byte) ([]byte, error) {
	r := c.running.Load()
	if r == nil {
		return nil, shoal.ErrNotStarted
	}
	return r.mesh.Call(ctx, node, request)
}

// Yield implements shoal.Yielder.
func (c *Cluster) Yield(ctx context.Context) error {
	r := c.running.Load()
	if r == nil {
		return shoal.ErrNotStarted
	}
	return r.log.Yield(ctx)
}

// Serving implements shoal.Replicator.
func (c *Cluster) Serving() bool {
	r := c.running.Load()
	return r != nil && r.log.Serving()
}

// Remove takes a node that will not come back out of the cluster at once, instead of after Config.RemoveLostAfter, so that it does not count for
// the majority any more. Any other node can be asked, whoever leads; while nobody does, and while the others have not noticed yet that the node is gone,
// Remove goes on trying until ctx ends: give it a deadline. The node must not run: it is an error if it answers. If it is started again after all, it is
// welcome like any other. It is no error if the cluster does not know the node.
func (c *Cluster) Remove(ctx context.Context, node string) error {
	r := c.running.Load()
	if r == nil {
		return shoal.ErrNotStarted
	}
	if err := r.log.Remove(ctx, node); err != nil {
		return fmt.Errorf("cluster: removing node %s: %w", node, err)
	}
	return nil
}

// LeaveOnClose says that this node ends for good: when the broker is shut down after this, the node gives up its vote and its place in the cluster, and
// nobody waits for it any more. Without it, a node that is shut down is taken to be back soon. Close, and with it shoal.Broker.Shutdown, returns an error
// if the cluster has not agreed within a few seconds; then Remove, called at another node, does the same later. The last node of a cluster cannot leave
// it. A node that has left, and is started again after all, is welcome. It may be called before Start.
func (c *Cluster) LeaveOnClose() { c.forGood.Store(true) }

// Close implements shoal.Replicator. It takes a few seconds at most. Later and concurrent calls wait for the first and
// return its error. End Run's context, too.
func (c *Cluster) Close() error {
	if c.beginClose() {
		if r := c.running.Load(); r != nil {
			if c.forGood.Load() {
				r.log.LeaveOnClose()
			}
			c.closing = r.log.Close()
			r.mesh.Close()
		}
		c.closing = errors.Join(c.closing, c.gossip.Close())
		close(c.stopped)
	}
	<-c.stopped
	return c.closing
}

// beginClose returns true for the first call. A Start that is under way ends first.
func (c *Cluster) beginClose() bool {
	c.startMu.Lock()
	defer c.startMu.Unlock()
	select {
	case <-c.closed:
		return false
	default:
		close(c.closed)
		return true
	}
}
