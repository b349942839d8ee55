// Package cluster makes one broker of many: nodes find each other by gossip (hashicorp/memberlist), agree on one order of
// commands (hashicorp/raft) and talk over gRPC.
//
//	shoal.WithCluster(cluster.New(cluster.Config{Name: "c01", Bootstrap: true, Dir: "data/c01"}))
//	shoal.WithCluster(cluster.New(cluster.Config{Name: "c02", Join: []string{"10.0.0.1:7946"}, GossipPort: 7946, BindIP: "10.0.0.2"}))
//
// One node is told to bootstrap; the others join through any member, in any order. A cluster of three survives the loss of
// any one node. Nodes restart with the same Dir, or without.
//
// # Trust
//
// Without Config.TLS and Config.GossipKeys nodes trust whoever reaches their ports, and talk in plain text: the ports belong in a
// network of their own. Config.TLS makes raft and gRPC ask for a certificate on both sides; Config.GossipKeys encrypts gossip.
//
// # Parts
//
//   - internal/gossip: who is there (memberlist)
//   - internal/raftlog: commands, who is up, leases, barriers (raft); its documentation has the reasons and the timing
//   - internal/peer: links between nodes, calls, tunnels (gRPC)
//   - internal/network: what all of them reach each other through
//   - clustertest/memnet: a network in memory for tests
package cluster
