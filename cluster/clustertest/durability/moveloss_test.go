package durability_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 8: a node that is given up while a session moves had sent its old home what did not arrive, and its new home, where it was collected, what came
// later. The publisher sends all of it again.
func TestNodeIsLostWhileASessionMoves(t *testing.T) {
	test := func(t *testing.T, c *clustertest.Cluster) {
		x := mqtt.Connect(t, c, 1, "x", mqtt.Clean, mqtt.Expiry(3600))
		x.Subscribe(2, "t")
		x.Leave()
		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean, mqtt.Expiry(3600))
		send := func(id uint16, dup bool) {
			pub.Send(&packets.Publish{TopicName: "t", QoS: 2, Dup: dup, PacketID: id, Payload: []byte(strconv.Itoa(int(id)))})
			time.Sleep(100 * time.Millisecond)
		}
		c.Cut(2, 1)
		send(1, false)
		x = mqtt.Dial(t, c, 0)
		x.SendConnect("x", mqtt.Expiry(3600))
		time.Sleep(300 * time.Millisecond)
		send(2, false)
		c.Cut(2, 0)
		require.True(t, mqtt.Expect[*packets.ConnAck](x).SessionPresent)
		pub = mqtt.Connect(t, c, 0, "pub", mqtt.Expiry(3600))
		require.True(t, pub.Ack.SessionPresent)
		for id := range uint16(3) {
			send(id+1, id < 2)
			require.Equal(t, id+1, mqtt.Expect[*packets.PubRec](pub).PacketID)
		}
		for _, want := range []string{"1", "2", "3"} {
			require.Equal(t, want, string(x.Receive().Payload))
		}
		x.Silent(time.Second)
	}
	t.Run("agreed order", func(t *testing.T) { bubble.In(t, test) })
	t.Run("shared store", func(t *testing.T) {
		withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) { test(t, c) })
	})
}
