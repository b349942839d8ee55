package membership_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// damages are what may be done to a node's Dir while it is down.
func damages() map[string]func(t *testing.T, dir string) {
	return map[string]func(t *testing.T, dir string){
		"an entry of the log": func(t *testing.T, dir string) {
			segments, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
			require.NoError(t, err)
			b, err := os.ReadFile(segments[0])
			require.NoError(t, err)
			b[40] ^= 4
			require.NoError(t, os.WriteFile(segments[0], b, 0o600))
		},
		"no votes": func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "votes"))) },
		"no log":   func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "log"))) },
		"empty votes": func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, "votes"), 0))
		},
	}
}

// A node whose data is damaged gets everything from the others, and is then a voter like any other.
func TestDamagedNodeIsRebuilt(t *testing.T) {
	for what, damage := range damages() {
		t.Run(what, func(t *testing.T) {
			dirs := make(map[int]string)
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				sub.Leave()
				pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("t", "before", 1, false))
				c.Stop(0)
				damage(t, dirs[0])
				require.Equal(t, packets.Success, pub.Post("t", "meanwhile", 1, false))
				c.Restart(0)
				eventually(t, time.Minute, "it is whole again", func() bool {
					_, err := os.Stat(filepath.Join(dirs[0], "REBUILD"))
					return os.IsNotExist(err)
				})
				require.DirExists(t, filepath.Join(dirs[0], "damaged"))
				decide(t, c, time.Minute, 0, 1, 2)
				c.Kill(1)
				serves(t, c, 0, 2)
				sub = mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				require.Equal(t, "before", string(sub.Receive().Payload))
				require.Equal(t, "meanwhile", string(sub.Receive().Payload))
			}, clustertest.WithDisk(), clustertest.WithConfig(func(i int, c *cluster.Config) { dirs[i] = c.Dir }))
		})
	}
}

// A node whose data is damaged has forgotten what it answered for: without it too few are there to decide, and it does not help them out with its vote.
func TestDamagedNodeDoesNotVote(t *testing.T) {
	for what, damage := range damages() {
		t.Run(what, func(t *testing.T) {
			dirs := make(map[int]string)
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				sub.Leave()
				c.Kill(2) // it does not get what is sent now
				require.Equal(t, packets.Success, mqtt.Connect(t, c, 1, "pub", mqtt.Clean).Post("t", "known to two", 1, false))
				c.Stop(0)
				c.Kill(1)
				damage(t, dirs[0])
				c.StartAgain(0)
				c.StartAgain(2)
				time.Sleep(2 * time.Minute)
				require.False(t, c.Node(0).Status().Serving)
				require.False(t, c.Node(2).Status().Serving)
				c.Restart(1)
				c.AwaitServing(0)
				c.AwaitServing(2)
				sub = mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				require.Equal(t, "known to two", string(sub.Receive().Payload))
			}, clustertest.WithDisk(), clustertest.WithConfig(func(i int, c *cluster.Config) { dirs[i] = c.Dir }))
		})
	}
}
