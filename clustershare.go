package shoal

import (
	"math/rand/v2"
	"strings"
)

// pickGroup chooses who of a shared group gets the message, by the group's strategy (guarantee 7). A choice of another node is added to
// sc.sends.
func (n *clusterNode) pickGroup(sc *scratch, name string) bool {
	local := n.b.groups.get(name)
	online, all := 0, 0
	if local != nil {
		online, all = local.count()
	}
	if strategy := n.b.strategyOf(name); strategy != SharedLocalFirst {
		rt, ok := n.pickShareNode(sc, chooser{strategy, sc.r.publisher}, name, online, all)
		if ok && rt != nil {
			s := sc.sendTo(rt.peer)
			s.groups = append(s.groups, name)
			return true
		}
		if ok && n.b.deliverShared(sc, local) {
			return true
		}
		// Nobody here took it: whoever is left.
	}
	return n.pickNearest(sc, local, name, online, all)
}

// toGroup hands the message to one of a shared group. If there is nobody, but sessions are being adopted here, it waits for them: they may be
// the group's.
func (n *clusterNode) toGroup(sc *scratch, name string) bool {
	return n.pickGroup(sc, name) || n.adoptions.holdForGroup(sc, name)
}

// pickNearest chooses a member of this node that is online; else one of another node; else one that is away, here or there.
func (n *clusterNode) pickNearest(sc *scratch, local *group, name string, online, all int) bool {
	if online > 0 {
		if n.b.deliverShared(sc, local) {
			return true
		}
	}
	rt := n.state.pickNode(name, n.self.Name)
	if rt != nil && (rt.online > 0 || all == 0) {
		s := sc.sendTo(rt.peer)
		s.groups = append(s.groups, name)
		return true
	}
	if all > 0 {
		if !n.b.deliverShared(sc, local) && sc.leaving {
			n.passLater(&sc.r, name)
		}
		return true
	}
	return false
}

// pickNode returns another node's route of a group, by chance, weighted by the members that are online, or, if there are none,
// by all; nil if there is none.
func (a *agreed) pickNode(name, self string) *route {
	a.mu.RLock()
	defer a.mu.RUnlock()
	online, all := 0, 0
	for node, rt := range a.shares[name] {
		if node != self {
			online += rt.online
			all += rt.all
		}
	}
	if all == 0 {
		return nil
	}
	weight := func(rt *route) int { return rt.online }
	total := online
	if online == 0 {
		weight, total = func(rt *route) int { return rt.all }, all
	}
	at := rand.IntN(total)
	for node, rt := range a.shares[name] {
		if node == self {
			continue
		}
		if at -= weight(rt); at < 0 {
			return rt
		}
	}
	return nil
}

// routeGroup routes the message in sc.r to a group alone: wherever that is, its other subscribers have had it.
func (n *clusterNode) routeGroup(sc *scratch, name string) {
	sc.r.groupsOnly = true
	sc.sends = sc.sends[:0]
	found := n.toGroup(sc, name)
	for i := range sc.sends {
		sc.sends[i].peer.send(sc, sc.sends[i].groups)
	}
	if !found {
		n.b.drop(DroppedEvent{TopicName: strings.Clone(sc.r.p.TopicName), QoS: sc.r.qos(), Reason: DropSessionEnded})
	}
}

// groupOnline reports whether another node has a member of a group that is online.
func (n *clusterNode) groupOnline(name string) bool {
	rt := n.state.pickNode(name, n.self.Name)
	return rt != nil && rt.online > 0
}

// notHere returns the groups that this node was picked for and should not serve: their last member has left while the message was on its way,
// or is away while another node has one online.
func (n *clusterNode) notHere(groups []string) (others []string) {
	for _, name := range groups {
		g := n.b.groups.get(name)
		if g == nil {
			others = append(others, name)
			continue
		}
		if online, _ := g.count(); online == 0 && n.groupOnline(name) {
			others = append(others, name)
		}
	}
	return others
}
