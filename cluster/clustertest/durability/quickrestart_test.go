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

// TestQuickRestartOfTheHomeOfMovedSessions holds guarantees 4 and 5 for a node that is killed and back so soon that the cluster has hardly noticed:
// sessions that had moved to it are whole for their clients, which go elsewhere meanwhile, with subscriptions and with what was queued.
func TestQuickRestartOfTheHomeOfMovedSessions(t *testing.T) {
	for _, ms := range []int{10, 100, 400, 1200, 2500} {
		down := time.Duration(ms) * time.Millisecond
		t.Run(down.String(), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				const sessions = 6
				id := func(i int) string { return fmt.Sprint("moved", i) }
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				for i := range sessions {
					sub := mqtt.Connect(t, c, 1, id(i), mqtt.Expiry(600))
					sub.Subscribe(1, "t", "$share/"+id(i)+"/s")
					sub.Drop()
				}
				for i := range sessions {
					require.True(t, mqtt.Connect(t, c, 2, id(i), mqtt.Expiry(600)).Ack.SessionPresent)
				}
				require.Equal(t, packets.Success, pub.Post("t", "before", 1, false))
				c.Kill(2)
				time.Sleep(down)
				c.StartAgain(2)
				for i := range sessions {
					sub := mqtt.Connect(t, c, i%2, id(i), mqtt.Expiry(600))
					require.True(t, sub.Ack.SessionPresent)
					require.Equal(t, "before", string(sub.Receive().Payload))
					sub.Drop()
				}
				require.Equal(t, packets.Success, mqtt.AwaitCode(pub, "t", packets.Success))
				require.Equal(t, packets.Success, pub.Post("t", "after", 1, false))
				require.Equal(t, packets.Success, pub.Post("s", "shared", 1, false))
				c.AwaitServing(2)
				for i := range sessions {
					sub := mqtt.Connect(t, c, (i+1)%3, id(i), mqtt.Expiry(600))
					require.True(t, sub.Ack.SessionPresent)
					seen := make(map[string]bool)
					for !seen["after"] || !seen["shared"] {
						seen[string(sub.Receive().Payload)] = true
					}
				}
			}, clustertest.WithDisk())
		})
	}
}
