package clustertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// TestDeliveryPerSubscription holds that the option does the same for publishers on other nodes, and that the copies move with the session.
func TestDeliveryPerSubscription(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "sub", clean, expiry(600))
		for i, filter := range []string{"a/b", "a/+", "#"} {
			sub.send(&packets.Subscribe{
				PacketID: uint16(100 + i), Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: 1}},
				Properties: packets.Properties{SubscriptionIdentifiers: []uint32{uint32(i + 1)}},
			})
			expect[*packets.SubAck](sub)
		}
		pub := connect(t, c, 1, "pub", clean)
		receive := func() {
			seen := make(map[uint32]bool)
			for range 3 {
				ids := sub.receive().Properties.SubscriptionIdentifiers
				require.Len(t, ids, 1)
				seen[ids[0]] = true
			}
			require.Len(t, seen, 3)
			sub.silent(0)
		}
		pub.post("a/b", "m", 1, false)
		receive()
		sub.drop()
		pub.post("a/b", "m", 1, false)
		sub = connect(t, c, 2, "sub", expiry(600))
		receive()
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithDeliveryPerSubscription()}
	}))
}

// TestStoppingNodeNamesAnother holds that clients of a node that stops are told where to go instead.
func TestStoppingNodeNamesAnother(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		cl := connect(t, c, 0, "c", clean)
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
		d := cl.closed()
		<-stopped
		require.NotNil(t, d)
		require.Equal(t, packets.UseAnotherServer, d.ReasonCode)
		require.Contains(t, others, d.Properties.ServerReference.Value)
		require.NotEmpty(t, d.Properties.ServerReference.Value)
		require.NotEmpty(t, d.Properties.ReasonString.Value)
	})
}
