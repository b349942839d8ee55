package cluster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two clusters that were begun separately do not mix, and neither overwrites the other's log.
func TestTwoClustersStayApart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.net.Host("c01")
		w.net.Host("c02")
		said := new(lines)
		w.tune = func(c *Config) { c.Bootstrap, c.Logger = true, slog.New(said) }
		w.net.Partition([]string{"c01"}, []string{"c02"})
		w.start("c01")
		w.start("c02")
		eventually(t, 10*time.Second, "both began", func() bool { return w.nodes["c01"].Serving() && w.nodes["c02"].Serving() })
		w.propose("c01", 5)
		w.propose("c02", 7)
		w.net.Heal()
		time.Sleep(time.Minute)
		require.Equal(t, 2, said.count("ERROR node belongs to another cluster"), "each says so")
		w.propose("c01", 1)
		w.propose("c02", 1)
		require.Len(t, w.nodes["c01"].machine.log(), 6)
		require.Len(t, w.nodes["c02"].machine.log(), 8)
		require.Len(t, w.nodes["c01"].Status().Nodes, 1)
		require.Empty(t, falseEdges(w.nodes["c01"].machine))
	})
}

// Several nodes that are told to begin, and see each other, begin one cluster.
func TestAllMayBootstrap(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.tune = func(c *Config) { c.Bootstrap = true }
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c03", 3)
		require.Len(t, w.converge(names...), 3)
	})
}
