package membership_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// said keeps what is logged.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// count returns how many lines contain all the words.
func (s *said) count(words ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
lines:
	for line := range strings.Lines(s.buf.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		n++
	}
	return n
}

// Guarantee 10: nodes of the next version take the places of those of this one, one after another, under load. The cluster goes to the next level when the
// last has been upgraded, and not before; nothing is lost, and nothing of QoS 2 comes twice.
func TestRollingUpgrade(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		l := startLoad(t, c, 50*time.Millisecond)
		for i := range c.Nodes() {
			time.Sleep(2 * time.Second)
			for k := range c.Nodes() {
				require.Equal(t, 1, c.Node(k).Status().Level)
			}
			c.Stop(i)
			time.Sleep(2 * time.Second) // of those that are left, all may be new: the level waits for the one that is away
			require.Equal(t, 1, c.Node((i+1)%3).Status().Level)
			c.Upgrade(i, 1, 2)
			c.Restart(i)
		}
		for i := range c.Nodes() {
			eventually(t, 5*time.Second, "the next level", func() bool { return c.Node(i).Status().Level == 2 })
		}
		time.Sleep(3 * time.Second) // a snapshot is among what is of the next level now
		c.Stop(0)
		c.Restart(0)
		time.Sleep(2 * time.Second)
		l.end()
	}, clustertest.WithConfig(func(_ int, c *cluster.Config) { c.SnapshotEntries = 200 }))
}

// A node that is too old for the level of its cluster is refused, and says so, as does the cluster: whether it is new there, or has been there before and
// has gone back to an earlier version. With the right version it is welcome.
func TestTooOldNodeIsRefused(t *testing.T) {
	for name, late := range map[string]func(c *clustertest.Cluster) int{
		"a new one": func(c *clustertest.Cluster) int { return c.AddStopped() },
		"a downgraded one": func(c *clustertest.Cluster) int {
			c.Stop(2)
			return 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := new(said)
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				for i := range 3 {
					c.Stop(i)
					c.Upgrade(i, 1, 2)
					c.Restart(i)
				}
				eventually(t, 5*time.Second, "the next level", func() bool { return c.Node(0).Status().Level == 2 })
				sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				node := late(c)
				c.Upgrade(node, 1, 1)
				c.StartAgain(node)
				pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
				for _, p := range mqtt.Numbered(20) {
					require.Equal(t, packets.Success, pub.Post("t", p, 1, false))
					time.Sleep(time.Second)
				}
				require.False(t, c.Node(node).Status().Serving)
				said := s.count("ERROR", "speaks=1-1", "node="+c.Node(node).Name, "this ")
				require.Equal(t, 1, said, "the node says so once: %s", s.buf.String())
				c.Stop(node)
				c.Upgrade(node, 1, 2)
				c.Restart(node)
				require.Equal(t, packets.Success, mqtt.Connect(t, c, node, "other", mqtt.Clean).Post("t", "from there", 1, false))
				for _, p := range append(mqtt.Numbered(20), "from there") {
					require.Equal(t, p, string(sub.Receive().Payload))
				}
			}, clustertest.WithDisk(), clustertest.WithLogger(slog.New(slog.NewTextHandler(s, nil))))
			if name == "a new one" {
				require.Equal(t, 1, s.count("ERROR", "node is refused: it", "node=c04"), "its cluster says so once")
			}
		})
	}
}
