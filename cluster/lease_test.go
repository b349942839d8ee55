package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// downAt polls until a node is down at another, and returns when.
func downAt(t *testing.T, at *node, name string) time.Time {
	t.Helper()
	eventually(t, 10*time.Second, name+" is given up", func() bool { _, ok := at.machine.nodesUp()[name]; return !ok })
	return time.Now()
}

// Guarantee 9: the minority stops by itself before the majority acts on its loss.
func TestPartitionedNodeStopsServingBeforeItIsGivenUp(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for _, name := range []string{"c01", "c02", "c03"} {
					w.start(name)
				}
				w.formed("c01", "c02", "c03")
				time.Sleep(3 * time.Second)
				lost, rest := w.leader(), []*node{}
				for _, n := range w.nodes {
					if n == lost {
						continue
					}
					rest = append(rest, n)
				}
				if who == "follower" {
					lost, rest[0] = rest[0], lost
				}
				cutAt := time.Now()
				w.net.Isolate(lost.name)
				eventually(t, 5*time.Second, "the minority stops serving", func() bool { return !lost.Serving() })
				stopped := time.Now()
				require.LessOrEqual(t, stopped.Sub(cutAt), DefaultLeaseDuration+10*time.Millisecond)
				for _, n := range rest {
					_, up := n.machine.nodesUp()[lost.name]
					require.True(t, up, "given up at %s before it stopped serving", n.name)
				}
				down := downAt(t, rest[0], lost.name)
				require.False(t, down.Before(stopped))
				t.Logf("stopped serving after %v, given up after %v", stopped.Sub(cutAt), down.Sub(cutAt))
				require.Less(t, down.Sub(cutAt), 4*time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := rest[0].Propose(ctx, []byte("majority"))
				require.NoError(t, err)
				short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				_, err = lost.Propose(short, []byte("minority"))
				require.Error(t, err)

				old := lost.machine.nodesUp()[lost.name]
				w.net.Heal()
				w.formed("c01", "c02", "c03")
				require.Greater(t, lost.machine.nodesUp()[lost.name], old, "a new incarnation")
				w.converge("c01", "c02", "c03")
			})
		})
	}
}

// Whatever is proposed in the minority is refused once the node finds out that it was given up.
func TestMinorityProposalsFailAfterHeal(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		n := w.nodes["c03"]
		if w.leader() == n {
			n = w.nodes["c02"]
		}
		w.net.Isolate(n.name)
		result := make(chan error, 1)
		n.ProposeAsync([]byte("lost"), func(_ any, err error) { result <- err })
		for _, other := range w.nodes {
			if other != n {
				downAt(t, other, n.name)
			}
		}
		w.net.Heal()
		require.ErrorIs(t, <-result, shoal.ErrNotReplicated)
		w.formed("c01", "c02", "c03")
		for _, c := range w.converge("c01", "c02", "c03") {
			require.NotContains(t, c, "lost")
		}
	})
}

// A short cut costs nobody a lease, and an idle cluster keeps its leases and its leader.
func TestLeasesDoNotFlap(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		leader := w.leader()
		for range 5 {
			w.net.Isolate("c03")
			time.Sleep(250 * time.Millisecond)
			w.net.Heal()
			time.Sleep(2 * time.Second)
		}
		time.Sleep(3 * time.Minute)
		require.Same(t, leader, w.leader())
		for _, n := range w.nodes {
			require.True(t, n.Serving())
			require.Empty(t, falseEdges(n.machine), n.name)
		}
		// C15: idle links are healthy.
		done := make(chan error, 1)
		w.nodes["c01"].Forward("c02", []byte("x"), func(err error) { done <- err })
		began := time.Now()
		require.NoError(t, <-done)
		require.Less(t, time.Since(began), 10*time.Millisecond)
	})
}

// A link may be slow: leases bear 20 ms each way.
func TestSlowLinks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		names := []string{"c01", "c02", "c03"}
		for _, a := range names {
			for _, b := range names {
				w.net.Host(a)
				if a != b {
					w.net.SetDelay(a, b, 20*time.Millisecond)
				}
			}
		}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		began := time.Now()
		n := w.nodes["c02"]
		_, err := n.Propose(t.Context(), []byte("x"))
		require.NoError(t, err)
		t.Log("proposed at a follower in", time.Since(began))
		require.Less(t, time.Since(began), 200*time.Millisecond)
		time.Sleep(time.Minute)
		for _, n := range w.nodes {
			require.Empty(t, falseEdges(n.machine), n.name)
		}
	})
}

func TestServingChangedFiresOnBothEdges(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		n := w.nodes["c02"]
		delete(w.nodes, "c02")
		require.NoError(t, n.Close())
		n.cancel()
		require.NoError(t, <-n.done)
		n.machine.mu.Lock()
		defer n.machine.mu.Unlock()
		require.Len(t, n.machine.edges, 2)
		require.True(t, n.machine.edges[0].serving)
		require.False(t, n.machine.edges[1].serving)
	})
}
