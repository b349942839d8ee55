package cluster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node that does not serve says after a few seconds what it sees, what is missing, and what to do; and so does its Status.
func TestNodeThatWaitsSaysForWhat(t *testing.T) {
	for _, tt := range []struct {
		what  string
		nodes []string
		tune  func(c *Config)
		want  []string // in the Reason of each
		seen  int
	}{
		{"alone, and told nothing", []string{"c02"}, func(c *Config) { c.Join = nil }, []string{"sees no other node", "Bootstrap", "Join"}, 1},
		{"alone, with Join", []string{"c02"}, nil, []string{"sees no other node", "Bootstrap"}, 1},
		{"two, and nobody begins", []string{"c02", "c03"}, nil, []string{"nobody begins a cluster", "exactly one node with Bootstrap", "ExpectNodes"}, 2},
		{"three are expected, two are there", []string{"c02", "c03"}, func(c *Config) { c.ExpectNodes = 3 }, []string{"ExpectNodes, 3,", "1 of them are missing"}, 2},
	} {
		t.Run(tt.what, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				said := new(lines)
				w.tune = func(c *Config) {
					c.Logger = slog.New(said)
					c.Join = []string{w.net.Host("c02").IP() + ":7946"}
					if tt.tune != nil {
						tt.tune(c)
					}
				}
				for _, name := range tt.nodes {
					w.start(name)
				}
				time.Sleep(10 * time.Second)
				for _, name := range tt.nodes {
					s := w.nodes[name].Status()
					for _, part := range tt.want {
						require.Contains(t, s.Reason, part, name)
					}
					require.Len(t, s.Seen, tt.seen, name)
				}
				require.Equal(t, len(tt.nodes), said.count("WARN this node does not serve"))
				time.Sleep(4 * time.Minute)
				require.Equal(t, len(tt.nodes), said.count("WARN this node does not serve"), "it does not repeat itself")
				time.Sleep(2 * time.Minute)
				require.Equal(t, 2*len(tt.nodes), said.count("WARN this node does not serve"), "but for now and then")
			})
		})
	}
}

// Without a majority, each node that is left says which voters are missing, and how many are needed.
func TestNodeWithoutMajoritySaysWhoIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		require.Empty(t, w.nodes["c01"].Status().Reason)
		require.Empty(t, w.nodes["c01"].Status().Missing)
		require.Equal(t, 2, w.nodes["c01"].Status().Majority)
		w.kill("c02")
		w.kill("c03")
		time.Sleep(20 * time.Second)
		s := w.nodes["c01"].Status()
		require.Equal(t, []string{"c02", "c03"}, s.Missing)
		require.Contains(t, s.Reason, "2 of 3 voters decide, and 1 are to be seen; missing: [c02 c03]")
		w.start("c02")
		w.formed("c01", "c02")
		require.Empty(t, w.nodes["c01"].Status().Reason)
	})
}

// A node that is told to begin a cluster, and to join others, looks for them for some time: a cluster that it is cut off from for a moment is not begun again.
func TestBootstrapLooksForThoseItIsToJoin(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for _, name := range []string{"c01", "c02", "c03"} {
			w.start(name)
		}
		w.formed("c01", "c02", "c03")
		w.kill("c01") // it comes back with nothing, and with Bootstrap
		time.Sleep(time.Minute)
		w.net.Partition([]string{"c01"}, []string{"c02", "c03"})
		w.start("c01")
		time.Sleep(6 * time.Second)
		require.Empty(t, w.nodes["c01"].Status().Voters, "it has begun a second cluster")
		w.net.Heal()
		w.formed("c01", "c02", "c03")
	})
}
