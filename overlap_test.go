package shoal_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// A subscription of the program with several filters gets a message once, however many of them match.
func TestInProcessOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := shoal.New(shoal.WithAnonymous())
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		sub, err := b.Subscribe(t.Context(), []string{"a/#", "a/+", "a/b", "z"}, shoal.SubscribeOptions{})
		require.NoError(t, err)
		for _, topic := range []string{"a/b", "z", "a/c"} {
			require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: topic}))
			m, err := sub.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, topic, m.TopicName)
		}
		require.NoError(t, b.Shutdown(t.Context()))
		_, err = sub.Next(t.Context())
		require.ErrorIs(t, err, shoal.ErrClosed)
	})
}
