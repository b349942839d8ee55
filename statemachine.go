package shoal

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/topics"
)

// agreed is what all nodes agree on. It is changed only by commands, in the agreed order, on one goroutine; others read it.
type agreed struct {
	n *clusterNode
	// routes leads from filters to nodes, this one included for shared groups only.
	routes atomic.Pointer[topics.Index[*route]]

	mu     sync.RWMutex
	nodes  map[string]map[string]*route // by node, by filter
	shares map[string]map[string]*route // by "$share/name/filter", by node
	owners map[string]*owner            // by ClientID
	kept   map[string]*keptSession      // by ClientID
	heirs  map[string][]loss            // by node, the oldest first; no more than earlierLimit each
	up     map[string]member            // nodes that take part
	epoch  uint64                       // the last one given
	step   uint64                       // the last in which nodes came or were lost
	gen    uint64                       // grows with every snapshot; see keptSession
	// now is how many commands have been applied. All nodes count alike.
	now     atomic.Uint64
	origins origins
	// waiting are routes inherited by this node whose sessions are still being adopted.
	waiting []*route
	common  commonState
}

// member is a node that takes part, since a step of the agreed order.
type member struct {
	since     uint64
	reference string // the node's ServerReference
	// inherited is the last step in which it got sessions of a lost node, or its own anew.
	inherited uint64
}

// route says that a node has subscribers for a filter. It is not changed; a new one takes its place.
type route struct {
	node    string
	peer    *peerQueue // nil for this node
	filter  string     // to match
	group   string     // "$share/name/filter", or "" for plain subscriptions
	members members    // of the group; else there is one of all
	step    uint64     // of the agreed order, for a route to sessions that are being adopted here
}

// owner says who may serve a client.
type owner struct {
	node  string // where the client is connected, or was last; "" when that node was lost
	home  string // where its session is; "" for nowhere
	maker maker  // of the session
	epoch uint64
	will  []byte // encoded, nil for none
	// adopter is the node that publishes the will of a lost node's client; "" when there is none to publish.
	adopter string
	// settled is the epoch with which the session came to its home: what an earlier one of the client's there has changed is void.
	settled uint64
	// due are wills of earlier connections that are to be published, and nobody has said yet that they were.
	due []dueWill
	// since is where in the agreed order the session came to its home from a lost node, 0 if it did not.
	since uint64
	// earlier are the steps in which it had come from other lost nodes before that, since it was moved the last time; the oldest first, no more than
	// earlierLimit.
	earlier []uint64
}

// earlierLimit is more losses than there may be while a message is on its way to the first of the nodes.
const earlierLimit = 8

// lostIn notes that the session's home was lost in a step.
func (o *owner) lostIn(index uint64) {
	if o.since != 0 {
		o.earlier = append(slices.Clone(o.earlier[max(0, len(o.earlier)+1-earlierLimit):]), o.since)
	}
	o.since = index
}

// dueWill is the will of a connection that is over, which its node publishes; or, if that was lost, its heir.
type dueWill struct {
	epoch   uint64
	node    string
	will    []byte
	adopted bool // node is not the one that had the connection
}

func (a *agreed) init(n *clusterNode) {
	a.n, a.gen = n, 1
	a.reset()
}

// reset forgets everything.
func (a *agreed) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.routes.Store(topics.NewIndex[*route]())
	a.nodes = make(map[string]map[string]*route)
	a.shares = make(map[string]map[string]*route)
	a.owners = make(map[string]*owner)
	a.kept = make(map[string]*keptSession)
	a.heirs = make(map[string][]loss)
	a.up = make(map[string]member)
	a.waiting = nil
	a.common = commonState{}
	a.now.Store(0)
	a.origins.reset()
}

// Commands. Each begins with the version and its kind.
const (
	cmdRoutes byte = iota + 1
	cmdClaim
	cmdMoved
	cmdRelease
	cmdWillDone
	cmdRetain
	cmdSessions
	cmdChanges
	cmdBan
	cmdCommon
	cmdNotes
)

func command(kind byte) []byte { return append(newRecord(), kind) }

// stateMachine is the node as its Replicator sees it.
type stateMachine clusterNode

var _ StateMachine = (*stateMachine)(nil)

// Apply implements StateMachine. A command that cannot be read, from a newer version for example, changes nothing; all nodes of a
// version do the same with it.
func (sm *stateMachine) Apply(index uint64, node string, cmd []byte) any {
	n := (*clusterNode)(sm)
	a := &n.state
	defer a.now.Add(1)
	r, err := openRecord(cmd)
	if err != nil {
		return err
	}
	kind := r.Byte()
	switch kind {
	case cmdRoutes:
		return a.applyRoutes(node, r)
	case cmdClaim:
		return a.claim(node, r)
	case cmdMoved:
		return a.moved(node, r)
	case cmdRelease:
		a.release(node, r.String(), r.Uint())
	case cmdWillDone:
		a.willDone(r.String(), r.Uint())
	case cmdRetain:
		m := readMessage(r)
		if r.Err() == nil {
			m.Payload = append([]byte(nil), m.Payload...) // cmd is not kept
			n.applyRetained(m)
			n.keeper.reach(index)
			return index
		}
	case cmdSessions:
		return a.announce(node, r)
	case cmdChanges:
		return a.applyChanges(node, r)
	case cmdBan:
		result := a.ban(r)
		n.keeper.reach(index)
		return result
	case cmdCommon:
		return a.applyCommon(node, r)
	case cmdNotes:
		return a.applyNotes(node, r)
	default:
		return fmt.Errorf("shoal: unknown command %d", kind)
	}
	return r.Err()
}

// applyRetained keeps a retained message, on every node in the same order (guarantee 6). In a cluster the agreed order is
// what keeps retained messages over a restart; but for a store that all nodes
// share, into which one of them writes them (keeper.go).
func (n *clusterNode) applyRetained(m *core.Message) {
	if m.Origin != nil && !n.state.origins.take(m.Publisher, m.Origin, holder{kind: holderRetained, agreed: true, name: m.TopicName}, true) {
		return // it comes again, and another one may have taken its place
	}
	tenant := n.b.tenantOfPublisher(m.Publisher)
	n.keeper.keep(func() []Op {
		n.b.retained.set(m, tenant)
		return []Op{retainedOp(m)}
	})
}

// Admits implements StateMachine.
func (sm *stateMachine) Admits(node Node) error {
	a := &sm.state
	a.mu.RLock()
	agreed := a.common.sessions
	a.mu.RUnlock()
	if own := node.Attributes[AttributeSessions]; agreed != "" && own != agreed {
		remedy := "start it without WithStorage"
		if agreed == SessionsInStore {
			remedy = "start it with WithStorage of the store that the others share"
		}
		return fmt.Errorf("shoal: node %s keeps sessions in a %s, and this cluster keeps them in a %s: %s", node.Name, own, agreed, remedy)
	}
	return nil
}

// sharesStore reports whether the nodes of this cluster share a store, as all of them agree. It is what commands may ask; the journal is this node's.
// The caller holds a.mu.
func (a *agreed) sharesStore() bool { return a.common.sessions == SessionsInStore }

// NodeUp implements StateMachine.
func (sm *stateMachine) NodeUp(index uint64, node Node) {
	n := (*clusterNode)(sm)
	if n.isSelf(node) {
		n.up.Store(true)
		n.announced.Store(false)
	}
	n.state.agreeOnSessions(node.Attributes[AttributeSessions])
	if n.state.enter(node.Name, member{since: index, reference: node.ServerReference}) {
		n.inherit(index, node.Name, node.Name) // of its earlier incarnation
	} else {
		n.rejoin(index, node.Name)
	}
	if n.isSelf(node) {
		n.wg.Go(n.announceAll)
	}
}

// NodeDown implements StateMachine.
func (sm *stateMachine) NodeDown(index uint64, node Node, adopter string) {
	n := (*clusterNode)(sm)
	if n.isSelf(node) {
		n.givenUp()
	}
	n.state.leave(index, node.Name)
	n.inherit(index, node.Name, adopter)
	if n.up.Load() {
		n.wg.Go(func() {
			// While the log is replayed after a restart, wills seem to wait that were published long ago.
			if n.awaitServing(n.life) == nil {
				n.publishOrphans()
			}
		})
	}
}

// givenUp ends what this node does for its clients: other nodes have their sessions, or this one has them anew when it comes back.
func (n *clusterNode) givenUp() {
	n.up.Store(false)
	n.announced.Store(false)
	n.tenure.Add(1)
	n.stir()
	for _, s := range n.b.sessions.all() {
		s.disown(phaseLost) // before their connections end: what they have not acknowledged is not this node's to hand on any more
	}
	n.b.kickAll(n.goElsewhere("this node was separated from its cluster"))
	n.adoptions.add(&adoption{discard: true})
}

// isSelf reports whether node is this run of this node, and not an earlier one that the log tells of.
func (n *clusterNode) isSelf(node Node) bool {
	return node.Name == n.self.Name && node.Attributes[AttributeRun] == n.self.Attributes[AttributeRun]
}

// ServingChanged implements StateMachine.
func (sm *stateMachine) ServingChanged(serving bool) {
	n := (*clusterNode)(sm)
	if serving {
		n.b.log.Info("serving clients", "node", n.self.Name)
	} else if n.b.running() == nil {
		n.b.log.Warn("not serving clients: no lease from the cluster's leader", "node", n.self.Name)
	}
	if !serving {
		n.tenure.Add(1)
	}
	n.lapse(serving)
	n.stir()
}

// announceAll tells the cluster everything this node has, after it joined, and only then lets it serve.
func (n *clusterNode) announceAll() {
	if n.adoptions.await(n.life) != nil {
		return
	}
	if n.b.journal.common != nil && n.beginWithStore(n.life) != nil {
		return
	}
	n.routes.touchAll()
	if n.routes.settleAll(n.life) != nil {
		return
	}
	n.announced.Store(n.up.Load())
	n.stir()
	n.publishOrphans()
}
