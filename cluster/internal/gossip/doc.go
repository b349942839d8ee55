// Package gossip finds the nodes of a cluster with hashicorp/memberlist: a shoal.Discovery.
//
// A member's name in memberlist is the node's name and incarnation, so that a restarted node, perhaps at another
// address, is a new member and need not wait until the old one is found dead. Of several members of one node the
// one that has the name counts; see names.go.
//
// Joining never ends: while a seed, or an address where a node was seen before, is not among the members, it is asked
// again every half second. So it does not matter in which order nodes start, and parts of a
// cluster that lost sight of each other find each other again.
package gossip
