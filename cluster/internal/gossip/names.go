package gossip

import (
	"sync"
	"time"

	"github.com/shoalmq/shoal"
)

// Several members may have one node's name: a node that was restarted at another address, while memberlist has not found out that the
// earlier process is gone; or, by mistake, two nodes. Everybody has to mean the same one by the name, and the first keeps it. So
// the name is held by the process that is up in the agreed order, as long as it is seen; otherwise by the oldest that was not given up. A restarted node
// at another address waits for the few seconds that this takes.

// candidate is a member that has a name.
type candidate struct {
	node  shoal.Node
	addr  string
	holds bool
}

// names is what the agreed order has said of those who had the names.
type names struct {
	mu   sync.Mutex
	up   map[string]uint64 // incarnations
	lost map[string]uint64
}

func newNames() names {
	return names{up: make(map[string]uint64), lost: make(map[string]uint64)}
}

// NodeUp says that a node takes part in the agreed order: it has its name.
func (g *Gossip) NodeUp(n shoal.Node) {
	g.names.mu.Lock()
	g.names.up[n.Name] = n.Incarnation
	g.names.mu.Unlock()
	g.poke()
}

// NodeDown says that a node was given up, or has left: its name is free.
func (g *Gossip) NodeDown(name string) {
	g.names.mu.Lock()
	g.names.lost[name] = max(g.names.lost[name], g.names.up[name])
	delete(g.names.up, name)
	g.names.mu.Unlock()
	g.poke()
}

// holder returns which of several members has the name.
func (n *names) holder(name string, candidates []*candidate) *candidate {
	if len(candidates) == 1 {
		return candidates[0]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var best *candidate
	for _, c := range candidates {
		if best == nil || n.before(name, c, best) {
			best = c
		}
	}
	return best
}

// before reports whether a has a better claim to the name than b. Called with n.mu held.
func (n *names) before(name string, a, b *candidate) bool {
	x, y := a.node.Incarnation, b.node.Incarnation
	if a.addr == b.addr {
		return x > y // one process can listen there: the other one is gone
	}
	if up := n.up[name]; up != 0 && (x == up || y == up) {
		return x == up
	}
	if lost := n.lost[name]; (x <= lost) != (y <= lost) {
		return x > lost
	}
	return x < y
}

// seriousAfter is how long two nodes of one name are there before that is taken for a mistake.
const seriousAfter = 10 * time.Second

// rivalry watches a node's rival for its own name.
type rivalry struct {
	g     *Gossip
	addr  string // of the rival
	since time.Time
	said  bool
	held  bool
}

// look takes a note of the rival, nil for none, and returns a channel that tells when to look again.
func (r *rivalry) look(rival *candidate) <-chan time.Time {
	held := rival != nil && rival.holds
	if held != r.held {
		r.held = held
		if r.g.cfg.Rivalled != nil {
			r.g.cfg.Rivalled(held)
		}
		if held {
			r.g.cfg.Logger.Warn("another node has this one's name; this one waits until it is gone", "node", rival.node.Name, "other", rival.addr)
		}
	}
	if rival == nil {
		*r = rivalry{g: r.g}
		return nil
	}
	if r.addr != rival.addr {
		r.addr, r.since, r.said = rival.addr, time.Now(), false
	}
	wait := seriousAfter - time.Since(r.since)
	if r.said {
		return nil
	}
	if wait <= 0 {
		r.said = true
		r.g.cfg.Logger.Error("two nodes have the same name, and the first keeps it: stop one of them, and give every node a name of its own",
			"node", rival.node.Name, "other", rival.addr, "first", !held)
		return nil
	}
	return time.After(wait)
}

// odd says, once for each member, that its description is not understood. It is called by watch alone.
func (g *Gossip) odd(member string, err error) {
	if !g.reported[member] {
		g.reported[member] = true
		g.cfg.Logger.Error("a node describes itself in a way that this program does not understand; do the nodes run versions that fit together?", "member", member, "err", err)
	}
}
