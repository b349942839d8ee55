package mqtt_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/mqtt"
)

// What a site's sensors publish goes to the hub, below the site's name.
func ExampleNew() {
	ctx := context.Background()
	hub, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:0"))
	if err != nil {
		panic(err)
	}
	if err := hub.Start(ctx); err != nil {
		panic(err)
	}
	sub, err := hub.Subscribe(ctx, []string{"#"}, shoal.SubscribeOptions{QoS: 1})
	if err != nil {
		panic(err)
	}
	site, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(mqtt.New(mqtt.Config{
		Addresses: []string{"mqtt://" + hub.Addrs()[0].String()},
		ClientID:  "site-7",
		Out:       []mqtt.Rule{{Filter: "sensors/#", RemotePrefix: "site-7/"}},
	})))
	if err != nil {
		panic(err)
	}
	if err := site.Start(ctx); err != nil {
		panic(err)
	}
	for site.Metrics().Subscriptions == 0 { // until the bridge has its session
		time.Sleep(time.Millisecond)
	}
	if err := site.Publish(ctx, shoal.Message{TopicName: "sensors/1", Payload: []byte("21.5"), QoS: 1}); err != nil {
		panic(err)
	}
	m, err := sub.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s: %s\n", m.TopicName, m.Payload)
	if err := site.Shutdown(ctx); err != nil {
		panic(err)
	}
	if err := hub.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: site-7/sensors/1: 21.5
}
