package listen

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// DialWebSocket connects to a WebSocket listener as a client of MQTT does. dial makes the connection under it. The connection returned has
// a goroutine that ends when it is closed, by either side.
func DialWebSocket(ctx context.Context, url string, dial func(ctx context.Context) (net.Conn, error)) (net.Conn, error) {
	var under net.Conn
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var err error
			under, err = dial(ctx)
			return under, err
		},
	}
	//nolint:bodyclose // of an upgraded connection there is none
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols:    []string{"mqtt"}, // [MQTT-6.0.0-3]
		HTTPClient:      &http.Client{Transport: transport},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("listen: WebSocket %s: %w", url, err)
	}
	ws.SetReadLimit(-1) // a stream, in whatever frames it comes
	c := newWSConn(ws, under, nil)
	go c.receive()
	return c, nil
}
