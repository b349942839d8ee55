package websocket_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/internal/behaviour"
	"github.com/shoalmq/shoal/internal/listen"
)

// TestWebSocketFrames holds what the specification says of frames on a cluster, each client on another node.
func TestWebSocketFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, 3, clustertest.WithWebSocket())
		clients := 0
		behaviour.WebSocketFrames(t, func(t *testing.T, protocols ...string) *websocket.Conn {
			clients++
			at, err := url.Parse(c.WebSocketURL(clients % 3))
			require.NoError(t, err)
			ws, _, err := listen.DialFrames(t.Context(), at.String(), func(ctx context.Context) (net.Conn, error) {
				return c.Network().Host("client").Dial(ctx, at.Host)
			}, protocols...)
			require.NoError(t, err)
			return ws
		})
	})
}
