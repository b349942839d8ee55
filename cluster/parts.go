package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/gossip"
	"github.com/shoalmq/shoal/cluster/internal/peer"
	"github.com/shoalmq/shoal/cluster/internal/raftlog"
)

// addresses is what gossip says of where nodes listen.
type addresses struct {
	mu   sync.Mutex
	live map[string]string
}

func (a *addresses) setLive(live []shoal.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.live)
	for _, n := range live {
		a.live[n.Name] = n.Attributes[attributePeer]
	}
}

func (a *addresses) of(node string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live[node]
}

// peers is what the raft log knows of the mesh.
type peers struct {
	self string
	mesh *peer.Mesh
	book *addresses
	seen *gossip.Gossip
}

func (p *peers) Control(ctx context.Context, node string, request []byte) ([]byte, error) {
	return p.mesh.Control(ctx, node, request)
}

// NodeUp opens the link. The address in the log may be an old one, while the log is replayed: gossip's is better.
func (p *peers) NodeUp(n shoal.Node) {
	p.seen.NodeUp(n)
	if n.Name == p.self {
		return
	}
	addr := p.book.of(n.Name)
	if addr == "" {
		addr = n.Attributes[attributePeer]
	}
	p.mesh.SetAddress(n.Name, addr)
	p.mesh.NodeUp(n.Name)
}

func (p *peers) NodeDown(node string) {
	p.seen.NodeDown(node)
	if node != p.self {
		p.mesh.NodeDown(node)
	}
}

// handler takes what other nodes send: to the broker's state machine, or to the raft log once it runs.
type handler struct {
	sm  shoal.StateMachine
	log atomic.Pointer[raftlog.Log]
}

func (h *handler) Receive(node string, batch []byte, accepted func(error)) {
	h.sm.Receive(node, batch, accepted)
}

func (h *handler) Serve(ctx context.Context, node string, request []byte) ([]byte, error) {
	return h.sm.Serve(ctx, node, request)
}

func (h *handler) Control(ctx context.Context, node string, request []byte) ([]byte, error) {
	l := h.log.Load()
	if l == nil {
		return nil, shoal.ErrNotStarted
	}
	return l.Control(ctx, node, request)
}

// level is that of the cluster, 0 before it is known.
func (h *handler) level() int {
	if l := h.log.Load(); l != nil {
		return l.Level()
	}
	return 0
}
