package membership_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// The largest message that a cluster lets in is agreed on, and so are those beside it. Clients are told how large that is [MQTT-3.2.2-15], and what is larger
// is refused, also from the program.
func TestLargestMessage(t *testing.T) {
	if testing.Short() {
		t.Skip("several copies of 58 MiB")
	}
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		sub.Subscribe(1, "t/#")
		sub.Leave()
		limit := int(sub.Ack.Properties.MaximumPacketSize.Value)
		require.Equal(t, c.Node(0).Cluster().MaxCommand()-2<<20, limit)
		large := bytes.Repeat([]byte("x"), limit-100)
		err := c.Node(1).Broker().Publish(t.Context(), shoal.Message{TopicName: "t/large", Payload: bytes.Repeat([]byte("x"), limit), QoS: 1})
		var refused *shoal.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, packets.PacketTooLarge, refused.ReasonCode)
		done := make(chan error, 2)
		go func() {
			done <- c.Node(1).Broker().Publish(t.Context(), shoal.Message{TopicName: "t/large", Payload: large, QoS: 1, Retain: true})
		}()
		go func() {
			done <- c.Node(1).Broker().Publish(t.Context(), shoal.Message{TopicName: "t/small", Payload: []byte("beside it"), QoS: 1})
		}()
		for range 2 {
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(time.Minute):
				require.Fail(t, "it is not agreed on")
			}
		}
		sub = mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		sizes := map[string]int{}
		for range 2 {
			p := sub.Receive()
			sizes[p.TopicName] = len(p.Payload)
		}
		require.Equal(t, map[string]int{"t/large": len(large), "t/small": len("beside it")}, sizes)
	})
}
