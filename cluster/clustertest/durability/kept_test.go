package durability_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// A QoS 2 message leaves for a session that lasts once it is kept, however it came to the session, and does not wait for another one.
func TestQoS2GoesOnceItIsKept(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		require.Equal(t, packets.NoMatchingSubscribers, pub.Post("r", "retained", 2, true))
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		sub.Subscribe(2, "r", "t")
		require.Equal(t, "retained", string(sub.Receive().Payload))
		require.Equal(t, packets.Success, pub.Post("t", "live", 2, false))
		require.Equal(t, "live", string(sub.Receive().Payload))

		c.Kill(0)
		require.Equal(t, packets.Success, pub.Post("t", "to the heir", 2, false))
		sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
		require.Equal(t, "to the heir", string(sub.Receive().Payload))
		sub.Silent(time.Second)
	})
}

// C3, while the node goes on running: one that was cut off for long learns from a snapshot where everything is now.
func TestC3SnapshotForARunningNode(t *testing.T) {
	config := clustertest.WithConfig(func(_ int, cfg *cluster.Config) { cfg.SnapshotEntries, cfg.SnapshotBytes = 8, 1 })
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		moved, stays := mqtt.Connect(t, c, 2, "moved", mqtt.Expiry(600)), mqtt.Connect(t, c, 2, "stays", mqtt.Expiry(600))
		moved.Subscribe(1, "moved", "$share/g/work")
		stays.Subscribe(2, "stays")
		c.Partition([]int{0, 1}, []int{2})
		other := mqtt.Connect(t, c, 0, "other", mqtt.Clean)
		for i := range 120 { // an entry each: the log that the node has missed is gone
			other.Subscribe(1, fmt.Sprint("f/", i))
			if i%20 == 19 {
				time.Sleep(2 * time.Second) // a snapshot is taken
			}
		}
		moved = mqtt.Connect(t, c, 1, "moved", mqtt.Expiry(600))
		require.True(t, moved.Ack.SessionPresent)
		require.Equal(t, packets.Success, other.Post("stays", "first", 2, false))
		c.Heal()
		c.AwaitServing(2)

		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		for i, code := range []packets.ReasonCode{pub.Post("moved", "x", 1, false), pub.Post("stays", "second", 2, false), pub.Post("f/119", "y", 1, false)} {
			require.Equal(t, packets.Success, code, "%d", i)
		}
		require.Equal(t, "x", string(moved.Receive().Payload))
		moved.Leave()
		require.Equal(t, packets.Success, pub.Post("work", "for who is away", 1, false)) // and not for what was left of it on this node
		moved = mqtt.Connect(t, c, 1, "moved", mqtt.Expiry(600))
		require.Equal(t, "for who is away", string(moved.Receive().Payload))
		require.Equal(t, "y", string(other.Receive().Payload))
		stays = mqtt.Connect(t, c, 2, "stays", mqtt.Expiry(600))
		require.True(t, stays.Ack.SessionPresent)
		require.Equal(t, "first", string(stays.Receive().Payload))
		require.Equal(t, "second", string(stays.Receive().Payload))
		require.Equal(t, packets.Success, other.Post("stays", "third", 2, false))
		require.Equal(t, "third", string(stays.Receive().Payload))
	}, config)
}

// A session that goes to and fro between nodes is kept with all that came for it, wherever the last of them is lost.
func TestBouncingSessionIsKept(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600)).Subscribe(2, "t")
		all := mqtt.Numbered(21)
		for i, p := range all[:20] {
			require.Equal(t, packets.Success, pub.Post("t", p, packets.QoS(1+i%2), false))
			require.True(t, mqtt.Connect(t, c, i%2, "sub", mqtt.Expiry(600)).Ack.SessionPresent) // takes nothing
		}
		c.Kill(1)
		require.Equal(t, packets.Success, pub.Post("t", all[20], 2, false))
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		for _, want := range all {
			require.Equal(t, want, string(sub.Receive().Payload))
		}
		sub.Silent(time.Second)
	})
}
