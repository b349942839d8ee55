package nemesis

import (
	"context"
	"net"
	"time"
)

// Target is what faults happen to. Run makes one of a clustertest.Cluster; one of processes, or machines, works with RunOn. Nodes count from 0. The
// methods are called by one goroutine, but for DialContext; what does not work fails the test.
type Target interface {
	// Nodes returns how many there are, Name what one is called.
	Nodes() int
	Name(node int) string
	// DialContext connects to a node as an MQTT client. It may be called concurrently.
	DialContext(ctx context.Context, node int) (net.Conn, error)
	// Kill ends a node at once, Stop gracefully. StartAgain starts it again, and AwaitServing waits until it serves clients.
	Kill(node int)
	Stop(node int)
	StartAgain(node int)
	AwaitServing(node int)
	// Pause makes a node stand still, Resume go on.
	Pause(node int)
	Resume(node int)
	// Partition cuts the links between nodes of different groups, Cut that from one node to another. Heal mends all.
	Partition(groups ...[]int)
	Cut(from, to int)
	Heal()
	// Delay lets what goes from one node to another take its time. Reset breaks all streams between two. Loss loses a share of all packets that are no
	// streams.
	Delay(from, to int, d time.Duration)
	Reset(a, b int)
	Loss(share float64)
}

// Disks is what a Target has whose nodes' disks can be made slow or full, as the kinds SlowDisk and FullDisk do; clustertest.Cluster says what that is.
type Disks interface {
	SlowDisk(node int, delay time.Duration)
	FullDisk(node int, full bool)
}

// Clocks is what a Target has whose nodes' clocks can be set, as the kind Clock does.
type Clocks interface {
	SetClock(node int, offset time.Duration)
}

// Leaders is what a Target has that knows its leader, as the kinds PauseLeader and KillLeader need.
type Leaders interface {
	// Leader is -1 if there is none.
	Leader() int
}

// Lossy is what a Target has whose nodes' links can lose a share of everything, streams included, as the kind PacketLoss does.
type Lossy interface {
	PacketLoss(share float64)
}

// Wiper is what a Target has whose nodes can lose all that they have stored, as the kind Wipe does. The node is down.
type Wiper interface {
	Wipe(node int)
}

// Farewell is how a node goes that does not come back. Each is graceful.
type Farewell int

// The ways of leaving a cluster.
const (
	Stopped   Farewell = iota // it is stopped as for a restart
	Removed                   // it is stopped, and an operator takes it out of the cluster
	Leaves                    // it says that it leaves for good
	farewells                 // how many there are
)

// Replacer is what a Target has whose nodes can be replaced by new ones, with other names, and be more or fewer.
type Replacer interface {
	// Replace starts a node with a new name, waits until it serves, and ends the one whose place it takes.
	Replace(node int, how Farewell)
	// Grow starts one more, and waits until it serves; it is the last one from then on. Shrink ends the last one.
	Grow()
	Shrink(how Farewell)
}

// Stores is what a Target has whose nodes share a store that can fail.
type Stores interface {
	// CrashStore ends the store's server as kill -9 does, and StoreBack starts it again, with all that it had acknowledged.
	CrashStore()
	StoreBack()
	// StallStore makes it stand still, or go on.
	StallStore(stalled bool)
	// EmptyStore removes everything that is in it.
	EmptyStore()
	// FillStore lets it refuse writes, or no longer.
	FillStore(full bool)
}
