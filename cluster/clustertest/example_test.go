package clustertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
)

// An application's own test: three nodes, of which one is cut off for a while and one is killed, in virtual time.
func Example() {
	var t *testing.T // go test provides it

	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, 3)
		sub, err := c.Node(0).Broker().Subscribe(t.Context(), []string{"news/#"}, shoal.SubscribeOptions{QoS: 1})
		require.NoError(t, err)

		c.Partition([]int{0, 1}, []int{2})
		time.Sleep(time.Minute) // takes no time
		c.Heal()
		c.AwaitServing(2)
		c.Kill(1)

		m := shoal.Message{TopicName: "news/1", Payload: []byte("still here"), QoS: 1}
		require.NoError(t, c.Node(2).Broker().Publish(t.Context(), m))
		got, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, "still here", string(got.Payload))
	})
}

// The same, run: an example has no testing.T of its own.
func TestExample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, 3)
		sub, err := c.Node(0).Broker().Subscribe(t.Context(), []string{"news/#"}, shoal.SubscribeOptions{QoS: 1})
		require.NoError(t, err)
		c.Partition([]int{0, 1}, []int{2})
		time.Sleep(time.Minute)
		c.Heal()
		c.AwaitServing(2)
		c.Kill(1)
		m := shoal.Message{TopicName: "news/1", Payload: []byte("still here"), QoS: 1}
		require.NoError(t, c.Node(2).Broker().Publish(t.Context(), m))
		got, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, "still here", string(got.Payload))
	})
}
