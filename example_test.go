package shoal_test

import (
	"context"
	"fmt"
	"log"

	"github.com/shoalmq/shoal"
)

// The example of the README, which is compared with this.
func Example() {
	ctx := context.Background()
	// README: from here
	b, err := shoal.New(shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithAnonymous())
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	sub, _ := b.Subscribe(ctx, []string{"hello/+"}, shoal.SubscribeOptions{QoS: 1})
	_ = b.Publish(ctx, shoal.Message{TopicName: "hello/shoal", Payload: []byte("hi"), QoS: 1})
	m, _ := sub.Next(ctx)
	fmt.Printf("%s: %s\n", m.TopicName, m.Payload)
	err = b.Shutdown(ctx)
	// README: to here
	if err != nil {
		log.Fatal(err)
	}
	// Output: hello/shoal: hi
}
