// Package cluster makes one broker of many: nodes find each other by gossip (hashicorp/memberlist), agree on one order of
// commands (hashicorp/raft) and talk over gRPC.
//
// These are two nodes, each on a machine of its own, and what a program does with its node:
//
//	c01 := cluster.New(cluster.Config{Name: "c01", BindIP: "10.0.0.1", Dir: "data/c01", Bootstrap: true})
//	c02 := cluster.New(cluster.Config{Name: "c02", BindIP: "10.0.0.2", Dir: "data/c02", Join: []string{"10.0.0.1:7946"}})
//
//	b, err := shoal.New(shoal.WithCluster(c01), shoal.WithListen(":1883"), shoal.WithAnonymous())
//
// Nodes talk to each other on three ports, which are 7946, 8946 and 17946 unless Config says otherwise; several nodes on one machine need ports of their own.
//
// One node is told to bootstrap, or all are told how many they are at first (Config.ExpectNodes); the others join through any member, by address or by a name that is looked up anew each time, in any order. A cluster of three survives the loss of
// any one node, one of five the loss of any two. Nodes restart with the same Dir, or without. A node that does not serve says after a few seconds what it
// waits for, in its log and in Status.Reason.
//
// # Membership
//
// Decisions need a majority of the voters (Status.Voters). Up to Config.Voters nodes vote, an odd number where there are three or
// more; the others are spare nodes, which serve clients like any other.
//
//   - The vote of a voter that is stopped or lost goes to a spare node as soon as the others have noticed. So nodes are replaced by starting the new
//     one, waiting until it serves, and stopping the old one: one at a time, that can go on for ever, and nobody need be told.
//   - Without a spare node a voter that is stopped, or lost, keeps its vote, since it is expected back: a restart changes nothing about who
//     decides. Of two nodes, one that is stopped gives its vote up, so that the other one goes on alone; if both are stopped, the second one has to be
//     started again for the cluster to go on.
//   - The votes of nodes that stay away lapse by themselves, but only where the cluster can lose one node more for that (two votes of five, one of
//     four), and never below a majority of Config.Voters: at once if the node was stopped, and after Config.RemoveLostAfter if it was
//     lost. Who comes back gets a vote again.
//   - Cluster.LeaveOnClose, called before shoal.Broker.Shutdown, takes a node out of the cluster for good; Cluster.Remove does that for a node that
//     is not there any more.
//
// A node that was replaced, or removed, and comes back is welcome, and is a spare node until it is needed.
//
// While a majority is gone, nobody serves, and nothing is lost: Status.Missing says who is missing, and when as many as make a majority
// are back, with their Dir, the cluster goes on by itself.
//
// A node whose disk (Config.Dir) is full, or does not answer, is as good as lost until it is well: it acknowledges nothing, its clients and sessions go to other
// nodes, and leadership does. It logs an error, tries again by itself, and comes back when there is room. When too few nodes have room for a majority,
// nobody serves until enough have. After an I/O error, when nobody knows what the disk has kept, the node has to be restarted.
//
// # Damaged data
//
// What is in Config.Dir is checked when a node starts. A node that finds damage logs an error that names the file, moves what it has into the directory
// "damaged", and gets everything from the others; until then, while there is a file REBUILD in Dir, it does not vote, since it has forgotten what
// it answered for. If a majority needs its vote and cannot be had otherwise, the text in that file says what to do. A node that is the only
// voter of its cluster does not start with damaged data: restore it from a backup.
//
// # Clocks
//
// The nodes agree on a time (Cluster.Now), by which messages, sessions and wills end. They take it from the wall once, and it goes on by their monotonic clocks for as
// long as any node lives to tell the others: a node whose clock is wrong, or is set, while it runs or before it starts, changes nothing. When all nodes have
// been down at once, the clocks of most of those that are back say how long that was, if three or more are back when one begins to lead, and else the leader's
// own does; so does a node's own clock when it begins a cluster. A ban that ends at a
// time ends by each node's own clock.
//
// # Stopping a node
//
// shoal.Broker.Shutdown, or shoal.Broker.Drain before it, sends the clients of a node to the others, in turn and at a pace, after the node has given up
// leadership; their sessions move when they come back, and what is left goes to another node when this one leaves. Nodes that are restarted one
// after another, each when the one before it serves again (shoal.Broker.Ready), lose nothing.
//
// # Versions
//
// Each node announces the levels of the cluster's formats that its program speaks: entries of raft's log and the commands in them, snapshots, requests and
// frames. The cluster uses the latest level that all its nodes speak (Status.Level), those that are away included until they are removed, and
// never an earlier one again. So a new version is rolled out by restarting one node after another with it, in any order, and what is new in it is
// used when the last one has been. Until then each node can be put back. A program that does not speak the cluster's level is refused: it does not serve, and it
// and the leader log an error that names both levels; its data is kept for a program that does. A program that finds a snapshot or an entry of a later
// level in its Dir does not guess what that means: it does not start, or does not serve.
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
//   - internal/network: what all of them reach each other through; internal/faults: what a test puts between a node and its disk
//   - clustertest/memnet: a network in memory for tests
package cluster
