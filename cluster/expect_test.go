package cluster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// expecting makes all nodes expect to be so many, and find each other.
func expecting(w *world, n int) {
	w.tune = func(c *Config) {
		c.Bootstrap, c.ExpectNodes = false, n
		c.Join = []string{"c01:7946", "c02:7946", "c03:7946", "c04:7946", "c05:7946"}
	}
	for _, name := range []string{"c01", "c02", "c03", "c04", "c05"} {
		w.net.Host(name)
	}
}

// With an expected size nobody is special: fewer begin nothing, as many begin together, all of them as voters.
func TestBeginWhenAllAreThere(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		expecting(w, 3)
		w.start("c03")
		w.start("c02")
		time.Sleep(10 * time.Minute)
		require.Empty(t, w.nodes["c03"].Status().Nodes)
		w.start("c05")
		began := time.Now()
		w.formed("c02", "c03", "c05")
		t.Log("begun after", time.Since(began))
		require.Less(t, time.Since(began), 8*time.Second)
		require.Equal(t, []string{"c02", "c03", "c05"}, w.nodes["c05"].Status().Voters)
		w.propose("c05", 3)
		w.start("c01") // its name comes first, and it begins nothing: there is a cluster
		w.formed("c01", "c02", "c03", "c05")
		require.Len(t, w.converge("c01", "c02"), 3)
	})
}

// However many nodes are there, and whatever they see of each other at first, one cluster comes about.
func TestOneClusterIsBegun(t *testing.T) {
	all := []string{"c01", "c02", "c03", "c04", "c05"}
	for name, groups := range map[string][][]string{
		"all at once": {all},
		"two apart":   {{"c01", "c02"}, {"c03", "c04", "c05"}},
		"in pairs":    {{"c01", "c02"}, {"c03", "c04"}, {"c05"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				expecting(w, 3)
				w.net.Partition(groups...)
				for _, name := range all {
					w.start(name)
				}
				time.Sleep(time.Minute)
				w.net.Heal()
				w.formed(all...)
				w.propose("c01", 2)
				w.propose("c04", 2)
				require.Len(t, w.converge(all...), 4)
				require.Len(t, w.nodes["c01"].Status().Voters, 5)
			})
		})
	}
}

// A node that has data begins no second cluster, and the others none without it, though all of them expect so many: its data is the cluster's.
func TestDataIsNotBegunAnew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		onDisk(t, w)
		disk := w.tune
		expecting(w, 3)
		expect := w.tune
		w.tune = func(c *Config) { disk(c); expect(c) }
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c01", 20)
		w.converge(names...)
		for _, n := range w.nodes {
			w.net.Kill(n.name)
		}
		w.stopAll()
		clear(w.nodes)
		w.start("c03") // the others have lost theirs
		w.tune = func(c *Config) { expect(c) }
		w.start("c01")
		w.start("c02")
		w.formed(names...)
		require.Len(t, w.converge(names...), 20)
	})
}

// Nodes that expect different numbers begin nothing, and say why.
func TestDifferentExpectations(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		said := new(lines)
		expecting(w, 3)
		expect := w.tune
		w.tune = func(c *Config) {
			expect(c)
			c.Logger = slog.New(said)
			if c.Name == "c02" {
				c.ExpectNodes = 2
			}
		}
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		time.Sleep(time.Minute)
		require.Empty(t, w.nodes["c01"].Status().Nodes)
		require.Positive(t, said.count("ERROR nodes expect different numbers"))
	})
}
