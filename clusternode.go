package shoal

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// clusterNode is this broker's part in its cluster. It ties together:
//
//	routes.go        which filters this node has subscribers for, announced to all
//	statemachine.go  what all nodes agree on: routes, owners of client IDs (ownership.go), retained messages
//	forward.go       messages to other nodes (peerqueue.go), and from them (receive.go)
//	clustershare.go  shared groups that have members on several nodes, passon.go what comes when they have just left
//	takeover.go      sessions that come here (settle.go), handover.go sessions that leave
//	replication.go   changes of sessions that are kept (changes.go), and what all nodes have of them (kept.go)
//	inheritance.go   who has what a lost node had; adoption.go makes its sessions, held.go what waits for them, reroute.go
//	                 sees to what was on its way there
//	exactlyonce.go   QoS 2 messages of publishers whose node may be lost, origins.go and holders.go how others know them again, moments.go how exchanges are told apart
//	orphans.go       wills of nodes that were lost
//
// and, where all nodes share a store:
//
//	commonmove.go    how sessions come here; commonlog.go and commonsession.go have what is written
//	coldstart.go     what becomes of what the store has when a cluster begins
//	had.go           what adopted sessions had, for as long as it may come again
//	keeper.go        the node that writes what belongs to all: retained messages and bans
type clusterNode struct {
	b     *Broker
	c     Cluster
	self  Node
	state agreed
	gate  gate
	// moments are those of exchanges with publishers.
	moments moments

	routes    localRoutes
	barriers  barriers
	adoptions adoptions
	keeper    keeper
	hads      hads
	passed    recent[passedKey]
	answered  recent[passedKey] // see noteAnswered
	lastWords tally             // wills that are being published, and what the cluster is to know of them

	// up is set, on Apply's goroutine, while the cluster counts on this node. Before, what is applied is history.
	up atomic.Bool
	// tenure grows whenever the node stops serving: with its lease, and when the cluster gives it up or its state is replaced.
	tenure atomic.Uint64
	// leaving is set when the node begins to leave the cluster.
	leaving atomic.Bool
	// announced is set while everything this node has is known to the cluster.
	announced atomic.Bool
	turns     [256]atomic.Uint64 // of shared groups, by the hash of their names; see pickShareNode
	congested atomic.Int32       // nodes towards which too much is outstanding
	referred  atomic.Uint32      // counts the clients that were sent elsewhere, so that they are spread

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, whenever serving may have changed
	peers   map[string]*peerQueue
	live    map[string]Node      // as discovery sees it
	lonely  time.Time            // since when discovery sees no other node; zero while it does
	wills   map[willKey]*will    // adopted
	passing map[string][]passing // by shared group
	givings map[passedKey]*giving
	lapsed  *time.Timer // while there is no lease

	life   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newClusterNode(b *Broker, c Cluster) *clusterNode {
	n := &clusterNode{
		b: b, c: c, changed: make(chan struct{}), peers: make(map[string]*peerQueue), live: make(map[string]Node), wills: make(map[willKey]*will),
		passing: make(map[string][]passing), givings: make(map[passedKey]*giving),
	}
	n.self, _ = c.Self() // New has checked it
	n.self.Attributes = maps.Clone(n.self.Attributes)
	if n.self.Attributes == nil {
		n.self.Attributes = make(map[string]string)
	}
	n.self.Attributes[AttributeRun] = strconv.FormatUint(rand.Uint64(), 36)
	n.self.Attributes[AttributeSessions] = SessionsInLog
	if b.cfg.storage != nil {
		n.self.Attributes[AttributeSessions] = SessionsInStore
	}
	n.state.init(n)
	n.moments.applied = &n.state.now
	n.routes.init(n)
	n.barriers.init(n)
	n.adoptions.init(n)
	n.keeper.init(n)
	n.hads.n = n
	n.gate.init()
	return n
}

func (n *clusterNode) start(ctx context.Context) error {
	n.life, n.cancel = context.WithCancel(context.Background())
	if err := n.c.Start(ctx, n.self, (*stateMachine)(n)); err != nil {
		n.cancel()
		return err
	}
	n.wg.Go(n.adoptions.run)
	n.wg.Go(func() { n.b.journal.replication.run(n.life) })
	n.wg.Go(n.routes.announce)
	n.wg.Go(n.barriers.run)
	if n.b.journal.common != nil {
		n.wg.Go(n.keeper.run)
		n.wg.Go(n.keeper.runWaits)
		n.wg.Go(n.watchStore)
	}
	n.wg.Go(func() {
		if err := n.c.Run(n.life, n.self, n.setLive); err != nil && n.life.Err() == nil {
			n.b.log.Error("discovery of nodes ended", "node", n.self.Name, "error", err)
		}
	})
	return nil
}

func (n *clusterNode) setLive(live []Node) {
	n.mu.Lock()
	clear(n.live)
	for _, node := range live {
		n.live[node.Name] = node
	}
	switch {
	case len(live) > 1:
		n.lonely = time.Time{}
	case n.lonely.IsZero():
		n.lonely = time.Now()
	}
	n.mu.Unlock()
	n.c.SetPeers(live)
}

// serving reports whether this node may accept and acknowledge: it holds a lease, and the cluster knows all that it has.
func (n *clusterNode) serving() bool { return n.announced.Load() && n.c.Serving() }

// awaitServing waits until serving.
func (n *clusterNode) awaitServing(ctx context.Context) error {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if n.serving() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			k := n.goElsewhere("this node has no contact with the majority of its cluster")
			return &Error{ReasonCode: k.code, Reason: k.reason, Err: errors.Join(ErrNotServing, ctx.Err())}
		case <-n.life.Done():
			return &Error{ReasonCode: packets.ServerShuttingDown, Err: ErrClosed}
		}
	}
}

// stir wakes whoever waits for serving.
func (n *clusterNode) stir() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// referLost is for how long clients are sent to nodes that are not to be seen any more. After that they are told that there is no server for them, rather than
// be sent to one that is gone.
const referLost = 30 * time.Second

// serverReferences names other nodes that clients can go to instead of this one: those that take part and that discovery sees; or, while this
// node sees nobody, for as long as it may be this node that is cut off, those that took part when it last heard.
func (n *clusterNode) serverReferences() []string {
	n.state.mu.RLock()
	up := make(map[string]string, len(n.state.up))
	for name, m := range n.state.up {
		if name != n.self.Name && m.reference != "" {
			up[name] = m.reference
		}
	}
	n.state.mu.RUnlock()
	n.mu.Lock()
	var both, seen []string
	for name, node := range n.live {
		if name == n.self.Name || node.ServerReference == "" {
			continue
		}
		seen = append(seen, node.ServerReference)
		if up[name] != "" {
			both = append(both, node.ServerReference)
		}
	}
	lost := !n.lonely.IsZero() && time.Since(n.lonely) > referLost
	n.mu.Unlock()
	refs := both
	if len(refs) == 0 {
		refs = seen // they have just come, or are about to
	}
	if len(refs) == 0 && !lost {
		refs = slices.Collect(maps.Values(up))
	}
	slices.Sort(refs)
	return refs
}

// serverReference is another one of serverReferences each time, "" if there is none.
func (n *clusterNode) serverReference() string {
	return n.nextReference(n.serverReferences())
}

func (n *clusterNode) nextReference(refs []string) string {
	if len(refs) == 0 {
		return ""
	}
	return refs[int(n.referred.Add(1))%len(refs)]
}

// lapse begins or ends the time for which this node has no lease. When that has lasted, its clients are sent away: nothing reaches them here.
func (n *clusterNode) lapse(serving bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lapsed != nil {
		n.lapsed.Stop()
		n.lapsed = nil
	}
	if serving || n.life.Err() != nil {
		return
	}
	n.lapsed = time.AfterFunc(servingPatience, func() {
		if !n.c.Serving() && n.life.Err() == nil {
			n.b.kickAll(n.goElsewhere("this node has no contact with the majority of its cluster"))
		}
	})
}

// goElsewhere ends a connection because this node cannot serve it, and says who may.
func (n *clusterNode) goElsewhere(reason string) kicked {
	k := kicked{code: packets.ServerUnavailable, reason: reason}
	if k.reference = n.serverReference(); k.reference != "" {
		k.code = packets.UseAnotherServer
	}
	return k
}

// stop leaves the cluster, after the connections have ended.
func (n *clusterNode) stop(ctx context.Context) error {
	if n.life == nil {
		return nil
	}
	n.leaving.Store(true)
	n.flushPeers(ctx)
	if n.c.Serving() {
		leaving, cancel := context.WithTimeout(ctx, leaveTimeout)
		n.lastWords.await(leaving) // or its heir publishes the wills again
		cancel()
	}
	n.announced.Store(false)
	close(n.adoptions.end)
	err := n.c.Close()
	n.cancel()
	n.lapse(true)
	n.wg.Wait()
	n.mu.Lock()
	for _, w := range n.wills {
		w.stop()
	}
	n.mu.Unlock()
	return err
}

// tally counts what is under way.
type tally struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n falls to 0; nil when nobody waits
}

func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tally) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// await returns when nothing is under way, or ctx ended.
func (t *tally) await(ctx context.Context) {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// barriers collects what waits for all nodes to have applied what this one has, and asks once for all that gathered.
type barriers struct {
	n    *clusterNode
	mu   sync.Mutex
	wait []func(error)
	wake chan struct{}
}

func (q *barriers) init(n *clusterNode) { q.n, q.wake = n, make(chan struct{}, 1) }

// add calls fn, on another goroutine, once every node that serves has applied what was applied here before the call.
func (q *barriers) add(fn func(error)) {
	q.mu.Lock()
	q.wait = append(q.wait, fn)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *barriers) run() {
	for {
		select {
		case <-q.wake:
		case <-q.n.life.Done():
			q.finish(ErrClosed)
			return
		}
		q.mu.Lock()
		wait := q.wait
		q.wait = nil
		q.mu.Unlock()
		if len(wait) == 0 {
			continue
		}
		err := q.n.c.Barrier(q.n.life)
		for _, fn := range wait {
			fn(err)
		}
	}
}

func (q *barriers) finish(err error) {
	q.mu.Lock()
	wait := q.wait
	q.wait = nil
	q.mu.Unlock()
	for _, fn := range wait {
		fn(err)
	}
}

// gate lets somebody wait until every message whose routing has begun is handed on, without a lock around the routing: there are
// two counters, and routing counts in the one that is current when it begins.
type gate struct {
	phase  atomic.Uint32
	active [2]atomic.Int64
	empty  chan struct{}
	turn   chan struct{} // one waiter at a time
}

func (g *gate) init() {
	g.empty = make(chan struct{}, 1)
	g.turn = make(chan struct{}, 1)
}

func (g *gate) enter() uint32 {
	for {
		p := g.phase.Load()
		g.active[p&1].Add(1)
		if g.phase.Load() == p {
			return p
		}
		g.leave(p)
	}
}

func (g *gate) leave(p uint32) {
	if g.active[p&1].Add(-1) == 0 {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

// pass returns when everything that had entered before has left.
func (g *gate) pass(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.turn }()
	old := g.phase.Add(1) - 1
	for g.active[old&1].Load() != 0 {
		select {
		case <-g.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
