package clustertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestDeliveryPerSubscription holds that the option does the same for publishers on other nodes, and that the copies move with the session.
func TestDeliveryPerSubscription(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean, mqtt.Expiry(600))
		for i, filter := range []string{"a/b", "a/+", "#"} {
			sub.Send(&packets.Subscribe{
				PacketID: uint16(100 + i), Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: 1}},
				Properties: packets.Properties{SubscriptionIdentifiers: []uint32{uint32(i + 1)}},
			})
			mqtt.Expect[*packets.SubAck](sub)
		}
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		receive := func() {
			seen := make(map[uint32]bool)
			for range 3 {
				ids := sub.Receive().Properties.SubscriptionIdentifiers
				require.Len(t, ids, 1)
				seen[ids[0]] = true
			}
			require.Len(t, seen, 3)
			sub.Silent(0)
		}
		pub.Post("a/b", "m", 1, false)
		receive()
		sub.Drop()
		pub.Post("a/b", "m", 1, false)
		sub = mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600))
		receive()
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithDeliveryPerSubscription()}
	}))
}

// TestStoppingNodeNamesAnother holds that clients of a node that stops are told where to go instead.
func TestStoppingNodeNamesAnother(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		cl := mqtt.Connect(t, c, 0, "c", mqtt.Clean)
		var others []string
		for _, node := range c.Node(0).Status().Nodes {
			if node.Name != c.Node(0).Name {
				others = append(others, node.ServerReference)
			}
		}
		require.Len(t, others, 2)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			c.Stop(0)
		}()
		d := cl.Closed()
		<-stopped
		require.NotNil(t, d)
		require.Equal(t, packets.UseAnotherServer, d.ReasonCode)
		require.Contains(t, others, d.Properties.ServerReference.Value)
		require.NotEmpty(t, d.Properties.ServerReference.Value)
		require.NotEmpty(t, d.Properties.ReasonString.Value)
	})
}
