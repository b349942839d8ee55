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

// Guarantee 7: what a member of a group leaves is handed on while the store stands still. Whoever gets it has it, though it cannot be kept for long, and so nobody else
// gets it, and the member that went away does not have it back.
func TestHandedOnOnceWhileTheStoreStalls(t *testing.T) {
	for node, name := range []string{"on the same node", "on another node"} {
		t.Run(name, func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
				var members []*mqtt.Client
				for i, at := range []int{0, node} {
					m := mqtt.Connect(t, c, at, fmt.Sprint("m", i), mqtt.Clean, mqtt.Expiry(3600))
					m.Subscribe(2, "$share/g/t")
					members = append(members, m)
				}
				members[1].Drop()
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				time.Sleep(time.Second)
				s.Hang()
				pub.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")})
				time.Sleep(100 * time.Millisecond)
				members[1] = mqtt.Connect(t, c, node, "m1", mqtt.Expiry(3600))
				time.Sleep(100 * time.Millisecond)
				members[0].Drop()
				time.Sleep(10 * time.Second)
				s.Resume()
				time.Sleep(3 * time.Second)
				members[0] = mqtt.Connect(t, c, 2, "m0", mqtt.Expiry(3600))
				require.True(t, members[0].Ack.SessionPresent)
				members[0].Silent(time.Second)
				mqtt.Once(members[1])
			})
		})
	}
}
