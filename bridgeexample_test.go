package shoal_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal"
)

// printer is a bridge to the standard output.
type printer struct{ done chan struct{} }

func (*printer) Name() string           { return "printer" }
func (*printer) Bind(*shoal.BridgeHost) {}

func (p *printer) Run(ctx context.Context, h *shoal.BridgeHost) error {
	sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{Filters: []string{"news/#"}, QoS: 1})
	if err != nil {
		return err
	}
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", m.TopicName, m.Payload)
		m.Acknowledge() // only now: what the bridge cannot hand on comes again
		p.done <- struct{}{}
	}
}

// A bridge is a client within the program, with a session that lasts: it misses nothing while it is away.
func ExampleWithBridge() {
	ctx := context.Background()
	p := &printer{done: make(chan struct{}, 1)}
	b, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(p))
	if err != nil {
		panic(err)
	}
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	for b.Metrics().Subscriptions == 0 { // until it has subscribed
		time.Sleep(time.Millisecond)
	}
	if err := b.Publish(ctx, shoal.Message{TopicName: "news/1", Payload: []byte("hello"), QoS: 1}); err != nil {
		panic(err)
	}
	<-p.done
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: news/1: hello
}

// A subscription with a Name keeps what comes while nobody has it, and what was not acknowledged.
func ExampleSubscribeOptions() {
	ctx := context.Background()
	b, err := shoal.New(shoal.WithAnonymous()) // with WithStorage or in a cluster it outlives the process
	if err != nil {
		panic(err)
	}
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	opts := shoal.SubscribeOptions{QoS: 1, Name: "billing", AcknowledgeByHand: true}
	sub, err := b.Subscribe(ctx, []string{"orders/#"}, opts)
	if err != nil {
		panic(err)
	}
	for _, order := range []string{"one", "two"} {
		if err := b.Publish(ctx, shoal.Message{TopicName: "orders/7", Payload: []byte(order), QoS: 1}); err != nil {
			panic(err)
		}
	}
	m, err := sub.Next(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(m.Payload))
	m.Acknowledge()
	if err := sub.Close(); err != nil { // the session stays
		panic(err)
	}
	if sub, err = b.Subscribe(ctx, []string{"orders/#"}, opts); err != nil {
		panic(err)
	}
	if m, err = sub.Next(ctx); err != nil {
		panic(err)
	}
	fmt.Println(string(m.Payload))
	m.Acknowledge()
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output:
	// one
	// two
}
