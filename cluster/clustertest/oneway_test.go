package clustertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 4: a client claims its session for a node that hears nothing from the session's home, the leader, any more, and is given up in the
// middle of the move. Whatever becomes of the CONNECT, the session is still there.
func TestClaimOfDeafNode(t *testing.T) {
	for _, lasts := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 3 * time.Second, 5 * time.Second} {
		t.Run(lasts.String(), func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				r := bubble.RolesOf(t, c)
				there := mqtt.Connect(t, c, r.Leader, "mover", mqtt.Expiry(600))
				there.Subscribe(1, "t")
				there.Drop()
				pub := mqtt.Connect(t, c, r.Leader, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("t", "before", 1, false))
				c.Cut(r.Leader, r.Other)
				deaf := mqtt.Dial(t, c, r.Other)
				deaf.SendConnect("mover", mqtt.Expiry(600))
				time.Sleep(lasts)
				c.Heal()
				ack := mqtt.Expect[*packets.ConnAck](deaf)
				if !ack.ReasonCode.IsError() {
					require.True(t, ack.SessionPresent, "where nothing was heard")
				}
				deaf.Drop()
				c.AwaitServing(r.Other)
				again := mqtt.Connect(t, c, r.Publisher, "mover", mqtt.Expiry(600))
				require.True(t, again.Ack.SessionPresent, "after %s", ack.ReasonCode)
				require.Equal(t, "before", string(again.Receive().Payload))
			})
		})
	}
}
