package durability_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestDurabilityDecidesTheWait holds what each durability waits for: with nodes far from each other, PUBACK from a session's own node comes
// at once, or after the others have been asked; and that what was acknowledged by a quorum or its disks outlives the node, whichever
// way the message has taken there.
func TestDurabilityDecidesTheWait(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
				sub.Subscribe(qos, "#")
				sub.Leave()
				near, far := mqtt.Connect(t, c, 0, "near", mqtt.Clean), mqtt.Connect(t, c, 1, "far", mqtt.Clean)
				time.Sleep(time.Second)
				for a := range 3 {
					for b := range 3 {
						c.Network().SetDelay(c.Node(a).Name, c.Node(b).Name, delay)
					}
				}
				took := func(cl *mqtt.Client, topic string) time.Duration {
					began := time.Now()
					require.Equal(t, packets.Success, cl.Post(topic, topic, qos, false))
					return time.Since(began)
				}
				require.Less(t, took(near, "memory/1"), delay)
				require.GreaterOrEqual(t, took(near, "quorum/1"), 2*delay)
				require.GreaterOrEqual(t, took(near, "fsync/1"), 2*delay)
				// To the session's node and back; the others are asked from there.
				require.GreaterOrEqual(t, took(far, "memory/2"), 2*delay)
				require.Less(t, took(far, "memory/3"), 4*delay)
				require.GreaterOrEqual(t, took(far, "quorum/2"), 4*delay)
				require.GreaterOrEqual(t, took(far, "fsync/2"), 4*delay)
				c.Kill(0)
				sub = mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				got := make(map[string]bool)
				for range 7 {
					got[sub.Receive().TopicName] = true
				}
				require.Len(t, got, 7)
			}, clustertest.WithDisk(), clustertest.WithBroker(func(int) []shoal.Option {
				return []shoal.Option{shoal.WithAnonymous(), shoal.WithDurability(shoal.Durabilities{
					Topics: map[string]shoal.Durability{"memory": shoal.DurabilityMemory, "fsync": shoal.DurabilityFsync},
				})}
			}))
		})
	}
}

// TestDurabilityOfMessage holds that a program may ask for more, or less, with a message.
func TestDurabilityOfMessage(t *testing.T) {
	const delay = 20 * time.Millisecond
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		sub.Subscribe(1, "#")
		sub.Leave()
		time.Sleep(time.Second)
		for _, far := range []int{1, 2} {
			c.Network().SetDelay(c.Node(0).Name, c.Node(far).Name, delay)
			c.Network().SetDelay(c.Node(far).Name, c.Node(0).Name, delay)
		}
		took := func(d shoal.Durability) time.Duration {
			began := time.Now()
			require.NoError(t, c.Node(0).Broker().Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1, Durability: d}))
			return time.Since(began)
		}
		require.Less(t, took(shoal.DurabilityDefault), delay)
		require.GreaterOrEqual(t, took(shoal.DurabilityQuorum), 2*delay)
		require.GreaterOrEqual(t, took(shoal.DurabilityFsync), 2*delay)
	}, clustertest.WithDisk(), clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithDurability(shoal.Durabilities{Broker: shoal.DurabilityMemory})}
	}))
}
