package shoal

import (
	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/topics"
)

// What all nodes agree on: which node has subscribers for what.

func (m members) append(b []byte) []byte {
	return codec.AppendUint(codec.AppendUint(codec.AppendUint(b, uint64(m.all)), uint64(m.online)), uint64(m.keep))
}

func readMembers(r *codec.Reader) members {
	return members{int(r.Uint32()), int(r.Uint32()), int(r.Uint32())}
}

// routesCommand begins a command that says what a node has subscribers for, counting the sessions
// that it has inherited up to a step.
func routesCommand(step uint64) []byte { return codec.AppendUint(command(cmdRoutes), step) }

// applyRoutes makes a node's routes what it says they are. If the node has inherited sessions since,
// and they are not among what it says, nothing is taken away from the routes that came with them:
// applyRoutes returns the filters that it has left as they were, []string, for the node to announce
// them again.
func (a *agreed) applyRoutes(node string, r *codec.Reader) any {
	a.mu.RLock()
	old := r.Uint() < a.up[node].inherited
	a.mu.RUnlock()
	var left []string
	for r.More() {
		filter, m := r.String(), readMembers(r)
		if r.Err() != nil {
			return r.Err()
		}
		if old && (m.all == 0 || isShare(filter)) && a.hasRoute(node, filter) {
			left = append(left, filter)
			continue
		}
		a.setRoute(node, filter, m)
	}
	if err := r.Err(); err != nil {
		return err
	}
	return left
}

func (a *agreed) hasRoute(node, filter string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.nodes[node][filter] != nil
}

// setRoute makes a node's route what it says it is.
func (a *agreed) setRoute(node, filter string, m members) {
	rt := &route{node: node, filter: filter, members: m}
	if isShare(filter) {
		s, ok, err := topics.ParseShare(filter)
		if !ok || err != nil {
			return
		}
		rt.group, rt.filter = filter, s.Filter
	}
	if node != a.n.self.Name {
		rt.peer = a.n.peer(node)
	}
	index := a.routes.Load()
	a.mu.Lock()
	old := a.nodes[node][filter]
	switch {
	case m.all == 0:
		delete(a.nodes[node], filter)
		if rt.group != "" {
			a.dropShare(rt)
		}
	default:
		if a.nodes[node] == nil {
			a.nodes[node] = make(map[string]*route)
		}
		a.nodes[node][filter] = rt
		if rt.group != "" {
			if a.shares[rt.group] == nil {
				a.shares[rt.group] = make(map[string]*route)
			}
			a.shares[rt.group][node] = rt
		}
	}
	a.mu.Unlock()
	if node == a.n.self.Name {
		return // this node looks into its own index
	}
	switch {
	case m.all == 0 && old != nil:
		index.Remove(old.filter, old)
	case m.all == 0:
	case old != nil:
		index.Replace(rt.filter, old, rt)
	default:
		index.Add(rt.filter, rt)
	}
}

// dropShare forgets a node's part of a group. The caller holds a.mu.
func (a *agreed) dropShare(rt *route) {
	m := a.shares[rt.group]
	delete(m, rt.node)
	if len(m) == 0 {
		delete(a.shares, rt.group)
	}
}

// forget removes all routes of a node.
func (a *agreed) forget(node string) {
	index := a.routes.Load()
	a.mu.Lock()
	routes := a.nodes[node]
	delete(a.nodes, node)
	for _, rt := range routes {
		if rt.group != "" {
			a.dropShare(rt)
		}
	}
	a.mu.Unlock()
	for _, rt := range routes {
		if node != a.n.self.Name {
			index.Remove(rt.filter, rt)
		}
	}
}
