package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proposers propose numbered commands, each its own and one after another, until told to stop.
type proposers struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc
	mu     sync.Mutex
	acked  map[string]int // by proposer: how many were confirmed, all below
	failed map[string]error
}

func startProposers(nodes []*node, each int) *proposers {
	ctx, cancel := context.WithCancel(context.Background())
	p := &proposers{cancel: cancel, acked: make(map[string]int), failed: make(map[string]error)}
	for _, n := range nodes {
		for i := range each {
			p.wg.Go(func() {
				id := fmt.Sprintf("%s-%d", n.name, i)
				for k := 0; ctx.Err() == nil; k++ {
					_, err := n.Propose(ctx, fmt.Appendf(nil, "%s/%d", id, k))
					p.mu.Lock()
					if err != nil {
						p.failed[id] = err
						p.mu.Unlock()
						return
					}
					p.acked[id] = k + 1
					p.mu.Unlock()
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
	}
	return p
}

func (p *proposers) stop() {
	p.cancel()
	p.wg.Wait()
}

// check verifies that log holds every confirmed command exactly once, in its proposer's order.
func (p *proposers) check(t *testing.T, log []string) {
	t.Helper()
	next := make(map[string]int)
	for _, c := range log {
		_, cmd, _ := strings.Cut(c, ":")
		id, num, ok := strings.Cut(cmd, "/")
		if !ok {
			continue
		}
		require.Equal(t, fmt.Sprint(next[id]), num, "command of %s out of its order, lost or repeated", id)
		next[id]++
	}
	for id, n := range p.acked {
		require.GreaterOrEqual(t, next[id], n, "confirmed commands of %s are missing", id)
		require.Positive(t, n)
	}
}

// converge waits until all nodes have the same log, and returns it.
func (w *world) converge(names ...string) []string {
	w.t.Helper()
	eventually(w.t, 20*time.Second, "the same log everywhere", func() bool {
		first := w.nodes[names[0]]
		for _, name := range names[1:] {
			if w.nodes[name].Status().AppliedIndex != first.Status().AppliedIndex {
				return false
			}
		}
		return true
	})
	log := w.nodes[names[0]].machine.log()
	for _, name := range names[1:] {
		require.Equal(w.t, log, w.nodes[name].machine.log(), "log of %s", name)
	}
	return log
}

// C11, C12: nothing confirmed is lost when the leader is, and nothing is applied twice.
func TestProposalsSurviveLeaderKills(t *testing.T) {
	for seed := range 3 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				names := []string{"c01", "c02", "c03", "c04", "c05"}
				for _, name := range names {
					w.start(name)
				}
				w.formed(names...)
				p := startProposers([]*node{w.nodes["c01"], w.nodes["c02"], w.nodes["c03"], w.nodes["c04"], w.nodes["c05"]}, 2)
				time.Sleep(time.Duration(50+seed*37) * time.Millisecond)
				for range 2 {
					l := w.leader()
					require.NotNil(t, l)
					began := time.Now()
					w.kill(l.name)
					names = slices.DeleteFunc(names, func(s string) bool { return s == l.name })
					w.formed(names...)
					t.Log("leader lost and given up after", time.Since(began))
					require.Less(t, time.Since(began), 4*time.Second)
					time.Sleep(100 * time.Millisecond)
				}
				p.stop()
				p.check(t, w.converge(names...))
			})
		})
	}
}

func TestProposalsSurviveLeadershipTransfer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		p := startProposers([]*node{w.nodes["c02"], w.nodes["c03"]}, 3)
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		n := w.nodes["c01"]
		delete(w.nodes, "c01")
		n.stop(t)
		eventually(t, time.Second, "the leaver is down", func() bool { return len(w.nodes["c02"].Status().Nodes) == 2 })
		require.Less(t, time.Since(began), time.Second, "an orderly leave is known at once")
		require.Equal(t, "down c01 c02", lastEvent(w.nodes["c02"].machine))
		time.Sleep(100 * time.Millisecond)
		p.stop()
		p.check(t, w.converge("c02", "c03"))
		require.Empty(t, falseEdges(w.nodes["c02"].machine), "the others went on serving")
	})
}

func lastEvent(m *machine) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[len(m.events)-1]
}

func falseEdges(m *machine) []edge {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []edge
	for _, e := range m.edges {
		if !e.serving {
			out = append(out, e)
		}
	}
	return out
}

// ProposeAsync keeps the order of the calls, also over batches and a lost leader.
func TestProposeAsyncKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		const count = 20000
		n := w.nodes["c02"]
		if w.leader() == n {
			n = w.nodes["c03"]
		}
		var mu sync.Mutex
		var order []int
		all := make(chan struct{})
		for i := range count {
			n.ProposeAsync(fmt.Appendf(nil, "a/%d", i), func(_ any, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if order = append(order, i); len(order) == count {
					close(all)
				}
			})
			if i == count/2 {
				w.kill(w.leader().name)
			}
		}
		<-all
		require.True(t, slices.IsSorted(order))
		log := n.machine.log()
		require.Len(t, log, count)
		for i, c := range log {
			require.Equal(t, fmt.Sprintf("%s:a/%d", n.name, i), c)
		}
	})
}

func TestProposeWaitsForItsContextWithoutALeader(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start("c02") // does not bootstrap
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := n.Propose(ctx, []byte("x"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		require.False(t, n.Serving())
	})
}

// A leader that stands still, and whose connections do so too, does not keep the others from agreeing longer than one that is gone.
func TestLeaderStandsStill(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		three(t, w)
		leader := w.leader()
		var others []*node
		for name, n := range w.nodes {
			if name != leader.name {
				others = append(others, n)
			}
		}
		p := startProposers(others, 2)
		time.Sleep(100 * time.Millisecond)
		w.net.Pause(leader.name)
		defer w.net.Resume(leader.name)
		began := time.Now()
		time.Sleep(50 * time.Millisecond) // what is under way now has gone to the leader
		for _, n := range others {
			_, err := n.Propose(t.Context(), []byte("after "+n.name))
			require.NoError(t, err)
		}
		require.Less(t, time.Since(began), 2*time.Second)
		p.stop()
	})
}
