// Command embed is a program with a broker inside: it listens for clients on 127.0.0.1:1883 and is a client of its broker, too,
// without a socket. It answers each message to ping/… with one to pong/….
package main

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"github.com/shoalmq/shoal"
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
		shoal.WithLogger(slog.Default()),
	)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	err = answer(ctx, b)
	return errors.Join(err, b.Shutdown(context.WithoutCancel(ctx)))
}

// answer answers until ctx ends.
func answer(ctx context.Context, b *shoal.Broker) error {
	pings, err := b.Subscribe(ctx, []string{"ping/#"}, shoal.SubscribeOptions{QoS: 1})
	if err != nil {
		return err
	}
	for {
		m, err := pings.Next(ctx)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		}
		pong := "pong/" + strings.TrimPrefix(m.TopicName, "ping/")
		if err := b.Publish(ctx, shoal.Message{TopicName: pong, Payload: m.Payload, QoS: m.QoS}); err != nil {
			slog.Warn("no answer", "topic", pong, "error", err)
		}
	}
}
