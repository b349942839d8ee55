package clustertest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// A QoS 2 message leaves for a session that lasts once it is kept, however it came to the session, and does not wait for another one.
func TestQoS2GoesOnceItIsKept(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := connect(t, c, 1, "pub", clean)
		require.Equal(t, packets.NoMatchingSubscribers, pub.post("r", "retained", 2, true))
		sub := connect(t, c, 0, "sub", expiry(600))
		sub.subscribe(2, "r", "t")
		require.Equal(t, "retained", string(sub.receive().Payload))
		require.Equal(t, packets.Success, pub.post("t", "live", 2, false))
		require.Equal(t, "live", string(sub.receive().Payload))

		c.Kill(0)
		require.Equal(t, packets.Success, pub.post("t", "to the heir", 2, false))
		sub = connect(t, c, 1, "sub", expiry(600))
		require.Equal(t, "to the heir", string(sub.receive().Payload))
		sub.silent(time.Second)
	})
}

// C3, while the node goes on running: one that was cut off for long learns from a snapshot where everything is now.
func TestC3SnapshotForARunningNode(t *testing.T) {
	config := clustertest.WithConfig(func(_ int, cfg *cluster.Config) { cfg.SnapshotEntries, cfg.SnapshotBytes = 8, 1 })
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		moved, stays := connect(t, c, 2, "moved", expiry(600)), connect(t, c, 2, "stays", expiry(600))
		moved.subscribe(1, "moved", "$share/g/work")
		stays.subscribe(2, "stays")
		c.Partition([]int{0, 1}, []int{2})
		other := connect(t, c, 0, "other", clean)
		for i := range 120 { // an entry each: the log that the node has missed is gone
			other.subscribe(1, fmt.Sprint("f/", i))
			if i%20 == 19 {
				time.Sleep(2 * time.Second) // a snapshot is taken
			}
		}
		moved = connect(t, c, 1, "moved", expiry(600))
		require.True(t, moved.ack.SessionPresent)
		require.Equal(t, packets.Success, other.post("stays", "first", 2, false))
		c.Heal()
		c.AwaitServing(2)

		pub := connect(t, c, 2, "pub", clean)
		for i, code := range []packets.ReasonCode{pub.post("moved", "x", 1, false), pub.post("stays", "second", 2, false), pub.post("f/119", "y", 1, false)} {
			require.Equal(t, packets.Success, code, "%d", i)
		}
		require.Equal(t, "x", string(moved.receive().Payload))
		moved.leave()
		require.Equal(t, packets.Success, pub.post("work", "for who is away", 1, false)) // and not for what was left of it on this node
		moved = connect(t, c, 1, "moved", expiry(600))
		require.Equal(t, "for who is away", string(moved.receive().Payload))
		require.Equal(t, "y", string(other.receive().Payload))
		stays = connect(t, c, 2, "stays", expiry(600))
		require.True(t, stays.ack.SessionPresent)
		require.Equal(t, "first", string(stays.receive().Payload))
		require.Equal(t, "second", string(stays.receive().Payload))
		require.Equal(t, packets.Success, other.post("stays", "third", 2, false))
		require.Equal(t, "third", string(stays.receive().Payload))
	}, config)
}

// A session that goes to and fro between nodes is kept with all that came for it, wherever the last of them is lost.
func TestBouncingSessionIsKept(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub := connect(t, c, 2, "pub", clean)
		connect(t, c, 0, "sub", expiry(600)).subscribe(2, "t")
		all := numbered(21)
		for i, p := range all[:20] {
			require.Equal(t, packets.Success, pub.post("t", p, packets.QoS(1+i%2), false))
			require.True(t, connect(t, c, i%2, "sub", expiry(600)).ack.SessionPresent) // takes nothing
		}
		c.Kill(1)
		require.Equal(t, packets.Success, pub.post("t", all[20], 2, false))
		sub := connect(t, c, 0, "sub", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		for _, want := range all {
			require.Equal(t, want, string(sub.receive().Payload))
		}
		sub.silent(time.Second)
	})
}
