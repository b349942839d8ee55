package shoal

import (
	"math/rand/v2"

	"github.com/shoalmq/shoal/packets"
)

// pickGroup chooses who of a shared group gets the message, by the group's strategy (guarantee 7). A choice of another node is added to
// sc.sends.
func (n *clusterNode) pickGroup(sc *scratch, name string) bool {
	local := n.b.groups.get(name)
	here := local.count()
	if strategy := n.b.strategyOf(name); strategy != SharedLocalFirst {
		rt, ok := n.pickShareNode(sc, chooser{strategy, sc.r.publisher}, name, here)
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
	return n.pickNearest(sc, local, name, here)
}

// toGroup hands the message to one of a shared group. If there is nobody, but sessions are being adopted here, it waits for them: they may be
// the group's. It reports whether there is such a group; if nobody of it can take the message, that is told.
func (n *clusterNode) toGroup(sc *scratch, name string) bool {
	switch {
	case n.pickGroup(sc, name) || n.adoptions.holdForGroup(sc, name):
	case n.b.groups.get(name) == nil && !n.state.hasShare(name):
		return false
	default:
		n.b.dropForGroup(sc)
	}
	return true
}

// pickNearest chooses a member of this node that is online; else one of another node; else one that is away, here or there. It reports whether
// somebody has the message, or is going to.
func (n *clusterNode) pickNearest(sc *scratch, local *group, name string, here members) bool {
	qos := sc.r.qos()
	if here.online > 0 && n.b.deliverShared(sc, local) {
		return true
	}
	rt := n.state.pickNode(name, n.self.Name, qos)
	if here.anyFor(qos) && (rt == nil || rt.members.online == 0) {
		if n.b.deliverShared(sc, local) {
			return true
		}
		if sc.leaving {
			n.passLater(&sc.r, name)
			return true
		}
	}
	if rt == nil {
		return false
	}
	s := sc.sendTo(rt.peer)
	s.groups = append(s.groups, name)
	return true
}

// hasShare reports whether another node has members of a group.
func (a *agreed) hasShare(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.shares[name]) > 0
}

// pickNode returns another node's route of a group that has a member for a message of a QoS, by chance, weighted by the members that are online, or,
// if there are none, by those that are away and keep messages; nil if there is none.
func (a *agreed) pickNode(name, self string, qos packets.QoS) *route {
	a.mu.RLock()
	defer a.mu.RUnlock()
	online, keep := 0, 0
	for node, rt := range a.shares[name] {
		if node != self {
			online += rt.members.online
			keep += rt.members.keep
		}
	}
	weight, total := func(rt *route) int { return rt.members.online }, online
	if online == 0 && qos > 0 {
		weight, total = func(rt *route) int { return rt.members.keep }, keep
	}
	if total == 0 {
		return nil
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

// routeGroup routes the message in sc.r to a group alone: wherever that is, its other subscribers have had it. It reports whether somebody has it, or is
// going to.
func (n *clusterNode) routeGroup(sc *scratch, name string) (found bool) {
	sc.r.groupsOnly = true
	sc.sends = sc.sends[:0]
	found = n.pickGroup(sc, name) || n.adoptions.holdForGroup(sc, name)
	for i := range sc.sends {
		sc.sends[i].peer.send(sc, sc.sends[i].groups)
	}
	return found
}

// groupOnline reports whether another node has a member of a group that is online.
func (n *clusterNode) groupOnline(name string) bool {
	return n.state.pickNode(name, n.self.Name, 0) != nil
}

// notHere returns the groups that this node was picked for and should not serve: their last member that could take the message has left while that was
// on its way, or is away while another node has one online.
func (n *clusterNode) notHere(groups []string, qos packets.QoS) (others []string) {
	for _, name := range groups {
		here := n.b.groups.get(name).count()
		if here.online == 0 && (!here.anyFor(qos) || n.groupOnline(name)) {
			others = append(others, name)
		}
	}
	return others
}
