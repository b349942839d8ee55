package nemesis

import "github.com/shoalmq/shoal/cluster/history"

// Kind is a kind of fault.
type Kind string

// The kinds of faults. Each lasts for a while and is undone then.
const (
	Kill      Kind = "kill"      // a node is killed, as by kill -9, and started again
	Stop      Kind = "stop"      // a node is stopped gracefully, and started again
	KillTwo   Kind = "kill-two"  // two nodes are killed one soon after the other: for clusters on disk
	KillAll   Kind = "kill-all"  // all nodes are killed: for clusters on disk
	Storm     Kind = "storm"     // a node is killed and started several times in a row, each time when it serves again
	Partition Kind = "partition" // the nodes fall into two parts
	OneWay    Kind = "one-way"   // nothing reaches one node from another
	Bridge    Kind = "bridge"    // two nodes do not see each other, all others see both
	Flaky     Kind = "flaky"     // a node is cut off and back again several times in a row
	Pause     Kind = "pause"     // a node stands still, as under SIGSTOP, and goes on
	Slow      Kind = "slow"      // what goes from or to a node takes its time
	Loss      Kind = "loss"      // a share of all packets of gossip is lost
	Reset     Kind = "reset"     // all streams between two nodes break
	SlowDisk  Kind = "slow-disk" // a node's disk takes its time, or does not answer at all: for clusters on disk
	Clock     Kind = "clock"     // a node's clock is set, and the node is killed and started again, mostly
	FullDisk  Kind = "full-disk" // a node's disk has no room: for clusters on disk

	// QuickRestart kills a node that is back before the others have given it up. MovedRestart sends most clients to a node first, by an ordinary reconnect, and
	// to the others while it is down. CrashLoop kills a node again and again, without waiting until it serves. KillLeader is QuickRestart of the leader.
	QuickRestart Kind = "quick-restart"
	MovedRestart Kind = "moved-restart"
	CrashLoop    Kind = "crash-loop"
	KillLeader   Kind = "kill-leader"

	// PauseLeader is Pause of the leader; PauseAll is Pause of all nodes at the same time.
	PauseLeader Kind = "pause-leader"
	PauseAll    Kind = "pause-all"

	PacketLoss Kind = Kind(history.FaultPacketLoss) // the links between nodes lose a share of everything; see memnet.Network.SetLinkLoss

	// Wipe kills a node, or stops it, and takes away all that it has stored before it is started again.
	Wipe Kind = "wipe"
	// Replace puts a new node with another name in the place of one, ReplaceAll in that of each, one after another. The old ones say Farewell, one of three.
	Replace    Kind = "replace"
	ReplaceAll Kind = "replace-all"
	// Resize adds two nodes, which say Farewell soon afterwards; then one of the others is killed, which the cluster must survive.
	Resize Kind = "resize"

	// What happens to a store that all nodes share: its server is killed and started again, with all that it had acknowledged; stands still; loses
	// everything; refuses what is written.
	StoreCrash Kind = "store-crash"
	StoreStall Kind = "store-stall"
	StoreEmpty Kind = "store-empty"
	StoreFull  Kind = "store-full"
)

// Kinds returns all kinds of faults that a cluster without disks must survive.
func Kinds() []Kind {
	return []Kind{
		Kill, Stop, Storm, Partition, OneWay, Bridge, Flaky, Pause, Slow, Loss, Reset, Clock,
		QuickRestart, MovedRestart, CrashLoop, KillLeader, PauseLeader, PauseAll, PacketLoss,
		Replace, ReplaceAll, Resize,
	}
}

// DiskKinds returns those that a cluster on disk must survive as well.
func DiskKinds() []Kind { return []Kind{KillTwo, KillAll, SlowDisk, FullDisk, Wipe} }

// StoreKinds returns those that a cluster with a shared store must survive as well.
func StoreKinds() []Kind { return []Kind{StoreCrash, StoreStall, StoreEmpty, StoreFull} }

// LonelyKinds returns those that one node alone must survive, on disk. While it is down nobody else knows what time it is, so its clock is right.
func LonelyKinds() []Kind {
	return []Kind{Kill, Stop, Storm, QuickRestart, CrashLoop, Pause, SlowDisk, FullDisk}
}
