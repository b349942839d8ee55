package shoal

// Who has what a lost node had, as all nodes agree: its sessions and its routes.

// inherit makes a step of the agreed order on this node: what was the lost node's becomes its heir's.
func (n *clusterNode) inherit(index uint64, lost, heirName string) {
	a := &n.state
	a.mu.Lock()
	a.heirs[lost] = heir{heirName, index}
	if a.common.restorer == lost {
		a.common.restorer = heirName
	}
	a.mu.Unlock()
	mine := a.lose(index, lost, heirName)
	if heirName == n.self.Name && n.up.Load() {
		n.adoptions.add(&adoption{index: index, lost: lost, sessions: mine, filters: a.routesOf(lost)})
	}
	if lost != heirName {
		a.bequeath(index, lost, heirName)
		a.forget(lost)
	}
	if heirName != n.self.Name && lost != n.self.Name {
		n.peer(heirName).follow(n.peer(lost))
	}
	n.step(index)
}

// step ends a step of the agreed order.
func (n *clusterNode) step(index uint64) {
	n.state.mu.Lock()
	n.state.step = index
	n.state.mu.Unlock()
	n.keeper.turn()
	n.adoptions.reach(index)
}

// rejoin makes the step in which a node comes back that was lost before. What is still its own, because there was no heir, it adopts.
func (n *clusterNode) rejoin(index uint64, node string) {
	if mine := n.state.lose(index, node, node); len(mine) > 0 {
		n.adoptions.add(&adoption{index: index, lost: node, sessions: mine, filters: n.state.routesOf(node)})
	}
	n.step(index)
}

// enter notes that a node takes part from here on, and returns whether it did before.
func (a *agreed) enter(node string, m member) (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, was = a.up[node]
	a.up[node] = m
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

// heirOf returns the node that has the sessions of a lost one now, "" if it is lost, too, and the step in which they were inherited first.
// They have gone further with each heir that was lost after it had them.
func (a *agreed) heirOf(lost string) (node string, index uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	h, known := a.heirs[lost]
	index = h.index
	for known {
		next, lostToo := a.heirs[h.node]
		if !lostToo || next.index <= h.index {
			break
		}
		h = next
	}
	if !a.isUp(h.node) {
		return "", 0
	}
	return h.node, index
}

// bequeath gives the routes of a lost node to its heir, which says soon which of them are right.
func (a *agreed) bequeath(index uint64, lost, heirName string) {
	a.mu.RLock()
	routes := make([]*route, 0, len(a.nodes[lost]))
	for _, rt := range a.nodes[lost] {
		routes = append(routes, rt)
	}
	a.mu.RUnlock()
	self := heirName == a.n.self.Name
	for _, rt := range routes {
		name := rt.filter
		all, online := 1, 0
		if rt.group != "" {
			name = rt.group
			all = rt.all
		}
		a.mu.RLock()
		own := a.nodes[heirName][name]
		a.mu.RUnlock()
		switch {
		case rt.group != "":
			if own != nil {
				all, online = all+own.all, own.online
			}
			a.setRoute(heirName, name, all, online)
		case own == nil:
			a.setRoute(heirName, name, 1, 0)
		}
		if self && a.n.up.Load() {
			held := &route{node: heirName, filter: rt.filter, group: rt.group, all: 1, step: index}
			a.routes.Load().Add(held.filter, held)
			a.mu.Lock()
			a.waiting = append(a.waiting, held)
			a.mu.Unlock()
		}
	}
}

// endWaiting removes the routes that lead to sessions being adopted here.
func (a *agreed) endWaiting() {
	a.mu.Lock()
	routes := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	index := a.routes.Load()
	for _, rt := range routes {
		index.Remove(rt.filter, rt)
	}
}

// routesOf returns the filters a node has announced, or inherited.
func (a *agreed) routesOf(node string) []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	filters := make([]string, 0, len(a.nodes[node]))
	for f := range a.nodes[node] {
		filters = append(filters, f)
	}
	return filters
}

// restored makes this node's sessions fit a state that came in a snapshot. It is called on Apply's goroutine, with a.mu not held.
func (n *clusterNode) restored() {
	n.keeper.turn()
	if !n.up.Load() {
		return
	}
	a := &n.state
	a.mu.Lock()
	up := a.isUp(n.self.Name)
	a.mu.Unlock()
	if !up {
		n.givenUp()
		return
	}
	n.adoptions.add(&adoption{discard: true})
	var mine []inherited
	a.mu.Lock()
	index := a.step
	for id, k := range a.kept {
		if o := a.owners[id]; o != nil && o.home == n.self.Name {
			mine = append(mine, inherited{id, k.share(), *o, k.claimed != 0})
		}
	}
	a.mu.Unlock()
	n.adoptions.add(&adoption{index: index, lost: n.self.Name, sessions: mine, filters: a.routesOf(n.self.Name)})
	n.adoptions.reach(index)
}
