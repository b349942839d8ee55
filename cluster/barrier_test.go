package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Guarantee 1 rests on this: after a Barrier every serving node has what was applied here.
func TestBarrier(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
			w.net.Host(name)
		}
		w.formed("c01", "c02", "c03")
		w.net.SetDelay("c01", "c03", 30*time.Millisecond)
		for range 20 {
			_, err := w.nodes["c01"].Propose(t.Context(), []byte("x"))
			require.NoError(t, err)
			want := len(w.nodes["c01"].machine.log())
			require.NoError(t, w.nodes["c01"].Barrier(t.Context()))
			require.GreaterOrEqual(t, len(w.nodes["c02"].machine.log()), want)
			require.GreaterOrEqual(t, len(w.nodes["c03"].machine.log()), want)
		}
	})
}

func TestBarriersShareRounds(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		for _, name := range []string{"c02", "c03"} {
			w.net.SetDelay("c01", name, 10*time.Millisecond)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { require.NoError(t, w.nodes["c01"].Barrier(t.Context())) })
		}
		wg.Wait()
		require.Less(t, time.Since(began), 50*time.Millisecond, "a thousand barriers take two rounds")
	})
}

// A node that is gone holds a Barrier up no longer than its lease, and what it takes to agree on its loss.
func TestBarrierWaitsForALostNodesLease(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		lost, self := w.nodes["c03"], w.nodes["c02"]
		if w.leader() == lost {
			lost, self = self, lost
		}
		w.net.Isolate(lost.name)
		_, err := self.Propose(t.Context(), []byte("x"))
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, self.Barrier(t.Context()))
		require.False(t, lost.Serving(), "the barrier returned while a node without the command served")
		t.Log("barrier took", time.Since(began))
		require.Less(t, time.Since(began), DefaultLeaseDuration+300*time.Millisecond)
	})
}

// With only the link between two nodes cut, the leader knows what the other has applied.
func TestBarrierOverACutLink(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		var followers []*node
		for _, n := range w.nodes {
			if n != w.leader() {
				followers = append(followers, n)
			}
		}
		a, b := followers[0], followers[1]
		w.net.Cut(a.name, b.name)
		w.net.Cut(b.name, a.name)
		_, err := a.Propose(t.Context(), []byte("x"))
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, a.Barrier(t.Context()))
		t.Log("barrier took", time.Since(began))
		require.Less(t, time.Since(began), DefaultLeaseDuration)
		require.True(t, b.Serving(), "it was not given up")
		require.Contains(t, b.machine.log(), a.name+":x")
	})
}

func TestBarrierEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		w.net.Isolate("c02")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, w.nodes["c02"].Barrier(ctx), context.DeadlineExceeded)
	})
}
