package kafka_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/kafka"
	"github.com/shoalmq/shoal/internal/testservers"
)

// inOrder requires that the first of each number of a key come in order, without a gap, up to n, and returns how many came again.
func inOrder(t testing.TB, key string, numbers []int, n int) (again int) {
	t.Helper()
	next := 0
	for _, i := range numbers {
		switch {
		case i == next:
			next++
		case i < next:
			again++
		default:
			t.Fatalf("%s: %d comes, and %d has not", key, i, next)
		}
	}
	require.Equal(t, n, next, key)
	return again
}

// Kafka is killed again and again while messages go both ways. All arrive, in the order of each key.
func TestKilledWhileMessagesCross(t *testing.T) {
	if testing.Short() {
		t.Skip("a real Kafka is killed three times")
	}
	k := testservers.Kafka(t)
	brokers := []string{k.Addr()}
	f := open(t, brokers, "out")
	const keys, rounds = 8, 3
	b := bridgetest.Start(t, kafka.New(kafka.Config{
		Brokers: brokers, CreateTopics: true, Timeout: 5 * time.Second,
		Out: []kafka.Out{{Filters: []string{"out/#"}, Topic: "out"}},
		In:  []kafka.In{{Topics: []string{"in"}, Group: "g", Topic: "in/${key}", FromStart: true}},
	}), shoal.WithLimits(shoal.Limits{QueuedMessages: 1_000_000, QueuedBytes: 1 << 30}))
	sub, err := b.Subscribe(t.Context(), []string{"in/#"}, shoal.SubscribeOptions{QoS: 1, Buffer: 1_000_000})
	require.NoError(t, err)

	var stop atomic.Bool
	var sent, given [keys]int
	var work sync.WaitGroup
	for key := range keys {
		work.Go(func() {
			for !stop.Load() {
				m := shoal.Message{TopicName: fmt.Sprint("out/", key), Payload: []byte(strconv.Itoa(sent[key])), QoS: 1}
				if err := b.Publish(t.Context(), m); err != nil {
					t.Error(err)
					return
				}
				sent[key]++
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0))
	require.NoError(t, err)
	defer cl.Close()
	work.Go(func() {
		for !stop.Load() {
			var batch []*kgo.Record
			for key := range keys {
				batch = append(batch, &kgo.Record{Topic: "in", Key: []byte(strconv.Itoa(key)), Value: []byte(strconv.Itoa(given[key]))})
				given[key]++
			}
			if err := cl.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range rounds {
		seen := len(f.records())
		bridgetest.Eventually(t, "messages cross", func() bool { return len(f.records()) > seen+500 })
		k.Kill()
		time.Sleep(500 * time.Millisecond)
		k.Start()
	}
	seen := len(f.records())
	bridgetest.Eventually(t, "messages cross again", func() bool { return len(f.records()) > seen+500 })
	stop.Store(true)
	work.Wait()
	bridgetest.Eventually(t, "all is acknowledged", func() bool { return b.Bridges()[0].Queued == 0 })

	total, back := 0, 0
	for i := range keys {
		total, back = total+sent[i], back+given[i]
	}
	bridgetest.Eventually(t, "all have arrived in Kafka", func() bool { return len(f.records()) >= total })
	out := make(map[string][]int)
	for _, r := range f.records() {
		n, err := strconv.Atoi(string(r.Value))
		require.NoError(t, err)
		out[string(r.Key)] = append(out[string(r.Key)], n)
	}
	again := 0
	for i := range keys {
		key := fmt.Sprint("out/", i)
		again += inOrder(t, key, out[key], sent[i])
	}
	in, backAgain := make(map[string]int), 0
	for left := back; left > 0; {
		m, err := sub.Next(t.Context())
		require.NoError(t, err)
		n, err := strconv.Atoi(string(m.Payload))
		require.NoError(t, err)
		switch want := in[m.TopicName]; {
		case n == want:
			in[m.TopicName]++
			left--
		case n < want:
			backAgain++
		default:
			t.Fatalf("%s: %d comes, and %d has not", m.TopicName, n, want)
		}
	}
	t.Logf("Kafka was killed %d times: %d messages to it, %d came again; %d from it, %d came again", rounds, total, again, back, backAgain)
}
