package clustertest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestBanEverywhere holds that a ban is agreed on: it ends the connection on another node, holds on every node when Ban returns, and is
// known to a node that was away, by its log or by a snapshot.
func TestBanEverywhere(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		refused := func(node int, id string) {
			t.Helper()
			cl := mqtt.Dial(t, c, node)
			cl.SendConnect(id, mqtt.Clean)
			require.Equal(t, packets.Banned, mqtt.Expect[*packets.ConnAck](cl).ReasonCode)
			cl.Closed()
		}
		bad, good := mqtt.Connect(t, c, 2, "bad", mqtt.Clean), mqtt.Connect(t, c, 2, "good", mqtt.Clean)
		require.NoError(t, c.Node(0).Broker().Ban(t.Context(), shoal.Ban{ClientID: "bad", Until: time.Now().Add(time.Hour)}))
		for i := range 3 {
			refused(i, "bad")
			require.Len(t, c.Node(i).Broker().Bans(), 1)
		}
		require.Equal(t, packets.AdministrativeAction, bad.Closed().ReasonCode)
		require.Equal(t, packets.Success, good.Post("t", "m", 1, false)&^packets.NoMatchingSubscribers)

		c.Kill(2)
		require.NoError(t, c.Node(1).Broker().Ban(t.Context(), shoal.Ban{ClientID: "worse"}))
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		for i := range 60 { // so that a snapshot is taken
			sub.Subscribe(1, fmt.Sprint("t/", i))
		}
		found, err := c.Node(0).Broker().Unban(t.Context(), shoal.Ban{ClientID: "bad"})
		require.NoError(t, err)
		require.True(t, found)
		c.Restart(2)
		refused(2, "worse")
		mqtt.Connect(t, c, 2, "bad", mqtt.Clean)

		c.Partition([]int{0}, []int{1, 2})
		short, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		require.Error(t, c.Node(0).Broker().Ban(short, shoal.Ban{ClientID: "nobody"}), "a node without the others bans nobody")
	}, clustertest.WithDisk(), clustertest.WithConfig(func(_ int, cfg *cluster.Config) { cfg.SnapshotEntries = 8 }))
}

// TestFlappingBansEverywhere holds that a client that connects too often to one node is kept out of all.
func TestFlappingBansEverywhere(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		for range 3 {
			mqtt.Connect(t, c, 0, "flaps", mqtt.Clean)
		}
		refused := func(node int) {
			t.Helper()
			cl := mqtt.Dial(t, c, node)
			cl.SendConnect("flaps", mqtt.Clean)
			require.Equal(t, packets.Banned, mqtt.Expect[*packets.ConnAck](cl).ReasonCode)
			cl.Closed()
		}
		refused(0)
		time.Sleep(time.Second) // the refusal does not wait until the others know
		for i := range 3 {
			refused(i)
		}
		time.Sleep(time.Minute)
		mqtt.Connect(t, c, 1, "flaps", mqtt.Clean)
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithFlapping(shoal.Flapping{Connections: 3, Window: time.Minute, Ban: time.Minute})}
	}))
}
