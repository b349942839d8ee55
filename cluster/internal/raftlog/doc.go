// Package raftlog gives the nodes of a cluster one agreed order of commands, with hashicorp/raft, and everything that
// hangs on that order: who is up, who may serve, and barriers.
//
// # Commands
//
// Every node has one batcher. It collects what is proposed, in the order of the calls, into one log entry of up to
// 1 MiB or 4096 commands, and has one entry outstanding: while that is agreed on, the next one fills. The entry goes to
// the leader, again and again, unchanged, until it has been applied here. It carries the node's name, incarnation and a
// sequence number, and the state machine skips what it has applied already: a command is applied exactly once, also
// when the leader changes. The caller gets its result when this node has applied the command.
//
// Up to 64 MiB of commands may wait; what comes on top is refused with ErrNotReplicated, as is a command of more than
// 60 MiB. Without a leader commands wait, each for its context.
//
// # Who is up
//
// A node proposes its own NodeUp once its log is nearly level with the leader's. The leader proposes NodeDown for a
// node whose lease has run out, and for a node that says it leaves. Commands of a node that is not up are skipped, and
// fail with ErrNotReplicated. A node that was given up and finds itself alive proposes NodeUp with a new incarnation.
//
// # Leases
//
// A node serves while it holds a lease: for at most LeaseDuration, by its own clock, from when it asked. The leader may
// grant only what lies within its own lease, which begins when a heartbeat went out that a quorum has answered in the
// leader's term. (This is a stricter bound than raft's VerifyLeader, which counts the answer to a heartbeat that was
// sent before it was asked, and costs no message.) Whoever becomes leader later was elected by a quorum that includes
// one of those who answered, after they answered. It takes every node that is up as leased for one LeaseDuration after
// its election, and gives none up before. So a lost node has stopped serving by itself before anybody acts on its loss.
//
// A leader that has stood still, because its process or its machine was stopped, has not seen that the others were silent. It gives a node up only after
// it has waited for its request for as long as a lease takes while it was awake (stopwatch.go), and while a majority confirms it. The same goes for
// everything else that measures the silence of others: how long a node was absent, how long a node without its log has been without a leader, how long
// a write takes.
//
// The defaults: a lease of 1.3 s, renewed every eighth of that, and raft timeouts of 350 ms. A lease outlives an
// election, so that losing the leader does not stop the others from serving; and the loss of any node, the leader
// included, is known everywhere after about 2 s and practically always within 3 s. A stall shorter than a second costs no lease.
//
// # Voters
//
// A server's ID in raft is the node's name. The leader adds live nodes as non-voters; who votes is decided in ballot.go, whose rules the documentation of
// package cluster has for operators. A failed probe removes nobody.
// Addresses come from gossip at the moment of dialling, so that a whole cluster may come back at other addresses.
//
// A node that restarts without its log, because it keeps it in memory, has forgotten whom it voted for and what it
// acknowledged. It therefore casts no vote until it has caught up, or until amnesiaWait has passed without a leader: after
// that, the survivors' need for a majority is put above what a second fault within that time could lose.
//
// The node that is told to bootstrap, and has no log, first looks around for members of a cluster that exists, so that
// a restart does not begin a second cluster. Nodes that expect to be so many begin one together; see expect.go. Should a second one come to be nevertheless, for example on the two sides of
// a partition, the two stay apart: a cluster has an identity, drawn by its first node, and every connection of
// raft's begins with it.
//
// # The log on disk
//
// With a Dir the log is in segments there (disklog.go), and votes are in a small file beside it (votes.go). A node that has handed an entry to its operating
// system answers for it: it outlives the process, and with it the loss of any minority of machines. A proposal made with ProposeStable is
// not committed before a majority has it, and all before it, on disk. What nobody waits for is on disk 50 ms later. A machine
// that loses its power in between has forgotten what it answered for, until the leader has sent it again; only if that happens to a
// majority at the same time can an entry that was committed without ProposeStable be lost.
//
// # Damage on the disk
//
// Everything in Dir has a checksum, and is checked when the node starts. An end of the log that was not written completely is cut off: nobody was told that the
// node has it. Everything else that is not as it was written is damage, such as a bad entry with a good one behind it, votes that are
// missing or changed, a log that is shorter than it was when it was closed. A node with damage puts its data aside and gets everything from the others; it
// has forgotten what it answered for, so it neither votes nor stands for election before it has applied its own NodeUp, however long that takes
// (damage.go). A snapshot that is damaged is put aside alone if nothing is lost with it. A node that is the only voter refuses to start. An entry that cannot be read
// while the node runs makes it stand still until it is restarted. When a node was killed, nothing says whether a last entry that is there and wrong
// is damage or the work of a loss of power: it is cut off, and the node votes when it has caught up, or has heard of no leader for amnesiaWait.
//
// # A disk that fails
//
// raft steps down when its log cannot be written, and panics when its term cannot be kept. A node whose disk has no room, or has not taken a write for
// stallLimit, does neither more than once: it keeps apart (fitness.go). Nothing of raft's goes in or out, so that another node leads; it asks for no lease, so
// that it is given up like a node that is lost, and its sessions are taken over; and it stands still where it would have to keep a vote or a term. It tries every
// probeInterval whether its disk has room for as much as it had not, and then is a follower that has fallen behind. What it could not write is not in its log:
// a part of an entry is cut off, at once or at the next start. A sync that fails is another matter: nobody knows then what the disk has, and the node keeps
// apart until it is restarted.
//
// A disk that is only slow costs what waits for it: the leader's all proposals, a follower's nothing as long as a majority is faster, but for Barriers, which
// wait for every node.
//
// # Time
//
// Leases, and everything else that one node measures, are by monotonic clocks. What one node writes down and another one compares, the ends of messages and when
// clients went away, is by a time that all nodes agree on; clock.go says how. A node is not up before it knows that time.
//
// # Versions
//
// The level of the cluster's formats is agreed, too: see levels.go, and package level for what it is.
//
// # Snapshots
//
// A snapshot is taken after SnapshotEntries entries or SnapshotBytes bytes of log. Entries and snapshots begin with a
// version byte, and a snapshot says the level of the cluster. Restore goes into the live state machine. A proposal whose entry arrives here inside a snapshot has been
// applied, but its result is not known: it fails with ErrNotReplicated.
//
// # Learning what is committed
//
// raft tells followers what is committed with the next entry, or after a timeout. That would cost each proposal of a
// follower that timeout. The transport therefore sends an empty append with the new commit index as soon as the leader has
// applied an entry, unless an entry carried it meanwhile.
package raftlog
