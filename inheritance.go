package shoal

import (
	"hash/fnv"
	"maps"
	"slices"

	"github.com/shoalmq/shoal/topics"
)

// Who has what a lost node had, as all nodes agree: its sessions and its routes.

// estate is what a lost node leaves. Every session, with its will, goes to one of the survivors, so that none of them has to bear it all.
type estate struct {
	lost string
	// adopter is the heir of all that belongs to no session, and of everything if spread is empty.
	adopter string
	spread  []string
	// routes are what the heirs get: how many sessions have subscribed to a filter.
	routes map[string]map[string]int
}

// estateOf finds out who are the heirs of a node. The caller holds a.mu.
func (a *agreed) estateOf(lost, adopter string) *estate {
	e := &estate{lost: lost, adopter: adopter, routes: map[string]map[string]int{adopter: {}}}
	if lost == adopter || !a.isUp(adopter) || a.sharesStore() { // who shares a store with all reads it in one go
		return e
	}
	for name := range a.up {
		if name != lost {
			e.spread = append(e.spread, name)
		}
	}
	slices.Sort(e.spread)
	return e
}

// heirOf returns who gets the session of a client.
func (e *estate) heirOf(id string) string {
	if len(e.spread) == 0 {
		return e.adopter
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return e.spread[h.Sum32()%uint32(len(e.spread))]
}

// give notes that an heir gets a session.
func (e *estate) give(heir string, k *keptSession) {
	routes := e.routes[heir]
	if routes == nil {
		routes = make(map[string]int)
		e.routes[heir] = routes
	}
	for filter := range k.subs {
		routes[filter]++
	}
}

// candidates returns the names of those who may get something.
func (e *estate) candidates() []string {
	if len(e.spread) == 0 {
		return []string{e.adopter}
	}
	return e.spread
}

// heirs returns the names of those who get something, in order.
func (e *estate) heirs() []string { return slices.Sorted(maps.Keys(e.routes)) }

// inherit makes a step of the agreed order on this node: what was the lost node's becomes its heirs'.
func (n *clusterNode) inherit(index uint64, lost, adopter string) {
	a := &n.state
	a.mu.Lock()
	e := a.estateOf(lost, adopter)
	a.mu.Unlock()
	var held []*peerQueue
	if lost != n.self.Name {
		for _, name := range e.candidates() {
			if name != n.self.Name {
				held = append(held, n.peer(name).hold(lost))
			}
		}
	}
	n.adoptions.begun.Store(index) // what has left for the heirs has been stamped with less, and was routed before any of this
	a.mu.Lock()
	if a.common.restorer == lost {
		a.common.restorer = adopter
	}
	mine := a.lose(index, lost, e)
	heirs := e.heirs()
	a.noteInherited(index, heirs)
	a.noteLoss(lost, loss{nodes: heirs, index: index})
	a.mu.Unlock()
	if len(e.spread) == 0 {
		e.routes[adopter] = a.countsOf(lost)
	}
	if _, heir := e.routes[n.self.Name]; heir && n.up.Load() {
		begun := make(chan struct{})
		defer close(begun)
		n.adoptions.add(&adoption{index: index, lost: lost, sessions: mine, filters: slices.Collect(maps.Keys(e.routes[n.self.Name])), begun: begun})
	}
	if lost != adopter {
		for _, name := range heirs {
			a.bequeath(index, name, e.routes[name])
		}
		a.forget(lost)
	}
	for _, p := range held {
		if slices.Contains(heirs, p.node) {
			p.follow(n.peer(lost), index)
		} else {
			p.unhold()
		}
	}
	n.step(index)
}

// noteInherited notes the step in which nodes have got sessions. The caller holds a.mu.
func (a *agreed) noteInherited(index uint64, heirs []string) {
	for _, name := range heirs {
		if m, up := a.up[name]; up {
			m.inherited = index
			a.up[name] = m
		}
	}
}

// step ends a step of the agreed order.
func (n *clusterNode) step(index uint64) {
	n.state.mu.Lock()
	n.state.step = index
	n.state.mu.Unlock()
	n.keeper.turn()
	n.adoptions.reach(index)
	for _, p := range n.allPeers() {
		p.mu.Lock()
		p.wakeWaiting() // for a node to come, or be lost again
		idle := p.idle() && p.holds == 0 && !p.returning
		p.mu.Unlock()
		if idle && n.state.isForgotten(p.node) {
			n.mu.Lock()
			delete(n.peers, p.node)
			n.mu.Unlock()
		}
	}
}

// rejoin makes the step in which a node comes back that was lost before. What is still its own, because there was no heir, it adopts.
func (n *clusterNode) rejoin(index uint64, node string) {
	a := &n.state
	a.mu.Lock()
	mine := a.lose(index, node, a.estateOf(node, node))
	a.noteInherited(index, []string{node})
	a.mu.Unlock()
	if len(mine) > 0 {
		n.adoptions.add(&adoption{index: index, lost: node, sessions: mine, filters: slices.Collect(maps.Keys(a.countsOf(node)))})
	}
	n.step(index)
}

// agreeOnSessions notes where the first node of the cluster keeps sessions, which is where all do.
func (a *agreed) agreeOnSessions(where string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.common.sessions == "" {
		a.common.sessions = where
	}
}

// enter notes that a node takes part from here on, and returns whether it did before.
func (a *agreed) enter(node string, m member) (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, was = a.up[node]
	a.up[node] = m
	if losses := a.heirs[node]; !was && len(losses) > 0 {
		losses = slices.Clone(losses) // readers hold no lock while they look at them
		losses[len(losses)-1].back = m.since
		a.heirs[node] = losses
	}
	if a.common.keeper == "" || a.common.keeper == node {
		a.common.keeper, a.common.keeps = node, m.since
	}
	return was
}

func (a *agreed) leave(index uint64, node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.up, node)
	if a.common.keeper == node {
		a.common.keeper, a.common.keeps = "", index
		for name := range a.up {
			if a.common.keeper == "" || name < a.common.keeper {
				a.common.keeper = name
			}
		}
	}
}

// isUp is called with a.mu held.
func (a *agreed) isUp(node string) bool {
	_, up := a.up[node]
	return up
}

// current reports whether what a node sent, having taken a step of the agreed order, is still good: it was sent after the node took part the last
// time, and the node still does. What a node sent before it was given up comes late when a link heals, and its publishers have not been
// answered: they send it again elsewhere.
func (a *agreed) current(node string, step uint64) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	m, up := a.up[node]
	return up && step >= m.since
}

// bequeath gives an heir of a lost node the routes of what it got. It says soon which of them are right.
func (a *agreed) bequeath(index uint64, heirName string, routes map[string]int) {
	self := heirName == a.n.self.Name
	for name, all := range routes {
		filter, group := name, ""
		if isShare(name) {
			s, ok, err := topics.ParseShare(name)
			if !ok || err != nil {
				continue
			}
			filter, group = s.Filter, name
		}
		a.mu.RLock()
		own := a.nodes[heirName][name]
		a.mu.RUnlock()
		switch {
		case group != "" && own != nil:
			a.setRoute(heirName, name, members{own.members.all + all, own.members.online, own.members.keep + all})
		case group != "":
			a.setRoute(heirName, name, members{all: all, keep: all})
		case own == nil:
			a.setRoute(heirName, name, members{all: 1})
		}
		if self && a.n.up.Load() {
			held := &route{node: heirName, filter: filter, group: group, members: members{all: 1}, step: index}
			a.routes.Load().Add(held.filter, held)
			a.mu.Lock()
			a.waiting = append(a.waiting, held)
			a.mu.Unlock()
		}
	}
}

// endWaiting removes the routes that lead to sessions that were adopted here up to a step. Those of later steps are still to be made.
func (a *agreed) endWaiting(step uint64) {
	a.mu.Lock()
	var over, later []*route
	for _, rt := range a.waiting {
		if rt.step <= step {
			over = append(over, rt)
		} else {
			later = append(later, rt)
		}
	}
	a.waiting = later
	a.mu.Unlock()
	index := a.routes.Load()
	for _, rt := range over {
		index.Remove(rt.filter, rt)
	}
}

// countsOf returns the filters a node has announced, or inherited, with the members of shared groups.
func (a *agreed) countsOf(node string) map[string]int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	counts := make(map[string]int, len(a.nodes[node]))
	for filter, rt := range a.nodes[node] {
		counts[filter] = rt.members.all
	}
	return counts
}
