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
	outstanding int           // bytes that were forwarded and are not accepted
	settled     chan struct{} // closed, and made anew, when outstanding falls; nil when nobody waits
	sent, done  uint64        // batches
}

// outgoing is one batch on its way.
type outgoing struct {
	buf   []byte
	waits []*acceptance
	// picks are the messages that were sent for the sake of shared groups: if the node is lost, others get them.
	picks []pick
}

type pick struct {
	groups []string
	msg    *core.Message
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
	if o == nil {
		return
	}
	p.batch = nil
	p.count(len(o.buf))
	p.sent++
	p.n.c.Forward(p.node, o.buf, func(err error) { p.accepted(o, err) })
}

// accepted completes a batch.
func (p *peerQueue) accepted(o *outgoing, err error) {
	p.mu.Lock()
	p.count(-len(o.buf))
	p.done++
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
	p.mu.Unlock()
	code := packets.Success
	switch {
	case err == nil:
	case errors.Is(err, ErrNodeLost):
		// The node's own sessions went with it. What it was to hand to a shared group goes to another member.
		p.n.repick(o.picks)
	case errors.Is(err, ErrClosed):
		code = packets.ServerShuttingDown
	default:
		code = packets.ImplementationSpecificError
	}
	for _, a := range o.waits {
		a.finish(code)
	}
}

// repick gives messages for shared groups to others than the node that was lost.
func (n *clusterNode) repick(picks []pick) {
	if len(picks) == 0 {
		return
	}
	sc := n.b.scratch()
	defer sc.release()
	for i := range picks {
		for _, g := range picks[i].groups {
			e := core.Entry{Msg: picks[i].msg, QoS: picks[i].msg.QoS, Share: g}
			n.b.redispatchOne(sc, &e)
		}
	}
}

// pause keeps a publisher from being read from while too much is outstanding towards another node.
func (n *clusterNode) pause(ctx context.Context) {
	if n.congested.Load() == 0 {
		return
	}
	for _, p := range n.allPeers() {
		_ = p.await(ctx, func() bool { return p.outstanding < peerPause }) // it fails only at the end
	}
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
