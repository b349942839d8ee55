package nemesis

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/shoalmq/shoal/cluster/clustertest"
)

// simulated is a cluster in memory as a Target. Nodes that are replaced keep their number here, and are others there.
type simulated struct {
	c     *clustertest.Cluster
	store *clustertest.SharedStorage // nil without
	rng   *rand.Rand

	mu    sync.Mutex
	there []int // by number here
}

var (
	_ Target   = (*simulated)(nil)
	_ Disks    = (*simulated)(nil)
	_ Clocks   = (*simulated)(nil)
	_ Leaders  = (*simulated)(nil)
	_ Lossy    = (*simulated)(nil)
	_ Wiper    = (*simulated)(nil)
	_ Replacer = (*simulated)(nil)
	_ Stores   = (*simulated)(nil)
)

func newSimulated(c *clustertest.Cluster, o Options) *simulated {
	s := &simulated{c: c, store: o.Store, rng: rand.New(rand.NewPCG(o.Seed, 0x73746f7265))}
	for i := range c.Nodes() {
		s.there = append(s.there, i)
	}
	return s
}

func (s *simulated) at(node int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there[node]
}

func (s *simulated) all(nodes []int) []int {
	list := make([]int, len(nodes))
	for i, n := range nodes {
		list[i] = s.at(n)
	}
	return list
}

func (s *simulated) Nodes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.there)
}

// Name may be asked for a node that has just left.
func (s *simulated) Name(node int) string {
	if node >= s.Nodes() {
		return "gone"
	}
	return s.c.Node(s.at(node)).Name
}

func (s *simulated) DialContext(ctx context.Context, node int) (net.Conn, error) {
	s.mu.Lock()
	if node >= len(s.there) {
		s.mu.Unlock()
		return nil, errNoNode
	}
	there := s.there[node]
	s.mu.Unlock()
	return s.c.DialContext(ctx, there)
}

func (s *simulated) Kill(node int)         { s.c.Kill(s.at(node)) }
func (s *simulated) Stop(node int)         { s.c.Stop(s.at(node)) }
func (s *simulated) StartAgain(node int)   { s.c.StartAgain(s.at(node)) }
func (s *simulated) AwaitServing(node int) { s.c.AwaitServing(s.at(node)) }
func (s *simulated) Pause(node int)        { s.c.Pause(s.at(node)) }
func (s *simulated) Resume(node int)       { s.c.Resume(s.at(node)) }
func (s *simulated) Cut(from, to int)      { s.c.Cut(s.at(from), s.at(to)) }
func (s *simulated) Heal()                 { s.c.Heal() }
func (s *simulated) Wipe(node int)         { s.c.Wipe(s.at(node)) }

func (s *simulated) Partition(groups ...[]int) {
	there := make([][]int, len(groups))
	for i, g := range groups {
		there[i] = s.all(g)
	}
	s.c.Partition(there...)
}

func (s *simulated) Delay(from, to int, d time.Duration) {
	s.c.Network().SetDelay(s.Name(from), s.Name(to), d)
}

func (s *simulated) Reset(a, b int) { s.c.Network().ResetStreams(s.Name(a), s.Name(b)) }

func (s *simulated) Loss(share float64) { s.c.Network().SetLoss(share) }

func (s *simulated) PacketLoss(share float64) {
	for a := range s.Nodes() {
		for _, b := range others(s.Nodes(), a) {
			s.c.Network().SetLinkLoss(s.Name(a), s.Name(b), share)
		}
	}
}

func (s *simulated) SlowDisk(node int, delay time.Duration) { s.c.SlowDisk(s.at(node), delay) }
func (s *simulated) FullDisk(node int, full bool)           { s.c.FullDisk(s.at(node), full) }

func (s *simulated) SetClock(node int, offset time.Duration) { s.c.SetClock(s.at(node), offset) }

func (s *simulated) Leader() int {
	leader := s.c.Leader()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Index(s.there, leader)
}

func (s *simulated) Replace(node int, how Farewell) {
	added := s.c.Add()
	s.mu.Lock()
	old := s.there[node]
	s.there[node] = added
	s.mu.Unlock()
	s.leave(old, how)
}

func (s *simulated) leave(old int, how Farewell) {
	if how == Leaves {
		s.c.Node(old).Cluster().LeaveOnClose()
	}
	s.c.Stop(old)
	if how == Removed {
		s.c.Remove(old)
	}
}

func (s *simulated) Grow() {
	added := s.c.Add()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = append(s.there, added)
}

func (s *simulated) Shrink(how Farewell) {
	s.mu.Lock()
	old := s.there[len(s.there)-1]
	s.there = s.there[:len(s.there)-1]
	s.mu.Unlock()
	s.leave(old, how)
}

var (
	errNoNode    = errors.New("nemesis: no such node any more")
	errStoreGone = errors.New("nemesis: the store's server is gone")
	errStoreFull = errors.New("nemesis: the store's server has no memory left")
)

// CrashStore lets calls pile up first, so that some are under way.
func (s *simulated) CrashStore() {
	s.store.Hang()
	time.Sleep(time.Duration(s.rng.IntN(20)) * time.Millisecond)
	s.store.Crash(errStoreGone, func() bool { return s.rng.IntN(2) == 0 })
}

func (s *simulated) StoreBack() { s.store.Fail(nil) }

func (s *simulated) StallStore(stalled bool) {
	if stalled {
		s.store.Hang()
		return
	}
	s.store.Resume()
}

func (s *simulated) EmptyStore() { s.store.Empty() }

func (s *simulated) FillStore(full bool) {
	if full {
		s.store.FailWrites(errStoreFull)
		return
	}
	s.store.FailWrites(nil)
}
