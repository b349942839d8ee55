package peer

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
)

// Guarantee 8: what is forwarded to a node about the moment in which it is lost comes back in the order in which it was forwarded.
func TestLostBatchesComeBackInOrder(t *testing.T) {
	pair(t, func(net *memnet.Network, a, _ *Mesh, _ *sink) {
		require.NoError(t, send(a, "b", "x"))
		net.Isolate("b")
		const batches = 3000
		back := make(chan int, batches)
		for i := range batches {
			if i == batches/3 {
				a.NodeDown("b")
			}
			require.True(t, a.Forward("b", []byte("y"), func(err error) {
				if !errors.Is(err, shoal.ErrNodeLost) {
					t.Errorf("batch %d: %v", i, err)
				}
				back <- i
			}))
		}
		for i := range batches {
			require.Equal(t, i, <-back)
		}
	})
}
