package shoal

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Node describes one member of the cluster, as its discovery announces it.
type Node struct {
	// Name is unique in the cluster and stays the same over restarts.
	Name string
	// Incarnation is different at every start of the node, and greater, unless its clock was set back meanwhile: then it is changed before the node takes part.
	Incarnation uint64
	// ServerReference is where MQTT clients reach this node ("host:port"); empty if that is not known. It is what
	// a v5 DISCONNECT or CONNACK carries as Server Reference.
	ServerReference string
	// Attributes are for the parts of the cluster that talk to each other, for example the address of their listener.
	// They travel in gossip and must stay small: names and values together at most 400 bytes.
	Attributes map[string]string
}

// AttributeRun is the Attribute by which the broker recognises its own run among those that the agreed order tells of: a number in letters and digits.
const AttributeRun = "run"

// AttributeSessions is the Attribute that says where a node keeps sessions that outlive their connections: SessionsInLog or SessionsInStore. All nodes
// of a cluster keep them in the same place; see StateMachine.Admits.
const AttributeSessions = "sessions"

// The values of AttributeSessions.
const (
	SessionsInLog   = "replicated log" // the node has no Storage
	SessionsInStore = "shared store"   // the node has a FencedStorage
)

// Cluster is what WithCluster takes: who this node is, a Discovery and a Replicator. Package cluster makes one out of
// gossip, raft and gRPC.
type Cluster interface {
	// Self returns this node, or an error that says what is wrong with the configuration. No I/O. Attributes that are known only after Start,
	// such as addresses, may be missing.
	Self() (Node, error)
	Discovery
	Replicator
}

// Discovery finds the nodes of the cluster: gossip, a static list and DNS all have this shape.
type Discovery interface {
	// Run announces self and calls update with the full set of live nodes, self included, every time it changes. It
	// returns nil when ctx ends, after leaving; or an error if it could not begin. Where a Replicator is the same value, Run waits for its Start. It never calls update concurrently.
	Run(ctx context.Context, self Node, update func(live []Node)) error
}

// Replicator gives all nodes one agreed order of commands, and ordered links between nodes.
//
// All methods may be called from any goroutine after Start has returned, unless it says otherwise.
type Replicator interface {
	// Start begins to listen and to take part. It returns once the listeners are bound; it does not wait for the other
	// nodes, nor for a leader. ctx bounds Start alone.
	Start(ctx context.Context, self Node, sm StateMachine) error

	// SetPeers tells the full set of live nodes, self included. The Replicator takes suspects from it, not decisions:
	// a node missing here loses nothing until its lease has run out.
	SetPeers(live []Node)

	// Propose hands cmd to the agreed order and returns, once it is committed and applied on this node, what
	// StateMachine.Apply returned for it. Commands that one goroutine proposes one after another, and commands handed to
	// ProposeAsync, are applied in that order. A command is applied exactly once, also when the leader changes meanwhile.
	// An error is ErrNotReplicated (wrapped) or ctx's; the command may nevertheless have been applied, or be applied later. With
	// ErrResultUnknown, too, it has been: this node learned of it from a snapshot, without its result.
	Propose(ctx context.Context, cmd []byte) (any, error)

	// ProposeAsync is Propose without waiting: it enqueues cmd, in the order of the calls, and calls done on another goroutine. It blocks
	// never. done may be nil. The Replicator keeps cmd.
	ProposeAsync(cmd []byte, done func(result any, err error))

	// ProposeStable is ProposeAsync for a command that counts as committed once a majority of the nodes has it, and everything before it, on
	// its disk. Without it a node counts that has it where a killed process leaves it: in the operating system's memory, or in its own if it
	// has no disk. Stable reports whether this node has a disk; it may be called before Start.
	ProposeStable(cmd []byte, done func(result any, err error))
	Stable() bool

	// Barrier returns once every node that may be serving clients has applied everything that was applied on this node
	// when Barrier was called. It waits for a silent node no longer than that node's lease.
	Barrier(ctx context.Context) error

	// Forward sends batch to a node, behind everything sent there before, and calls done once: with nil when the node
	// accepted it, or the *HeldBack with which it did (see StateMachine.Receive), or with an error when it never will: ErrNodeLost (wrapped), ErrClosed, or that the other node
	// refused it. What a lost node has not accepted comes back in order. It never blocks and never drops; the caller bounds what is outstanding. The Replicator keeps batch until done. done is
	// called on a goroutine of the Replicator's, never on the caller's, who may hold a lock that done takes; it must not block. Before Start and
	// after Close there is no such goroutine: Forward reports false, and done is not called.
	Forward(node string, batch []byte, done func(error)) bool

	// Call sends one request to a node and returns its answer (see StateMachine.Serve).
	Call(ctx context.Context, node string, request []byte) ([]byte, error)

	// Serving reports whether this node holds a lease now, and so may serve clients. It is cheap: it is asked for every message.
	Serving() bool

	// Close gives up the lease, leaves and releases everything, within a bounded time. Calling it twice is fine.
	Close() error
}

// Yielder is an optional interface of a Replicator: of one that has a leader.
type Yielder interface {
	// Yield gives up leadership, so that the node's end interrupts nothing. It returns when another node leads, or when this one did not. It is
	// called when the node begins to drain, perhaps more than once.
	Yield(ctx context.Context) error
}

// CommandLimiter is an optional interface of a Replicator: of one that does not take commands of any size.
type CommandLimiter interface {
	// MaxCommand is how many bytes the largest command may have that Propose takes. A message travels in one command: the broker takes no larger
	// packets than fit, whatever Limits.MaximumPacketSize is, and tells its clients so. It may be called before Start.
	MaxCommand() int
}

// Timekeeper is an optional interface of a Replicator: of one whose nodes agree on the time. Without it the nodes' clocks should show the same.
type Timekeeper interface {
	// Now returns the time that all nodes agree on, which goes on at a steady pace whatever is done to their clocks. It is what they measure by how long
	// messages, sessions and wills have left. It is cheap, and may be called before Start.
	Now() time.Time
}

// HeldBack is the error that is none: a node accepted a batch and asks for its publishers to be answered only after a while, since queues
// are full whose clients get on. A Replicator that passes on nil in its place does no harm but to those queues.
type HeldBack struct{ For time.Duration }

// Error implements error.
func (e *HeldBack) Error() string { return fmt.Sprintf("accepted; queues are full for %v", e.For) }

// StateMachine is the broker as the Replicator sees it.
type StateMachine interface {
	// Apply applies one committed command and returns its result. It is called in the agreed order by one goroutine, on
	// every node, and must be deterministic: it may look at nothing but the command and the state earlier commands left.
	// index grows with every log entry; several commands may share one. node proposed it. cmd is not kept by Apply.
	Apply(index uint64, node string, cmd []byte) any

	// Admits reports why a node cannot be one of this cluster, nil if it can. It looks at nothing but the node and the state that commands
	// and NodeUps have left, so that all nodes come to the same. The Replicator asks it on Apply's goroutine before each NodeUp, which it leaves out
	// if there is an error; and may ask it before, on any goroutine, to tell the node.
	Admits(node Node) error

	// NodeUp and NodeDown report, in the agreed order and on Apply's goroutine, that a node took part from here on, and
	// that it was lost or left. NodeUp with a new incarnation of a node that is up replaces it; the new one takes over the duties of the
	// earlier one. adopter is the live node that takes over the lost node's duties. A node that is told its own NodeDown was wrongly given up:
	// what it had is its adopter's. What was forwarded to a node fails with ErrNodeLost only after the call that reports its loss.
	NodeUp(index uint64, node Node)
	NodeDown(index uint64, node Node, adopter string)

	// Snapshot returns a function that writes the state as of now. Snapshot is called on Apply's goroutine and must be
	// quick; the function is called later, concurrently with Apply.
	Snapshot() (write func(w io.Writer) error, err error)

	// Restore replaces the state by one that Snapshot wrote, perhaps an earlier version of it. It is called on Apply's goroutine. A node that was up
	// is not any more: nothing that it proposed before is applied after this, and it comes up again by a NodeUp of its own.
	Restore(r io.Reader) error

	// Receive takes a batch that node forwarded. It is called in the order of the Forward calls, by one goroutine per
	// node. It calls accepted once, perhaps later and on another goroutine: nil when every matching session has the batch's
	// messages, or a *HeldBack when they have, and its publishers are to be answered later. It does not call it for a batch that it has not
	// accepted when the cluster gives this node up, or when the node leaves: that fails with ErrNodeLost at its sender. batch belongs
	// to the state machine.
	Receive(node string, batch []byte, accepted func(error))

	// Serve answers a Call. It is called concurrently.
	Serve(ctx context.Context, node string, request []byte) ([]byte, error)

	// ServingChanged tells that the node's lease began or ended. It must not block.
	ServingChanged(serving bool)
}
