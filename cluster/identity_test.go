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
		eventually(t, 20*time.Second, "both began", func() bool { return w.nodes["c01"].Serving() && w.nodes["c02"].Serving() })
		w.propose("c01", 5)
		w.propose("c02", 7)
		w.net.Heal()
		time.Sleep(time.Minute)
		require.Equal(t, 2, said.count("ERROR two clusters see each other"), "each says so")
		require.Equal(t, 1, said.count("keep this cluster, which has more"))
		require.Equal(t, 1, said.count("keep the cluster of node c02, since this one has less"))
		w.propose("c01", 1)
		w.propose("c02", 1)
		require.Len(t, w.nodes["c01"].machine.log(), 6)
		require.Len(t, w.nodes["c02"].machine.log(), 8)
		require.Len(t, w.nodes["c01"].Status().Nodes, 1)
		require.Empty(t, falseEdges(w.nodes["c01"].machine))
	})
}

// The empty newcomer is not to tell a cluster of three to be wiped: both say that the larger one is to be kept. The newcomer may also have the name of one of the three, which has
// come back with nothing.
func TestTheLargerClusterIsKept(t *testing.T) {
	for _, name := range []string{"c01", "c09"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				three, other := new(lines), new(lines)
				w.tune = func(c *Config) { c.Logger = slog.New(three) }
				for _, n := range []string{"c01", "c02", "c03"} {
					w.start(n)
				}
				w.formed("c01", "c02", "c03")
				w.propose("c02", 20)
				if name == "c01" {
					w.kill("c01")
					time.Sleep(time.Minute)
				}
				w.tune = func(c *Config) { c.Logger, c.Bootstrap = slog.New(other), true }
				w.net.Host(name)
				w.net.Isolate(name)
				w.start(name)
				eventually(t, time.Minute, "it has begun a second cluster", func() bool { return w.nodes[name].Serving() })
				w.propose(name, 100) // many entries are not many voters
				w.net.Heal()
				time.Sleep(2 * time.Minute)
				require.Equal(t, 1, three.count("keep this cluster, which has more"))
				require.Zero(t, three.count("keep the cluster of"))
				require.Zero(t, other.count("keep this cluster"))
				require.Positive(t, other.count("keep the cluster of node c0"))
				require.Positive(t, other.count("stop the nodes of this cluster, ["+name+"]"))
			})
		})
	}
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
