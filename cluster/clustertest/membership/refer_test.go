package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/packets"
)

// The last node of three sends its clients to the others for as long as they may be there, and only it be cut off. Then it tells them that there is no server.
func TestClientsAreNotSentToNodesThatAreGone(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		ask := func() *packets.ConnAck {
			conn, err := c.DialContext(t.Context(), 0)
			require.NoError(t, err)
			s := &steady{conn: conn}
			defer s.close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			ack, ok := s.exchange(&packets.Connect{ProtocolVersion: packets.V5, ClientID: "c", CleanStart: true}).(*packets.ConnAck)
			require.True(t, ok)
			return ack
		}
		c.Kill(1)
		c.Kill(2)
		time.Sleep(10 * time.Second)
		ack := ask()
		require.Equal(t, packets.UseAnotherServer, ack.ReasonCode)
		require.NotEmpty(t, ack.Properties.ServerReference.Value)
		time.Sleep(time.Minute)
		ack = ask()
		require.Equal(t, packets.ServerUnavailable, ack.ReasonCode)
		require.False(t, ack.Properties.ServerReference.Set)
	})
}
