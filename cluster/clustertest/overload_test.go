package clustertest_test

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

// TestPublishersOnOtherNodesWaitForASubscriberThatGetsOn holds that publishers are held back for a subscriber of another node whose queue is full, without a
// loss, and that nobody else waits who publishes to that node.
func TestPublishersOnOtherNodesWaitForASubscriberThatGetsOn(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		const publishers, each, limit = 10, 100, 100
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		sub.Subscribe(1, "t")
		other := mqtt.Connect(t, c, 0, "other", mqtt.Clean)
		other.Subscribe(1, "other")
		got := make(chan int, 1)
		go func() {
			n := 0
			for ; n < publishers*each; n++ {
				p, err := sub.Read(10 * time.Second)
				if err != nil {
					break
				}
				m, ok := p.(*packets.Publish)
				if !ok {
					break
				}
				time.Sleep(5 * time.Millisecond)
				sub.Send(&packets.PubAck{PacketID: m.PacketID})
			}
			got <- n
		}()
		began := time.Now()
		took := make(chan time.Duration, publishers)
		for i := range publishers {
			pub := mqtt.Connect(t, c, 1+i%2, fmt.Sprint("pub", i), mqtt.Clean)
			go func() {
				for range each {
					pub.Post("t", "m", 1, false)
				}
				took <- time.Since(began)
			}()
		}
		bystander := mqtt.Connect(t, c, 1, "bystander", mqtt.Clean)
		longest := time.Duration(0)
		for len(took) < publishers {
			sent := time.Now()
			require.Equal(t, packets.Success, bystander.Post("other", "m", 1, false))
			longest = max(longest, time.Since(sent))
			other.Receive()
			time.Sleep(20 * time.Millisecond)
		}
		require.LessOrEqual(t, longest, 20*time.Millisecond, "a publisher who has nothing to do with the full queue waited")
		require.Equal(t, publishers*each, <-got)
		require.GreaterOrEqual(t, time.Since(began), (publishers*each-2*limit)*5*time.Millisecond)
		require.Zero(t, c.Node(0).Broker().Metrics().Dropped[shoal.DropQueueFull])
		require.NotZero(t, c.Node(1).Broker().Metrics().MessagesHeldBack)
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithLimits(shoal.Limits{QueuedMessages: 100, InFlight: 20})}
	}))
}
