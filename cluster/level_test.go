package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
	"github.com/shoalmq/shoal/cluster/internal/level"
)

// speaking is the network of a node whose program speaks certain levels.
type speaking struct {
	*memnet.Host
	levels level.Range
}

func (s speaking) Levels() level.Range { return s.levels }

// A program that finds a snapshot of a later level than it speaks does not start, and says why.
func TestSnapshotOfALaterLevel(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		onDisk(t, w)
		disk := w.tune
		w.tune = func(c *Config) {
			disk(c)
			c.Network = speaking{w.net.Host(c.Name), level.Range{Oldest: 1, Newest: 2}}
		}
		n := w.start("c01")
		eventually(t, time.Minute, "the next level", func() bool { return n.Status().Level == 2 })
		w.propose("c01", 100)
		time.Sleep(3 * time.Second) // a snapshot
		n.stop(t)
		delete(w.nodes, "c01")
		cfg := n.cfg
		cfg.Network = speaking{w.net.Host("c01"), level.Own()}
		old := New(cfg)
		self, err := old.Self()
		require.NoError(t, err)
		err = old.Start(t.Context(), self, newMachine())
		require.ErrorContains(t, err, "does not speak the level of the cluster, 2: it speaks 1-1")
		require.NoError(t, old.Close())
	})
}
