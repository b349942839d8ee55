package durability_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// [MQTT-3.3.1-1]: a message that a lost node may have sent already, and nobody knows, comes with DUP; one that no client can have had comes without.
func TestDupAfterNodeLoss(t *testing.T) {
	for _, test := range []struct {
		name      string
		connected bool // when the node is lost
		taken     bool // the client has had the message, and acknowledged it, and the node could tell nobody
	}{
		{"away", false, false},
		{"connected", true, false},
		{"sent and acknowledged", true, true},
	} {
		for _, qos := range []packets.QoS{1, 2} {
			t.Run(fmt.Sprint(test.name, "/QoS ", qos), func(t *testing.T) {
				bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
					narrow := func(p *packets.Connect) { p.Properties.ReceiveMaximum = packets.Some[uint16](1) }
					sub := mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(600), narrow)
					sub.Subscribe(qos, "t")
					if !test.connected {
						sub.Leave()
					}
					pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
					for _, p := range mqtt.Numbered(2) {
						require.Equal(t, packets.Success, pub.Post("t", p, qos, false))
					}
					if test.taken {
						c.Partition([]int{0, 1}, []int{2}) // what the node's client answers is heard of nowhere else
						m := sub.Next()
						require.False(t, m.Dup)
						if qos == 1 {
							sub.Send(&packets.PubAck{PacketID: m.PacketID})
							require.False(t, sub.Next().Dup)
						}
						time.Sleep(100 * time.Millisecond)
					}
					c.Kill(2)
					c.Heal()
					sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600), narrow)
					require.True(t, sub.Ack.SessionPresent)
					require.Equal(t, packets.Success, pub.Post("t", "later", qos, false))
					for _, want := range mqtt.Numbered(2) {
						m := sub.Receive()
						require.Equal(t, want, string(m.Payload))
						require.Equal(t, test.connected, m.Dup, "%s", want)
					}
					m := sub.Receive()
					require.Equal(t, "later", string(m.Payload))
					require.False(t, m.Dup, "it was published after the loss")
					sub.Silent(time.Second)
				})
			})
		}
	}
}
