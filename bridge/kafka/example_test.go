package kafka_test

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/kafka"
)

// What devices publish goes to a topic of Kafka's, with the publisher as the key, so that each one's messages stay in order.
func ExampleNew() {
	ctx := context.Background()
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "sensors")) // a Kafka for this example
	if err != nil {
		panic(err)
	}
	defer server.Close()

	b, err := shoal.New(
		shoal.WithAnonymous(),
		shoal.WithBridge(kafka.New(kafka.Config{
			Brokers: server.ListenAddrs(),
			Out:     []kafka.Out{{Filters: []string{"sensors/#"}, Topic: "sensors", Key: "${2}"}},
		})),
	)
	if err != nil {
		panic(err)
	}
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	for b.Metrics().Subscriptions == 0 { // until the bridge has its session
		time.Sleep(time.Millisecond)
	}
	if err := b.Publish(ctx, shoal.Message{TopicName: "sensors/7/temperature", Payload: []byte("21.5"), QoS: 1}); err != nil {
		panic(err)
	}

	consumer, err := kgo.NewClient(kgo.SeedBrokers(server.ListenAddrs()...), kgo.ConsumeTopics("sensors"))
	if err != nil {
		panic(err)
	}
	defer consumer.Close()
	for _, r := range consumer.PollFetches(ctx).Records() {
		fmt.Printf("%s: %s\n", r.Key, r.Value)
	}
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: 7: 21.5
}
