package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// Two nodes come up while raft still agrees on the removal of a voter, so that it takes up no change yet: one of them gets the place, not both.
func TestNoMoreVotersThanMay(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.tune = func(c *Config) { c.Voters = 3 }
		names := []string{"c01", "c02", "c03", "c04", "c05"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		leader := w.leader()
		voters := leader.Status().Voters
		require.Len(t, voters, 3)
		voters = slices.DeleteFunc(voters, func(name string) bool { return name == leader.name })
		gone, slow := voters[0], voters[1]
		w.nodes[gone].stop(t)
		delete(w.nodes, gone)
		time.Sleep(time.Second) // the gossip that it has left gets around
		w.net.SetDelay(slow, leader.name, 200*time.Millisecond)

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, leader.Remove(ctx, gone)) })
		for name, n := range w.nodes {
			if name == leader.name || name == slow {
				continue
			}
			wg.Go(func() {
				time.Sleep(50 * time.Millisecond)
				const nodeUp = 2
				request := nodecodec.Append(binary.AppendUvarint([]byte{1, nodeUp}, 1<<40), n.running.Load().self)
				_, err := leader.running.Load().log.Control(ctx, name, request)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		require.Len(t, leader.Status().Voters, 3)
	})
}
