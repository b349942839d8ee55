// Command hooks is a broker with hooks: an interceptor that refuses and changes messages, and an observer that tells who comes and goes.
//
//	mosquitto_sub -V 5 -t '#' -F '%t %p %P'
//	mosquitto_pub -V 5 -q 1 -t readings/kitchen -m 21
//	mosquitto_pub -V 5 -q 1 -t readings/kitchen -m warm
package main

import (
	"context"
	"log"
	"log/slog"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, "tcp://127.0.0.1:1883")
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen string) error {
	b, err := shoal.New(
		shoal.WithListen(listen),
		shoal.WithAnonymous(),
		shoal.WithHook(numbers{}, visitors{}),
	)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

// numbers takes only numbers as readings, and notes who sent them.
type numbers struct{}

// InterceptPublish implements shoal.PublishInterceptor.
func (numbers) InterceptPublish(_ context.Context, e *shoal.PublishEvent) error {
	if !strings.HasPrefix(e.Message.TopicName, "readings/") {
		return nil
	}
	if _, err := strconv.ParseFloat(string(e.Message.Payload), 64); err != nil {
		return &shoal.Error{ReasonCode: packets.PayloadFormatInvalid, Reason: "a reading is a number", Err: err}
	}
	p := &e.Message.Properties
	p.UserProperties = append(slices.Clone(p.UserProperties), packets.UserProperty{Key: "sender", Value: e.Client.ClientID})
	return nil
}

// visitors logs who comes and goes.
type visitors struct{}

// Connected implements shoal.ConnectObserver.
func (visitors) Connected(e shoal.ConnectedEvent) {
	slog.Info("connected", "client_id", e.Client.ClientID, "resumed", e.SessionPresent)
}

// Disconnected implements shoal.DisconnectObserver.
func (visitors) Disconnected(e shoal.DisconnectedEvent) {
	slog.Info("disconnected", "client_id", e.Client.ClientID, "reason", e.ReasonCode, "after", e.After)
}
