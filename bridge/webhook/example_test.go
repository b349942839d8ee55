package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/webhook"
)

// What devices publish is posted to a server, which checks that it comes from the broker.
func ExampleNew() {
	ctx := context.Background()
	const secret = "s3cret"
	received := make(chan webhook.Batch, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil || webhook.Verify(r.Header, body, secret, 5*time.Minute) != nil {
			w.WriteHeader(http.StatusForbidden) // the bridge tries again, and loses nothing
			return
		}
		var batch webhook.Batch
		if err := json.Unmarshal(body, &batch); err != nil {
			w.WriteHeader(http.StatusBadRequest) // the bridge gives up what is in the batch
			return
		}
		received <- batch
	}))
	defer server.Close()

	b, err := shoal.New(
		shoal.WithAnonymous(),
		shoal.WithBridge(webhook.New(webhook.Config{URL: server.URL, Secret: secret, Filters: []string{"sensors/#"}})),
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
	for _, item := range (<-received).Items {
		fmt.Printf("%s: %s\n", item.Message.Topic, item.Message.Payload)
	}
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: sensors/7/temperature: 21.5
}
