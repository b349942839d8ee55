package clustertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 4: a client claims its session for a node that hears nothing from the session's home, the leader, any more, and is given up in the
// middle of the move. Whatever becomes of the CONNECT, the session is still there.
func TestClaimOfDeafNode(t *testing.T) {
	for _, lasts := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 3 * time.Second, 5 * time.Second} {
		t.Run(lasts.String(), func(t *testing.T) {
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				r := rolesOf(t, c)
				there := connect(t, c, r.leader, "mover", expiry(600))
				there.subscribe(1, "t")
				there.drop()
				pub := connect(t, c, r.leader, "pub", clean)
				require.Equal(t, packets.Success, pub.post("t", "before", 1, false))
				c.Cut(r.leader, r.other)
				deaf := dial(t, c, r.other)
				deaf.sendConnect("mover", expiry(600))
				time.Sleep(lasts)
				c.Heal()
				ack := expect[*packets.ConnAck](deaf)
				if !ack.ReasonCode.IsError() {
					require.True(t, ack.SessionPresent, "where nothing was heard")
				}
				deaf.drop()
				c.AwaitServing(r.other)
				again := connect(t, c, r.publisher, "mover", expiry(600))
				require.True(t, again.ack.SessionPresent, "after %s", ack.ReasonCode)
				require.Equal(t, "before", string(again.receive().Payload))
			})
		})
	}
}
