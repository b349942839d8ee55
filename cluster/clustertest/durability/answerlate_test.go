package durability_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 4: everybody has a QoS 2 message, and its identifier is not kept in time, since the store stands still for the publisher's node alone. The publisher is not
// answered; the exchange is not over for that: what it sends again, anywhere, comes to nobody, and is answered.
func TestExchangeOutlivesAStoreThatStandsStill(t *testing.T) {
	for next := range 3 {
		t.Run(fmt.Sprint("goes on at node ", next), func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
				sub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean, mqtt.Expiry(3600))
				sub.Subscribe(2, "t")
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean, mqtt.Expiry(3600))
				s.Hold(c.Node(0).Name)
				p := &packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")}
				pub.Send(p)
				require.Equal(t, "once", string(sub.Receive().Payload))
				pub.Closed()
				time.Sleep(3 * time.Second)
				s.Resume()
				time.Sleep(3 * time.Second)
				pub = mqtt.Connect(t, c, next, "pub", mqtt.Expiry(3600))
				require.True(t, pub.Ack.SessionPresent)
				p.Dup = true
				pub.Send(p)
				require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
				pub.Send(&packets.PubRel{PacketID: 7})
				mqtt.Expect[*packets.PubComp](pub)
				sub.Silent(time.Second)
				p.Dup = false
				pub.Send(p)
				require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
				require.Equal(t, "once", string(sub.Receive().Payload), "another message with the identifier")
			})
		})
	}
}
