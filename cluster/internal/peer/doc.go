// Package peer connects the nodes of a cluster to each other over gRPC: an ordered link per pair of nodes, calls, and
// tunnels for raft.
//
// # Links
//
// What Forward is given travels on one stream per peer and direction. Every batch has a sequence number; neighbouring
// batches share a frame of about 256 KiB, a larger batch is a frame of its own. The receiver hands batches to
// Handler.Receive in order, from one goroutine per sending node, and acknowledges cumulatively as they are accepted.
// The sender keeps what is not acknowledged. After a broken connection it says Hello with the name of its sequence, and
// learns what the receiver has, so that nothing is lost, repeated or reordered. A receiver that has restarted has
// nothing: it gets again what its predecessor did not acknowledge.
//
// A link lives from the peer's NodeUp to its NodeDown. What is queued at NodeDown fails with ErrNodeLost; a NodeUp of a
// new incarnation without a NodeDown before it keeps the queue. Queues have no bound of their own: the caller of Forward
// bounds what is outstanding. At most 64 MiB are on the way unacknowledged.
//
// # Connections
//
// There are two connections per peer: one for the links and the broker's calls, one for what keeps the cluster
// together (renewals, proposals, raft's tunnels), so that a large batch does not cost a node its lease. Both reconnect
// by themselves, after 50 ms to 1 s. An idle connection is healthy; keep-alive pings find one that is dead.
//
// The wire format is peerpb/peer.proto. Frames are encoded and decoded by hand, in the same format, to save copies.
package peer
