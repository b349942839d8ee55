package nemesis

import (
	"context"
	"net"
	"time"

	"github.com/shoalmq/shoal/cluster/clustertest"
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

// simulated is a cluster in memory as a Target.
type simulated struct{ *clustertest.Cluster }

var (
	_ Target = simulated{}
	_ Disks  = simulated{}
	_ Clocks = simulated{}
)

func (s simulated) Name(node int) string { return s.Node(node).Name }

func (s simulated) Delay(from, to int, d time.Duration) {
	s.Network().SetDelay(s.Name(from), s.Name(to), d)
}

func (s simulated) Reset(a, b int) { s.Network().ResetStreams(s.Name(a), s.Name(b)) }

func (s simulated) Loss(share float64) { s.Network().SetLoss(share) }
