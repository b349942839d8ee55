package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThreeNodesForm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		began := time.Now()
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		t.Log("formed after", time.Since(began))
		for _, n := range w.nodes {
			began := time.Now()
			r, err := n.Propose(t.Context(), []byte("hello"))
			require.NoError(t, err)
			require.NotNil(t, r)
			t.Log(n.name, "proposed", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, w.nodes["c02"].Barrier(ctx))
		require.Len(t, w.nodes["c01"].machine.log(), 3)
		answer, err := w.nodes["c01"].Call(ctx, "c03", []byte("what"))
		require.NoError(t, err)
		require.Equal(t, "c01 asked what", string(answer))
		done := make(chan error, 100)
		for i := range 100 {
			w.nodes["c01"].Forward("c03", []byte(fmt.Sprint(i)), func(err error) { done <- err })
		}
		for range 100 {
			require.NoError(t, <-done)
		}
		require.Len(t, w.nodes["c03"].machine.from("c01"), 100)
	})
}
