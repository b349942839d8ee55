package cluster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/packets"
)

// BenchmarkForwardMessage is one message of 64 bytes from one node to a subscriber on another, over loopback sockets, with up to 256 of them
// under way.
func BenchmarkForwardMessage(b *testing.B) {
	var nodes []*shoal.Broker
	var seed string
	for i := range 2 {
		c := cluster.New(cluster.Config{Name: fmt.Sprint("n", i), Bootstrap: i == 0, GossipPort: cluster.AnyPort, Join: join(seed)})
		broker, err := shoal.New(shoal.WithAnonymous(), shoal.WithCluster(c))
		require.NoError(b, err)
		require.NoError(b, broker.Start(b.Context()))
		b.Cleanup(func() { _ = broker.Shutdown(context.Background()) })
		seed = c.Addr()
		nodes = append(nodes, broker)
	}
	for _, n := range nodes {
		require.NoError(b, n.Ready(b.Context()))
	}
	for qos := range packets.QoS(2) {
		b.Run(fmt.Sprint("QoS", qos), func(b *testing.B) {
			sub, err := nodes[1].Subscribe(b.Context(), []string{"bench"}, shoal.SubscribeOptions{QoS: qos, Buffer: 1 << 16})
			require.NoError(b, err)
			defer func() { _ = sub.Close() }()
			m := shoal.Message{TopicName: "bench", Payload: make([]byte, 64), QoS: qos}
			window := make(chan struct{}, 256)
			b.ReportAllocs()
			b.SetParallelism(128)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range b.N {
					if _, err := sub.Next(b.Context()); err != nil {
						return
					}
					<-window
				}
			}()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					window <- struct{}{}
					if err := nodes[0].Publish(context.Background(), m); err != nil {
						b.Error(err)
					}
				}
			})
			<-done
		})
	}
}

func join(seed string) []string {
	if seed == "" {
		return nil
	}
	return []string{seed}
}
