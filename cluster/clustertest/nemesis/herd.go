package nemesis

import (
	"math/rand/v2"
	"sync/atomic"
)

// herd is where clients go that connect: anywhere, unless a fault wants them at one node, or away from it.
type herd struct {
	to, from atomic.Int64 // a node's number + 1; 0 for none
	calls    atomic.Int64 // each makes most clients connect anew
}

// gather calls most clients to a node.
func (h *herd) gather(node int) {
	h.from.Store(0)
	h.to.Store(int64(node) + 1)
	h.calls.Add(1)
}

// scatter sends those that connect from now on to any node but one.
func (h *herd) scatter(node int) {
	h.to.Store(0)
	h.from.Store(int64(node) + 1)
}

// disperse lets clients go where they want again.
func (h *herd) disperse() {
	h.to.Store(0)
	h.from.Store(0)
}

// node chooses one for a client that connects.
func (h *herd) node(rng *rand.Rand, nodes int) int {
	node := rng.IntN(nodes)
	if to := int(h.to.Load()) - 1; to >= 0 && to < nodes {
		return to
	}
	if from := int(h.from.Load()) - 1; from == node && nodes > 1 {
		return (node + 1 + rng.IntN(nodes-1)) % nodes
	}
	return node
}
