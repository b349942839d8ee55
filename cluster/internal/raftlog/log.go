package raftlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/faults"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/logbridge"
)

const (
	proposeTimeout = 10 * time.Second
	commitTimeout  = 300 * time.Millisecond
	stopTimeout    = 5 * time.Second
	maxAppend      = 16 // entries of up to 1 MiB in one request
	pooledConns    = 4
)

// Peers is how a Log reaches the other nodes.
type Peers interface {
	// Control sends a request to the Log of another node; see Log.Control.
	Control(ctx context.Context, node string, request []byte) ([]byte, error)
	// NodeUp and NodeDown are called on Apply's goroutine, before the state machine is told.
	NodeUp(node shoal.Node)
	NodeDown(node string)
}

// Config says what a Log is made of. Every field but Dir, Bootstrap and ExpectNodes must be set.
type Config struct {
	Self      shoal.Node
	Dir       string // empty: in memory
	Disk      faults.Disk
	Wall      time.Time // what the clock on the wall shows
	Bootstrap bool
	// ExpectNodes, if not 0, is how many nodes begin a cluster together.
	ExpectNodes int
	// Unfound, if not nil, returns what this node was told to join and has not found.
	Unfound func() []string
	Peers   Peers
	SM      shoal.StateMachine
	Logger  *slog.Logger

	// Addr is where other nodes' rafts reach this one; Accept, CloseListener and Dial are how. Dial gets such an Addr.
	Addr          string
	Accept        func() (net.Conn, error)
	CloseListener func() error
	Dial          func(ctx context.Context, addr string) (net.Conn, error)

	// Renamed is called when this node goes on under a new incarnation.
	Renamed func(shoal.Node)

	LeaseDuration    time.Duration
	HeartbeatTimeout time.Duration
	ElectionTimeout  time.Duration
	RemoveLostAfter  time.Duration
	Voters           int // how many nodes decide
	Levels           level.Range
	SnapshotEntries  uint64
	SnapshotBytes    uint64
}

// Log is this node's part in the agreed order.
type Log struct {
	cfg       Config
	raft      *raft.Raft
	started   atomic.Pointer[raft.Raft] // raft, for what raft calls while it starts
	transport *transport
	layer     *streamLayer
	stores    *stores
	identity  *identity
	fsm       *fsm
	batcher   *batcher
	completer *completer
	lease     *lease
	book      *addressBook
	barriers  barriers
	grown     compaction
	gate      gate
	clock     *clock
	pact      pact
	reign     atomic.Pointer[reign] // nil unless this node leads
	// wanted is the incarnation this process goes by; incarnation is the same while the node is up, and 0 otherwise.
	wanted       atomic.Uint64
	outdated     atomic.Bool // a snapshot has replaced the state under this incarnation
	incarnation  atomic.Uint64
	leaving      atomic.Bool
	forGood      atomic.Bool            // Close takes this node out of the cluster
	misfit       atomic.Uint64          // the level of a cluster that has refused this node
	reason       atomic.Pointer[string] // why this node has not served for some time
	renewNow     chan struct{}          // capacity 1
	peersChanged chan struct{}          // capacity 1
	voting       chan struct{}          // capacity 1: full while a node is made a voter

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines that end with ctx

	completerCancel context.CancelFunc
	completerDone   chan struct{}
	upCancel        context.CancelFunc // ends stayUp

	mu      sync.Mutex
	leader  raft.ServerID
	changed chan struct{} // closed and replaced when the leader changes
}

// Start opens the stores, restores the last snapshot into the state machine, and begins to take part.
func Start(cfg Config) (*Log, error) {
	l := &Log{
		cfg:          cfg,
		gate:         newGate(),
		clock:        newClock(cfg.Wall),
		lease:        newLease(),
		book:         newAddressBook(),
		completer:    &completer{wake: make(chan struct{}, 1)},
		barriers:     barriers{wake: make(chan struct{}, 1)},
		renewNow:     make(chan struct{}, 1),
		peersChanged: make(chan struct{}, 1),
		voting:       make(chan struct{}, 1),
		changed:      make(chan struct{}),
	}
	l.pact.began = time.Now()
	l.wanted.Store(cfg.Self.Incarnation)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.batcher = &batcher{
		level: l.Level, self: cfg.Self.Name, submit: l.submit, retry: l.leaderChanged,
		completer: l.completer, log: cfg.Logger, wake: make(chan struct{}, 1),
	}
	l.fsm = newFSM(cfg.Self.Name, cfg.Levels, cfg.SM, cfg.Peers, cfg.Logger)
	l.fsm.onStop = l.stopped
	l.fsm.onOwnBatch = l.batcher.applied
	l.fsm.onOwnUp = l.ownUp
	l.fsm.onOwnDown = l.ownDown
	l.fsm.onRestore = l.restored
	l.fsm.onApplied = l.applied
	elected := make(chan bool, 16)
	fresh, err := l.openRaft(elected)
	if err != nil {
		l.cancel()
		return nil, err
	}
	l.run(elected, fresh)
	return l, nil
}

// openRaft opens the stores and starts raft. fresh is true if there was nothing in them.
func (l *Log) openRaft(elected chan bool) (fresh bool, err error) {
	hc := logbridge.HC(l.cfg.Logger)
	if l.stores, err = openStores(l.cfg.Dir, l.cfg.Disk, l.cfg.Logger); err != nil {
		return false, err
	}
	existing, err := raft.HasExistingState(l.stores.logs, l.stores.stable, l.stores.snapshots)
	if err != nil {
		return false, errors.Join(fmt.Errorf("reading raft's state: %w", err), l.stores.close())
	}
	// It cannot have voted in a cluster that did not exist when it began to run.
	l.identity = &identity{stable: l.stores.stable, begun: func() { l.transport.noVotes.Store(false) }}
	if existing {
		if err := l.identity.load(); err != nil {
			return false, errors.Join(err, l.stores.close())
		}
	}
	layer := &streamLayer{
		self: l.cfg.Self, book: l.book, id: l.identity, addr: raft.ServerAddress(l.cfg.Addr), accept: l.cfg.Accept, close: l.cfg.CloseListener, dial: l.cfg.Dial,
		conns: make(map[*dialled]struct{}),
	}
	l.layer = layer
	layer.ctx, layer.cancel = context.WithCancel(context.Background())
	l.transport = newTransport(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: l.book,
		Logger:                hc,
		Stream:                layer,
		MaxPool:               pooledConns,
		Timeout:               rpcTimeout,
	}), layer, l.stores.logs, l.leads)
	fresh = !existing && !l.stores.rebuilding
	l.transport.noVotes.Store(fresh || l.stores.rebuilding || l.stores.forgetful)
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(l.cfg.Self.Name)
	rc.Logger = hc
	rc.HeartbeatTimeout = l.cfg.HeartbeatTimeout
	rc.ElectionTimeout = l.cfg.ElectionTimeout
	rc.LeaderLeaseTimeout = l.cfg.HeartbeatTimeout
	rc.CommitTimeout = commitTimeout
	rc.MaxAppendEntries = maxAppend
	rc.SnapshotThreshold = never
	rc.ShutdownOnRemove = false
	rc.NotifyCh = elected
	rc.NoLegacyTelemetry = true
	l.raft, err = raft.NewRaft(rc, l.fsm, l.stores.logs, l.stores.stable, l.stores.snapshots, l.transport)
	if err != nil {
		return false, errors.Join(fmt.Errorf("starting raft: %w", err), l.fsm.unreadable, l.transport.Close(), l.stores.close())
	}
	l.started.Store(l.raft)
	return fresh, nil
}

// run starts the goroutines.
func (l *Log) run(elected chan bool, fresh bool) {
	observations := make(chan raft.Observation, 16)
	l.raft.RegisterObserver(raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	}))
	upCtx, upCancel := context.WithCancel(l.ctx)
	l.upCancel = upCancel
	completerCtx, cancel := context.WithCancel(context.Background())
	l.completerCancel, l.completerDone = cancel, make(chan struct{})
	go func() { defer close(l.completerDone); l.completer.run(completerCtx) }()
	for _, f := range []func(context.Context){
		func(ctx context.Context) { l.watchLeader(ctx, observations) },
		func(ctx context.Context) { l.reigns(ctx, elected) },
		func(ctx context.Context) { l.lease.run(ctx, l.cfg.SM.ServingChanged) },
		l.batcher.run, l.renew, l.runBarriers, l.compact, l.watchOutlook,
	} {
		l.wg.Go(func() { f(l.ctx) })
	}
	l.wg.Go(func() { l.stayUp(upCtx) })
	if l.stores.fitness != nil {
		l.wg.Go(func() { l.watchDisk(l.ctx) })
	}
	if l.transport.noVotes.Load() {
		l.wg.Go(func() { l.watchAmnesia(l.ctx) })
	}
	if fresh {
		if l.cfg.Bootstrap {
			l.wg.Go(func() { l.bootstrap(upCtx) })
		}
		if l.cfg.ExpectNodes > 0 {
			l.wg.Go(func() { l.expect(upCtx) })
		}
	}
}

// leads reports whether this node leads in a term and has a server in its configuration.
func (l *Log) leads(term uint64, id raft.ServerID) bool {
	r := l.started.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	future := r.GetConfiguration()
	if future.Error() != nil {
		return false
	}
	for _, s := range future.Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// watchLeader wakes those who wait for another leader.
func (l *Log) watchLeader(ctx context.Context, observations <-chan raft.Observation) {
	for {
		select {
		case <-observations:
		case <-ctx.Done():
			return
		}
		_, id := l.raft.LeaderWithID()
		l.mu.Lock()
		differs := id != l.leader
		l.leader = id
		if differs {
			close(l.changed)
			l.changed = make(chan struct{})
		}
		l.mu.Unlock()
		if differs && id != "" {
			l.cfg.Logger.Info("leader changed", "leader", string(id))
		}
	}
}

// leaderChanged returns a channel that closes when the leader changes.
func (l *Log) leaderChanged() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// The following are called on Apply's goroutine.

func (l *Log) ownUp(incarnation uint64) {
	if incarnation != l.wanted.Load() {
		return // of this node's earlier life, while the log is replayed
	}
	l.outdated.Store(false)
	l.incarnation.Store(incarnation)
	l.transport.noVotes.Store(false) // it has everything now that was agreed before
	l.batcher.up(incarnation)
	l.pokeRenew()
}

func (l *Log) ownDown(incarnation uint64) {
	if incarnation != l.incarnation.Load() {
		return
	}
	l.incarnation.Store(0)
	l.lease.drop()
	l.batcher.down()
}

// restored ends this node's incarnation when a snapshot has replaced the state under it. What it has proposed and is not in the snapshot was meant for
// a state that is gone, as after a NodeDown; it comes up again with the state that it has now.
func (l *Log) restored(own *member) {
	if l.incarnation.Swap(0) != 0 {
		l.lease.drop()
		l.outdated.Store(true)
		l.fsm.change(func() {}) // wakes stayUp
	}
	l.batcher.restored(own)
}

func (l *Log) applied(index uint64, size int) {
	l.grown.grew(size)
	if l.reign.Load() != nil {
		l.transport.committed(index)
	}
}

// Propose is Replicator.Propose.
func (l *Log) Propose(ctx context.Context, cmd []byte) (any, error) {
	return l.batcher.propose(ctx, cmd)
}

// ProposeAsync is Replicator.ProposeAsync.
func (l *Log) ProposeAsync(cmd []byte, done func(any, error)) {
	l.batcher.proposeAsync(proposal{cmd: cmd, done: done})
}

// ProposeStable is Replicator.ProposeStable.
func (l *Log) ProposeStable(cmd []byte, done func(any, error)) {
	l.batcher.proposeAsync(proposal{cmd: cmd, done: done, stable: true})
}

// Close gives up the lease, hands over leadership, says that this node leaves, and stops raft. It takes no longer than
// twice leaveTimeout, or as much as forGoodTimeout, and stopTimeout together. It is called once.
func (l *Log) Close() error {
	l.leaving.Store(true)
	l.lease.drop()
	l.upCancel()
	left := l.leave()
	l.batcher.close()
	l.gate.close(leaveTimeout)
	stopped := make(chan error, 1)
	go func() {
		l.layer.keepApart(true)
		l.transport.stop() // or raft would wait for nodes that do not answer
		l.stores.letGo()
		err := l.raft.Shutdown().Error()
		stopped <- errors.Join(err, l.transport.Close(), l.stores.close())
	}()
	var err error
	select {
	case err = <-stopped:
	case <-time.After(stopTimeout):
		// The state machine does not return, or a snapshot is being written. The rest ends when it does.
		err = errors.New("raftlog: raft did not stop in time")
	}
	l.cancel()
	l.gate.abandon()
	l.wg.Wait()
	l.completerCancel()
	<-l.completerDone
	return errors.Join(left, err)
}

// State is the cluster as a node sees it.
type State struct {
	Leader  string
	Nodes   []shoal.Node // that are up
	Voters  Voters
	Level   int
	Applied uint64
	Seen    []string // by gossip
	Reason  string   // why this node does not serve, when that has lasted
}

// State returns what this node knows of the cluster.
func (l *Log) State() State {
	_, id := l.raft.LeaderWithID()
	s := State{Leader: string(id), Level: l.Level(), Applied: l.fsm.watch.applied.Load(), Voters: l.votersNow(), Seen: l.book.others("")}
	if why := l.reason.Load(); why != nil {
		s.Reason = *why
	}
	for _, m := range l.fsm.members() {
		s.Nodes = append(s.Nodes, m.node)
	}
	return s
}
