package kafka_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/kafka"
	"github.com/shoalmq/shoal/internal/testservers"
)

// processorTime is what this process, the broker with its bridge and its publishers, has used. Kafka is another one.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured reports messages a second and processor time per message from begin on.
func measured(b *testing.B, n int, began time.Time, used time.Duration) {
	b.Helper()
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "messages/s")
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(n), "cpu-µs/message")
	b.ReportMetric(0, "ns/op")
}

const payloadSize = 100

var wide = shoal.WithLimits(shoal.Limits{QueuedMessages: 10_000_000, QueuedBytes: 4 << 30})

// BenchmarkToKafka publishes messages of QoS 1 by a hundred goroutines of the program; Kafka acknowledges with all its replicas, of which there is one.
// "without Kafka" is the same messages for an in-process subscription that lasts: what publishing and the session cost.
func BenchmarkToKafka(b *testing.B) {
	run := func(b *testing.B, sb *shoal.Broker, done func() bool) {
		b.Helper()
		b.ResetTimer()
		began, used := time.Now(), processorTime(b)
		var next atomic.Int64
		var work sync.WaitGroup
		for p := range 100 {
			work.Go(func() {
				m := shoal.Message{TopicName: fmt.Sprint("out/", p), Payload: make([]byte, payloadSize), QoS: 1}
				for next.Add(1) <= int64(b.N) {
					if err := sb.Publish(b.Context(), m); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		work.Wait()
		bridgetest.Eventually(b, "all have crossed", done)
		measured(b, b.N, began, used)
	}
	b.Run("kafka", func(b *testing.B) {
		k := testservers.Kafka(b)
		sb := bridgetest.Start(b, kafka.New(kafka.Config{
			Brokers: []string{k.Addr()}, CreateTopics: true, Out: []kafka.Out{{Filters: []string{"out/#"}, Topic: "out"}},
		}), wide)
		require.NoError(b, sb.Publish(b.Context(), shoal.Message{TopicName: "out/first", QoS: 1}))
		bridgetest.Eventually(b, "the first has crossed", func() bool { return sb.Bridges()[0].Queued == 0 })
		run(b, sb, func() bool { return sb.Bridges()[0].Queued == 0 })
	})
	b.Run("without Kafka", func(b *testing.B) {
		sb, err := shoal.New(shoal.WithAnonymous(), wide)
		require.NoError(b, err)
		require.NoError(b, sb.Start(b.Context()))
		b.Cleanup(func() { bridgetest.Stop(b, sb) })
		sub, err := sb.Subscribe(b.Context(), []string{"out/#"}, shoal.SubscribeOptions{QoS: 1, Name: "x", AcknowledgeByHand: true})
		require.NoError(b, err)
		var got atomic.Int64
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				m, err := sub.Next(b.Context())
				if err != nil {
					return
				}
				m.Acknowledge()
				got.Add(1)
			}
		})
		run(b, sb, func() bool { return got.Load() == int64(b.N) })
		require.NoError(b, sub.Close())
		reading.Wait()
	})
}

// BenchmarkFromKafka publishes records that are in Kafka already, as QoS 1, to one in-process subscription.
func BenchmarkFromKafka(b *testing.B) {
	k := testservers.Kafka(b)
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1), kgo.MaxBufferedRecords(100_000))
	require.NoError(b, err)
	defer cl.Close()
	for i := range b.N {
		cl.Produce(b.Context(), &kgo.Record{Topic: "in", Key: fmt.Append(nil, i%100), Value: make([]byte, payloadSize)}, nil)
	}
	require.NoError(b, cl.Flush(b.Context()))
	sb, err := shoal.New(shoal.WithAnonymous(), wide, shoal.WithBridge(kafka.New(kafka.Config{
		Brokers: []string{k.Addr()}, In: []kafka.In{{Topics: []string{"in"}, Group: "g", Topic: "in/${key}", FromStart: true}},
	})))
	require.NoError(b, err)
	var subscription *shoal.Subscription
	require.NoError(b, sb.Start(b.Context()))
	b.Cleanup(func() { bridgetest.Stop(b, sb) })
	subscription, err = sb.Subscribe(b.Context(), []string{"in/#"}, shoal.SubscribeOptions{QoS: 1, Buffer: b.N + 1, BufferBytes: 4 << 30})
	require.NoError(b, err)
	_, err = subscription.Next(b.Context())
	require.NoError(b, err)
	b.ResetTimer()
	began, used := time.Now(), processorTime(b)
	for range b.N - 1 {
		_, err := subscription.Next(b.Context())
		require.NoError(b, err)
	}
	measured(b, b.N, began, used)
}
