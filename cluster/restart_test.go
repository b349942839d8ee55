package cluster

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func onDisk(t *testing.T, w *world) {
	dir := t.TempDir()
	w.tune = func(c *Config) {
		c.Dir = filepath.Join(dir, c.Name)
		c.SnapshotEntries = 50
	}
}

func (w *world) propose(name string, count int) {
	w.t.Helper()
	for i := range count {
		_, err := w.nodes[name].Propose(w.t.Context(), fmt.Appendf(nil, "%s/%d", name, i))
		require.NoError(w.t, err)
	}
}

// C3, C4: a restart restores the snapshot into the live state machine, and needs no hand.
func TestRestartOfAllFromDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		onDisk(t, w)
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c02", 200)
		time.Sleep(3 * time.Second) // a snapshot
		w.propose("c03", 20)
		before := w.converge(names...)
		old := w.nodes["c01"].machine.nodesUp()
		for _, n := range w.nodes {
			w.net.Kill(n.name)
		}
		w.stopAll()
		clear(w.nodes)
		time.Sleep(time.Second)
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		eventually(t, 10*time.Second, "every node came up anew", func() bool {
			for name, inc := range w.nodes["c02"].machine.nodesUp() {
				if inc <= old[name] {
					return false
				}
			}
			return true
		})
		after := w.converge(names...)
		require.Equal(t, before, after[:len(before)])
		for _, name := range names {
			require.Positive(t, w.nodes[name].machine.restores, "%s restored a snapshot", name)
		}
		w.propose("c01", 1)
		require.Len(t, w.converge(names...), len(before)+1)
	})
}

// A restarted node gets a new incarnation, from disk or from nothing, and catches up by snapshot or log.
func TestRestartOfOne(t *testing.T) {
	for _, where := range []string{"disk", "memory"} {
		for _, who := range []string{"c01", "c03"} { // c01 bootstraps
			t.Run(where+" "+who, func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					if where == "disk" {
						onDisk(t, w)
					} else {
						w.tune = func(c *Config) { c.SnapshotEntries = 50 }
					}
					names := []string{"c01", "c02", "c03"}
					for _, name := range names {
						w.start(name)
					}
					w.formed(names...)
					w.propose("c02", 100)
					old := w.nodes["c02"].machine.nodesUp()[who]
					n := w.nodes[who]
					w.kill(who)
					<-n.closed
					_ = n.Close() // its files are free
					downAt(t, w.nodes["c02"], who)
					w.propose("c02", 200)
					time.Sleep(5 * time.Second)
					began := time.Now()
					w.start(who)
					w.formed(names...)
					t.Log("back after", time.Since(began))
					require.Greater(t, w.nodes["c02"].machine.nodesUp()[who], old)
					w.propose(who, 10)
					require.Len(t, w.converge(names...), 310)
					require.Less(t, time.Since(began), 6*time.Second)
				})
			})
		}
	}
}

// A restart within the lease: the new incarnation replaces the old one, without a NodeDown.
func TestFastRestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		for _, who := range []string{"c03", "c01", "c02"} {
			old := w.nodes[who].machine.nodesUp()[who]
			w.kill(who)
			w.start(who)
			eventually(t, 10*time.Second, "up again", func() bool { return w.nodes[who].machine.nodesUp()[who] > old })
			w.formed(names...)
		}
		w.propose("c01", 5)
		w.converge(names...)
	})
}

// C10: a node joins through a member that does not lead, and whatever the order of starting.
func TestJoinThroughAFollower(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.start("c02") // waits for somebody to begin
		time.Sleep(time.Minute)
		w.start("c01")
		w.formed("c01", "c02")
		w.tune = func(c *Config) { c.Join = []string{"c02:7946"} }
		require.Equal(t, "c01", w.leader().name)
		w.start("c03")
		w.formed("c01", "c02", "c03")
		// The first node goes; the others are a majority.
		w.kill("c01")
		w.formed("c02", "c03")
		w.propose("c03", 3)
	})
}

// "A cluster that never recovers after losing two of three nodes even when both return."
func TestLossOfTheMajority(t *testing.T) {
	for _, where := range []string{"disk", "memory"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				if where == "disk" {
					onDisk(t, w)
				}
				names := []string{"c01", "c02", "c03"}
				for _, name := range names {
					w.start(name)
				}
				w.formed(names...)
				w.propose("c03", 30)
				for _, name := range []string{"c01", "c02"} {
					n := w.nodes[name]
					w.kill(name)
					<-n.closed
					_ = n.Close()
				}
				time.Sleep(time.Minute)
				require.False(t, w.nodes["c03"].Serving())
				w.start("c01")
				w.start("c02")
				w.formed(names...)
				w.propose("c01", 1)
				require.Len(t, w.converge(names...), 31)
			})
		})
	}
}

// Everything comes back at other addresses and ports.
func TestRestartAtOtherAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		onDisk(t, w)
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c02", 10)
		for _, n := range w.nodes {
			w.net.Kill(n.name)
		}
		w.stopAll()
		clear(w.nodes)
		onDiskTune := w.tune
		w.tune = func(c *Config) {
			onDiskTune(c)
			c.RaftPort, c.PeerPort = 0, 0
			c.GossipPort = 7000
			c.Join = []string{"10.0.0.3:7000"}
		}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c02", 10)
		require.Len(t, w.converge(names...), 20)
	})
}

// A lost node counts for the majority until RemoveLostAfter: of five, two may be lost, and then a third.
func TestLostVotersAreRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.tune = func(c *Config) { c.RemoveLostAfter = time.Minute }
		names := []string{"c01", "c02", "c03", "c04", "c05"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.kill("c04")
		w.kill("c05")
		w.formed(names[:3]...)
		time.Sleep(2 * time.Minute)
		w.kill("c03")
		w.formed("c01", "c02")
		w.propose("c01", 1)
		// One that was removed may come back.
		w.start("c05")
		w.formed("c01", "c02", "c05")
		time.Sleep(2 * time.Minute) // c03 is removed
		w.kill("c01")
		w.formed("c02", "c05")
	})
}

func TestRaftOverGRPC(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.tune = func(c *Config) { c.RaftOverGRPC = c.Name != "c03" } // both ways mix
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		w.propose("c02", 100)
		w.kill(w.leader().name)
		eventually(t, 10*time.Second, "a new leader", func() bool { return w.leader() != nil })
		for name := range w.nodes {
			w.propose(name, 10)
		}
	})
}
