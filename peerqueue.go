package shoal

import (
	"context"
	"errors"
	"sync"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// peerQueue gathers what is to go to one node.
type peerQueue struct {
	n    *clusterNode
	node string

	mu          sync.Mutex
	batch       *outgoing
	outstanding int           // bytes of batch, and of those that were forwarded and are not accepted
	settled     chan struct{} // closed when outstanding or holds fall; nil when nobody waits
	sent, done  uint64        // batches
	holds       int           // lost nodes of which this is the heir: what is left of theirs goes first
	returned    []*outgoing   // that the node, which was lost, has not accepted, in order
	returning   bool          // they are being sent elsewhere
	front       uint64        // the loss that the first of them has come back from, while returning
}

// outgoing is one batch on its way.
type outgoing struct {
	buf   []byte
	waits []*acceptance
	// picks are the messages that were sent for the sake of shared groups: if the node is lost, others get them.
	picks []pick
	// patient: a shared group is to have it that had it before; see awaitStored.
	patient bool
}

type pick struct {
	groups []string
	msg    *core.Message
	wait   *acceptance
	// origin is what the node was told of where the message came from. It is nil for one that a session here had first: all nodes know then that the group
	// has had it, and that says nothing of the node.
	origin *core.Origin
}

// Bounds of what may be outstanding towards one node, in bytes: messages of QoS 0 are dropped beyond the first, publishers of QoS 1 and 2 are
// not read from beyond the second.
const (
	peerDropQoS0 = 16 << 20
	peerPause    = 32 << 20
)

// peer returns the queue to a node.
func (n *clusterNode) peer(node string) *peerQueue {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[node]
	if p == nil {
		p = &peerQueue{n: n, node: node}
		n.peers[node] = p
	}
	return p
}

// flush hands the batch to the Replicator, in order with all others.
func (p *peerQueue) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.batch
	if o == nil || p.holds > 0 {
		return
	}
	p.batch = nil
	p.hand(o)
}

// hand gives a batch to the Replicator. The caller holds p.mu.
func (p *peerQueue) hand(o *outgoing) {
	p.sent++
	stampBatch(o.buf, p.n.adoptions.begun.Load())
	if !p.n.c.Forward(p.node, o.buf, func(err error) { p.accepted(o, err) }) {
		p.n.wg.Go(func() { p.accepted(o, ErrClosed) }) // whoever has called may hold what that takes
	}
}

// forward sends a batch that is not one of those that gather.
func (p *peerQueue) forward(o *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(len(o.buf))
	p.hand(o)
}

// hold sends what has gathered, and makes wait what gathers from here on: this node may become the heir of a lost one. It returns p.
func (p *peerQueue) hold(lost string) *peerQueue {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.batch; o != nil && p.holds == 0 && p.node != lost {
		p.batch = nil
		p.hand(o)
	}
	p.holds++
	return p
}

// unhold ends what hold or follow began.
func (p *peerQueue) unhold() {
	p.mu.Lock()
	p.holds--
	p.wakeWaiting()
	p.mu.Unlock()
	p.flush()
}

// follow makes what is held wait until everything that was sent to a node that was lost in a step has come back and been sent here.
func (p *peerQueue) follow(lost *peerQueue, step uint64) {
	if lost != p {
		lost.flush()
	}
	lost.mu.Lock()
	sent, idle := lost.sent, lost.idle()
	lost.mu.Unlock()
	if idle {
		p.unhold()
		return
	}
	p.n.wg.Go(func() {
		// While the node is away, what other nodes had been sent that were lost before it may be sent there, and come back, yet.
		_ = lost.await(p.n.life, func() bool { return lost.idle() || (lost.done >= sent && !p.n.state.isLostSince(lost.node, step)) })
		p.unhold()
	})
}

// idle reports whether nothing is on its way, or about to be. The caller holds p.mu.
func (p *peerQueue) idle() bool { return p.batch == nil && p.done == p.sent }

// accepted completes a batch.
func (p *peerQueue) accepted(o *outgoing, err error) {
	code := packets.Success
	var held *HeldBack
	switch {
	case err == nil:
	case errors.As(err, &held):
		p.settle(o)
		for _, a := range o.waits {
			p.n.b.holdBack(a, held.For)
		}
		return
	case errors.Is(err, ErrNodeLost):
		p.giveBack(o)
		return
	case errors.Is(err, ErrClosed):
		code = packets.ServerShuttingDown
	default: // the other node was given up by the cluster, or this one
		code = packets.ServerUnavailable
	}
	p.settle(o)
	for _, a := range o.waits {
		a.finish(code)
	}
}

// giveBack has what a lost node has not accepted sent elsewhere, behind what came back before.
func (p *peerQueue) giveBack(o *outgoing) {
	p.mu.Lock()
	p.returned = append(p.returned, o)
	busy := p.returning
	p.returning = true
	p.mu.Unlock()
	if !busy {
		p.n.wg.Go(p.sendElsewhere)
	}
}

func (p *peerQueue) sendElsewhere() {
	for paused := false; ; {
		p.mu.Lock()
		if len(p.returned) == 0 {
			p.returned, p.returning, p.front = nil, false, 0
			p.mu.Unlock()
			return
		}
		o := p.returned[0]
		p.returned[0] = nil
		p.returned = p.returned[1:]
		sent := stepOfBatch(o.buf)
		p.front = p.n.state.indexOfLoss(p.node, sent)
		p.wakeWaiting()
		p.mu.Unlock()
		p.n.repick(o.picks) // what it was to hand to a shared group goes to another member
		p.awaitHeirs(sent)
		paused = p.n.reroute(p.node, o, paused)
		p.awaitHeirs(sent)
		p.settle(o)
	}
}

// awaitHeirs waits until nothing is on its way to those heirs that were lost in turn of what was sent in a step: what comes next goes to their heirs, and
// what was sent to them comes there later.
//
// Two nodes may have been each other's heirs, one after the other. What came back from the earlier loss waits for what came back from the later one,
// and never the other way around.
func (p *peerQueue) awaitHeirs(sent uint64) {
	index, lost := p.n.state.lostHeirsOf(p.node, sent)
	own := p.n.state.indexOfLoss(p.node, sent)
	for _, name := range lost {
		q := p.n.peer(name)
		_ = q.await(p.n.life, func() bool {
			now, _ := p.n.state.lostHeirsOf(p.node, sent)
			return q.done >= q.sent || (q.front != 0 && q.front <= own) ||
				now != index // the node itself may have come back and be lost again, and q's batches wait for those
		})
	}
}

// settle takes a batch from what is outstanding.
func (p *peerQueue) settle(o *outgoing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(-len(o.buf))
	p.done++
	p.wakeWaiting()
}

// wakeWaiting lets whoever waits look again. The caller holds p.mu.
func (p *peerQueue) wakeWaiting() {
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
}

// repick gives messages for shared groups to others than the node that was lost. Their publishers are answered when those have them.
func (n *clusterNode) repick(picks []pick) {
	if len(picks) == 0 {
		return
	}
	sc := n.b.scratch()
	defer sc.release()
	for i := range picks {
		for _, g := range picks[i].groups {
			e := core.Entry{Msg: picks[i].msg, QoS: picks[i].msg.QoS, Share: g, Doubtful: true}
			if o := picks[i].origin; o != nil && n.state.origins.has(e.Msg.Publisher, o, holder{kind: holderGroup, name: g}) {
				continue // the lost node had given it to a member whose session lasts
			}
			if n.passed.has(passedKey{e.Msg.ID, g}) {
				continue // or had passed it on to one here
			}
			wait := picks[i].wait
			wait.add()
			n.b.handOnOne(sc, &e, func(given bool, code packets.ReasonCode) {
				if !given && !code.IsError() {
					n.b.drop(DroppedEvent{TopicName: e.Msg.TopicName, QoS: e.QoS, Reason: DropSessionEnded})
				}
				wait.finish(code)
			})
		}
	}
}

// pause keeps a publisher waiting while too much is outstanding towards another node.
func (n *clusterNode) pause(ctx context.Context) error {
	if n.congested.Load() == 0 {
		return nil
	}
	for _, p := range n.allPeers() {
		if err := p.await(ctx, func() bool { return p.outstanding < peerPause }); err != nil {
			return err
		}
	}
	return nil
}

func (n *clusterNode) allPeers() []*peerQueue {
	n.mu.Lock()
	defer n.mu.Unlock()
	peers := make([]*peerQueue, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	return peers
}

// count changes what is outstanding. The caller holds p.mu.
func (p *peerQueue) count(delta int) {
	before := p.outstanding >= peerPause
	p.outstanding += delta
	switch after := p.outstanding >= peerPause; {
	case after && !before:
		p.n.congested.Add(1)
	case before && !after:
		p.n.congested.Add(-1)
	}
}

// drain returns when everything that was flushed before the call has been accepted.
func (p *peerQueue) drain(ctx context.Context) error {
	p.mu.Lock()
	want := p.sent
	p.mu.Unlock()
	return p.await(ctx, func() bool { return p.done >= want })
}

func (p *peerQueue) await(ctx context.Context, enough func() bool) error {
	for {
		p.mu.Lock()
		if enough() {
			p.mu.Unlock()
			return nil
		}
		if p.settled == nil {
			p.settled = make(chan struct{})
		}
		settled := p.settled
		p.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flushPeers sends what gathered and waits for it to be accepted.
func (n *clusterNode) flushPeers(ctx context.Context) {
	peers := n.allPeers()
	for _, p := range peers {
		p.flush()
	}
	for _, p := range peers {
		if p.drain(ctx) != nil {
			return
		}
	}
}
