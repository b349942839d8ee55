package durability_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// named lets everybody in as who they say they are.
type named struct{}

func (named) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	return &shoal.Principal{Name: c.UserName}, nil
}

// A session belongs to its principal also when the node that had it is lost, and when a cluster begins with what its store has.
func TestSessionBelongsToItsPrincipal(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		connect := func(node int, name string, clean bool) *packets.ConnAck {
			cl := mqtttest.New(t, c.Dial(t, node), packets.V5)
			defer cl.Close()
			return cl.TryConnect(&packets.Connect{
				ClientID: "c", CleanStart: clean, UserName: packets.Some(name),
				Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(36000))},
			})
		}
		belongs := func(node int) {
			t.Helper()
			require.Equal(t, packets.NotAuthorized, connect(node, "bob", false).ReasonCode)
			require.Equal(t, packets.NotAuthorized, connect(node, "bob", true).ReasonCode)
			ack := connect(node, "ann", false)
			require.Equal(t, packets.Success, ack.ReasonCode)
			require.True(t, ack.SessionPresent)
		}
		require.Equal(t, packets.Success, connect(0, "ann", true).ReasonCode)
		c.Kill(0)
		belongs(1)
		c.StartAgain(0)
		c.AwaitServing(0)
		belongs(0)
		if t.Name() == "TestSessionBelongsToItsPrincipal/shared_store" {
			restartAll(c)
			require.Equal(t, packets.NotAuthorized, connect(1, "bob", false).ReasonCode)
			belongs(2)
		}
	}, clustertest.WithBroker(func(int) []shoal.Option { return []shoal.Option{shoal.WithAuthenticator(named{})} }))
}
