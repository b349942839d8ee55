package cluster

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// onLoopback starts three nodes on real sockets, with ports that the system picks.
func onLoopback(t testing.TB, tune func(*Config)) []*node {
	t.Helper()
	var nodes []*node
	var join []string
	for _, name := range []string{"c01", "c02", "c03"} {
		cfg := Config{Name: name, Bootstrap: name == "c01", GossipPort: AnyPort, Join: join, Logger: testLogger().With("on", name)}
		if tune != nil {
			tune(&cfg)
		}
		n := begin(t, cfg)
		nodes = append(nodes, n)
		join = []string{n.Addr()}
	}
	eventually(t, 20*time.Second, "a cluster on loopback", func() bool {
		for _, n := range nodes {
			if !n.Serving() || len(n.Status().Nodes) != 3 {
				return false
			}
		}
		return true
	})
	return nodes
}

func stopNodes(t testing.TB, nodes []*node) {
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() { n.stop(t) })
	}
	wg.Wait()
}

func TestLoopback(t *testing.T) {
	for _, overGRPC := range []bool{false, true} {
		t.Run(fmt.Sprintf("RaftOverGRPC=%v", overGRPC), func(t *testing.T) {
			dir := t.TempDir()
			nodes := onLoopback(t, func(c *Config) {
				c.RaftOverGRPC = overGRPC
				c.Dir = filepath.Join(dir, c.Name)
			})
			defer stopNodes(t, nodes)
			p := startProposers(nodes, 4)
			large := bytes.Repeat([]byte("x"), 20<<20)
			const count = 2000
			done := make(chan error, count+1)
			for i := range count {
				nodes[0].Forward("c03", fmt.Appendf(nil, "%d", i), func(err error) { done <- err })
				if i == count/2 {
					nodes[0].Forward("c03", large, func(err error) { done <- err })
				}
			}
			for range count + 1 {
				require.NoError(t, <-done)
			}
			require.Len(t, nodes[2].machine.from("c01"), count+1)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for _, n := range nodes {
				require.NoError(t, n.Barrier(ctx))
			}
			answer, err := nodes[1].Call(ctx, "c01", []byte("x"))
			require.NoError(t, err)
			require.Equal(t, "c02 asked x", string(answer))
			p.stop()
			w := &world{t: t, nodes: map[string]*node{"c01": nodes[0], "c02": nodes[1], "c03": nodes[2]}}
			p.check(t, w.converge("c01", "c02", "c03"))
		})
	}
}

// A second broker on the same Dir is told so, and does not hang.
func TestDirInUse(t *testing.T) {
	dir := t.TempDir()
	n := begin(t, Config{Name: "c01", Bootstrap: true, Dir: dir})
	defer n.stop(t)
	c := New(Config{Name: "c01", Dir: dir})
	self, err := c.Self()
	require.NoError(t, err)
	require.ErrorContains(t, c.Start(t.Context(), self, newMachine()), "in use")
	require.NoError(t, c.Close())
}
