package durability_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestGroupGetsWhatALostMemberHad holds guarantee 7: what a group has taken belongs to the group until it is acknowledged, also if the member that had it has a
// session that ends with its connection, and its node is lost.
func TestGroupGetsWhatALostMemberHad(t *testing.T) {
	for name, other := range map[string]struct {
		connected bool
		opts      []mqtt.ConnectOption
	}{
		"the other is away":      {false, []mqtt.ConnectOption{mqtt.Expiry(600)}},
		"the other is connected": {true, []mqtt.ConnectOption{mqtt.Clean}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				const messages = 50
				pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
				if !other.connected {
					m := mqtt.Connect(t, c, 2, "other", other.opts...)
					m.Subscribe(1, "$share/g/t")
					m.Drop()
				}
				idle := mqtt.Connect(t, c, 0, "idle", mqtt.Clean)
				idle.Subscribe(1, "$share/g/t")
				time.Sleep(time.Second) // who is connected is told in the background
				all := mqtt.Numbered(messages)
				for _, p := range all {
					require.Equal(t, packets.Success, pub.Post("t", p, 1, false))
				}
				idle.Next() // it has them, and acknowledges none
				var m *mqtt.Client
				if other.connected {
					m = mqtt.Connect(t, c, 2, "other", other.opts...)
					m.Subscribe(1, "$share/g/t")
				}
				c.Kill(0)
				if !other.connected {
					time.Sleep(5 * time.Second)
					m = mqtt.Connect(t, c, 2, "other", other.opts...)
				}
				seen := make(map[string]int)
				for len(seen) < messages {
					seen[string(m.Receive().Payload)]++
				}
				m.Silent(time.Second)
				for _, p := range all {
					require.Equal(t, 1, seen[p], p)
				}
				again := mqtt.Connect(t, c, 1, "idle", mqtt.Expiry(600))
				require.False(t, again.Ack.SessionPresent, "its session ended with its connection")
				again.Silent(time.Second)
			})
		})
	}
}
