package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/packets"
)

// threeOnDisk starts three nodes on loopback sockets, each with a directory.
func threeOnDisk(b *testing.B) (nodes []*shoal.Broker) {
	b.Helper()
	var seed string
	for i := range 3 {
		name := fmt.Sprint("n", i)
		c := cluster.New(cluster.Config{Name: name, Bootstrap: i == 0, GossipPort: cluster.AnyPort, Join: join(seed), Dir: filepath.Join(b.TempDir(), name)})
		broker, err := shoal.New(shoal.WithAnonymous(), shoal.WithCluster(c), shoal.WithLimits(shoal.Limits{QueuedMessages: 1 << 20, QueuedBytes: 1 << 30}))
		require.NoError(b, err)
		require.NoError(b, broker.Start(b.Context()))
		b.Cleanup(func() { _ = broker.Shutdown(context.Background()) })
		seed = c.Addr()
		nodes = append(nodes, broker)
	}
	for _, n := range nodes {
		require.NoError(b, n.Ready(b.Context()))
	}
	return nodes
}

// BenchmarkDurable is one message of 64 bytes, QoS 1, from one node to a session on another that outlives its connection and is away, at each
// durability, with up to 256 of them under way. A session that is there and answers at once costs less: there is nothing to keep of it.
func BenchmarkDurable(b *testing.B) {
	nodes := threeOnDisk(b)
	var away int // sessions; a new one for each run, so that none grows without end
	for d := shoal.DurabilityMemory; d <= shoal.DurabilityFsync; d++ {
		b.Run(d.String(), func(b *testing.B) {
			away++
			topic := fmt.Sprint("bench/", away)
			require.NoError(b, leaveSession(b.Context(), nodes[1], "away "+topic, topic))
			m := shoal.Message{TopicName: topic, Payload: make([]byte, 64), QoS: 1, Durability: d}
			b.ReportAllocs()
			b.SetParallelism(128)
			var failed atomic.Int64
			dropped := nodes[1].Metrics().Dropped[shoal.DropQueueFull]
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if nodes[0].Publish(context.Background(), m) != nil {
						failed.Add(1)
					}
				}
			})
			require.Zero(b, failed.Load())
			require.Equal(b, dropped, nodes[1].Metrics().Dropped[shoal.DropQueueFull], "not all messages were kept")
		})
	}
}

// leaveSession makes a session that lasts for a minute, subscribes it, and goes away.
func leaveSession(ctx context.Context, b *shoal.Broker, id, filter string) error {
	conn, err := b.Dial(ctx)
	if err != nil {
		return err
	}
	connect := &packets.Connect{ProtocolVersion: packets.V5, ClientID: id}
	connect.Properties.SessionExpiryInterval = packets.Some(uint32(60))
	var buf []byte
	for _, p := range []packets.Packet{
		connect, &packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: filter, QoS: 1}}}, &packets.Disconnect{},
	} {
		if buf, err = packets.Append(buf, p, packets.V5); err != nil {
			return err
		}
	}
	if _, err := conn.Write(buf); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn) // until the broker has closed it
	return errors.Join(err, conn.Close())
}

// BenchmarkSubscribe is one filter of a SUBSCRIBE with a hundred, until every node knows it, with up to 256 SUBSCRIBEs under way.
func BenchmarkSubscribe(b *testing.B) {
	nodes := threeOnDisk(b)
	var next atomic.Int64
	b.SetParallelism(128)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var filters []string
		subscribe := func() {
			if len(filters) == 0 {
				return
			}
			if _, err := nodes[next.Load()%3].Subscribe(context.Background(), filters, shoal.SubscribeOptions{}); err != nil {
				b.Error(err)
			}
			filters = filters[:0]
		}
		for pb.Next() {
			if filters = append(filters, fmt.Sprint("bench/", next.Add(1))); len(filters) == 100 {
				subscribe()
			}
		}
		subscribe()
	})
}
