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
	ws, under, err := DialFrames(ctx, url, dial, "mqtt") // [MQTT-6.0.0-3]
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1) // a stream, in whatever frames it comes
	c := newWSConn(ws, under, nil)
	go c.receive()
	return c, nil
}

// DialFrames is DialWebSocket for who wants to see frames. It returns the connection under the WebSocket, too.
func DialFrames(
	ctx context.Context, url string, dial func(ctx context.Context) (net.Conn, error), protocols ...string,
) (ws *websocket.Conn, under net.Conn, err error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var err error
			under, err = dial(ctx)
			return under, err
		},
	}
	//nolint:bodyclose // of an upgraded connection there is none
	ws, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{
		Subprotocols: protocols, HTTPClient: &http.Client{Transport: transport}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen: WebSocket %s: %w", url, err)
	}
	return ws, under, nil
}
