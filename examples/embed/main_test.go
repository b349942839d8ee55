package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

func TestAnswers(t *testing.T) {
	b, err := shoal.New(shoal.WithAnonymous())
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	pongs, err := b.Subscribe(t.Context(), []string{"pong/#"}, shoal.SubscribeOptions{QoS: 1})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- answer(ctx, b) }()
	// The retained ping is answered no matter whether it is sent before or after the answering begins.
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "ping/a", Payload: []byte("hello"), QoS: 1, Retain: true}))
	m, err := pongs.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "pong/a hello", m.TopicName+" "+string(m.Payload))
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, run(ctx, "tcp://127.0.0.1:0"))
}
