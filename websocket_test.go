package shoal_test

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/behaviour"
	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// TestWebSocket holds that a client over WebSocket is one like all others: it gets large messages, and is told when it is taken over.
func TestWebSocket(t *testing.T) {
	b := start(t, shoal.WithListen("ws://127.0.0.1:0"))
	dial := func() *mqtttest.Client {
		transport := new(http.Transport)
		t.Cleanup(transport.CloseIdleConnections)
		//nolint:bodyclose // of an upgraded connection there is none
		c, _, err := websocket.Dial(t.Context(), "ws://"+b.Addrs()[0].String()+"/mqtt", &websocket.DialOptions{
			Subprotocols: []string{"mqtt"}, HTTPClient: &http.Client{Transport: transport},
		})
		require.NoError(t, err)
		return mqtttest.New(t, websocket.NetConn(context.Background(), c, websocket.MessageBinary), packets.V5)
	}
	one := dial()
	one.Connect(lasting("c", true))
	one.Subscribe(1, "t")
	large := string(make([]byte, 1<<20))
	one.Publish(1, "t", large)
	one.ExpectPublish("t", large)
	two := dial()
	require.True(t, two.Connect(lasting("c", false)).SessionPresent)
	one.ExpectDisconnect(packets.SessionTakenOver)
	two.Publish(1, "t", "m")
	two.ExpectPublish("t", "m")
	two.Disconnect()
}

// TestWebSocketFrames holds what the specification says of frames on one node.
func TestWebSocketFrames(t *testing.T) {
	b := start(t, shoal.WithListen("ws://127.0.0.1:0"))
	addr := b.Addrs()[0].String()
	behaviour.WebSocketFrames(t, func(t *testing.T, protocols ...string) *websocket.Conn {
		ws, _, err := listen.DialFrames(t.Context(), "ws://"+addr+"/mqtt", func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}, protocols...)
		require.NoError(t, err)
		return ws
	})
}
