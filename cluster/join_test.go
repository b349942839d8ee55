package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dns is a Resolver whose names change.
type dns struct {
	mu    sync.Mutex
	addrs map[string][]string
	asked map[string]int
}

func (d *dns) LookupHost(_ context.Context, host string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[host]++
	if len(d.addrs[host]) == 0 {
		return nil, fmt.Errorf("no such host %q", host)
	}
	return d.addrs[host], nil
}

func (d *dns) questions(host string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[host]
}

func (d *dns) set(host string, addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs[host] = addrs
}

// Names are looked up at every attempt, each of their addresses is asked, and a node that finds nobody goes on for ever. When all nodes come
// back at other addresses, the name leads them together again.
func TestJoinByName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		onDisk(t, w)
		disk := w.tune
		names := &dns{addrs: make(map[string][]string), asked: make(map[string]int)}
		move := "" // of the hosts
		w.tune = func(c *Config) {
			disk(c)
			c.Join, c.Resolver = []string{"nodes.example:7946"}, names
			c.Network = w.net.Host(c.Name + move)
		}
		all := []string{"c01", "c02", "c03"}
		for _, name := range all {
			w.start(name)
		}
		time.Sleep(10 * time.Minute) // the name is not there yet
		require.Len(t, w.nodes["c01"].Status().Nodes, 1)
		require.Empty(t, w.nodes["c02"].Status().Nodes)
		require.Greater(t, names.questions("nodes.example"), 3*600)
		ip := func(host string) string { return w.net.Host(host).IP() }
		names.set("nodes.example", "10.9.9.9", ip("c03"), ip("c02")) // nobody is at the first
		w.formed("c02", "c03", "c01")
		w.propose("c02", 10)

		for _, n := range w.nodes {
			w.net.Kill(n.name)
		}
		w.stopAll()
		clear(w.nodes)
		move = "-moved"
		for _, name := range all {
			w.start(name)
		}
		time.Sleep(time.Minute) // each finds nobody where it looks
		require.False(t, w.nodes["c01"].Serving())
		names.set("nodes.example", ip("c02-moved"))
		w.formed(all...)
		w.propose("c03", 10)
		require.Len(t, w.converge(all...), 20)
	})
}

// lines is a handler that keeps what is logged at Warn and above.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *lines) WithGroup(string) slog.Handler                    { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.all = append(l.all, line)
	return nil
}

// count returns how many lines contain text.
func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A node that finds nobody says so.
func TestLonelyNodeSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		said := new(lines)
		w.tune = func(c *Config) { c.Logger = slog.New(said) }
		w.start("c02")
		time.Sleep(time.Minute)
		require.Equal(t, 1, said.count("no other node is found"))
	})
}

// proposes expects a node to take part.
func proposes(t *testing.T, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := n.Propose(ctx, []byte("x"))
	require.NoError(t, err)
}

// Of two nodes of one name the first keeps it, whatever state the second one has; both say so. When the first has gone, the second one takes part.
func TestTwoNodesOfOneName(t *testing.T) {
	for _, overGRPC := range []bool{false, true} {
		t.Run(fmt.Sprintf("raft over gRPC %t", overGRPC), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				first, second := new(lines), new(lines)
				w.tune = func(c *Config) {
					c.RaftOverGRPC = overGRPC
					if c.Name == "c02" {
						c.Logger = slog.New(first)
					}
				}
				all := []string{"c01", "c02", "c03"}
				for _, name := range all {
					w.start(name)
				}
				w.formed(all...)
				incarnation := w.nodes["c01"].machine.nodesUp()["c02"]
				twin := begin(t, Config{
					Name: "c02", GossipPort: 7946, RaftPort: 8946, PeerPort: 9946, RaftOverGRPC: overGRPC,
					Network: w.net.Host("twin"), Logger: slog.New(second), Join: []string{"c03:7946"},
				})
				w.nodes["twin"] = twin
				for range 30 {
					time.Sleep(time.Second)
					proposes(t, w.nodes["c02"])
				}
				require.False(t, twin.Serving())
				require.Empty(t, twin.machine.log())
				require.Equal(t, incarnation, w.nodes["c01"].machine.nodesUp()["c02"])
				for _, name := range all {
					require.Empty(t, falseEdges(w.nodes[name].machine), "%s served all the time", name)
				}
				require.Equal(t, 1, second.count("WARN another node has this one's name"))
				require.Equal(t, 1, second.count("ERROR two nodes have the same name"))
				require.Zero(t, first.count("another node has this one's name"))
				require.Equal(t, 1, first.count("ERROR two nodes have the same name"))

				w.kill("c02")
				eventually(t, 20*time.Second, "the second takes the name", twin.Serving)
				proposes(t, twin)
				require.Len(t, twin.machine.log(), 31)
			})
		})
	}
}

// A node stands still until it is given up and another one has its name. When it goes on, it finds the name taken, and disturbs nobody.
func TestNamesakeOfANodeThatStoodStill(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		all := []string{"c01", "c02", "c03"}
		for _, name := range all {
			w.start(name)
		}
		w.formed(all...)
		w.net.Pause("c02")
		twin := begin(t, Config{
			Name: "c02", GossipPort: 7946, RaftPort: 8946, PeerPort: 9946, Network: w.net.Host("twin"), Logger: testLogger(), Join: []string{"c03:7946"},
		})
		w.nodes["twin"] = twin
		eventually(t, time.Minute, "the other one takes the name", twin.Serving)
		incarnation := w.nodes["c01"].machine.nodesUp()["c02"]
		w.net.Resume("c02")
		for range 60 {
			time.Sleep(time.Second)
			proposes(t, twin)
			require.False(t, w.nodes["c02"].Serving())
		}
		require.Equal(t, incarnation, w.nodes["c01"].machine.nodesUp()["c02"])
	})
}
