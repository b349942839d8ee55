package clustertest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/shoalmq/shoal/internal/listen"
)

// Where every node listens for clients, on its own host.
const (
	mqttPort      = "1883"
	webSocketPort = "8083" // with WithWebSocket
)

// Dial connects to a node as a client would. The connection is closed when the test ends.
func (c *Cluster) Dial(t testing.TB, i int) net.Conn {
	t.Helper()
	return c.dial(t, i, func(ctx context.Context) (net.Conn, error) { return c.reach(ctx, i, mqttPort) })
}

// DialWebSocket is Dial over WebSocket. The cluster needs WithWebSocket.
func (c *Cluster) DialWebSocket(t testing.TB, i int) net.Conn {
	t.Helper()
	return c.dial(t, i, func(ctx context.Context) (net.Conn, error) {
		return listen.DialWebSocket(ctx, c.WebSocketURL(i), func(ctx context.Context) (net.Conn, error) { return c.reach(ctx, i, webSocketPort) })
	})
}

// WebSocketURL returns where a node listens for WebSocket connections, on the cluster's network. The cluster needs WithWebSocket.
func (c *Cluster) WebSocketURL(i int) string {
	return "ws://" + net.JoinHostPort(c.nodes[i].Host(), webSocketPort) + "/mqtt"
}

func (c *Cluster) reach(ctx context.Context, i int, port string) (net.Conn, error) {
	return c.net.Host("client").Dial(ctx, net.JoinHostPort(c.Node(i).Host(), port))
}

func (c *Cluster) dial(t testing.TB, i int, dial func(context.Context) (net.Conn, error)) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		t.Fatalf("clustertest: no connection to node %s: %v", c.nodes[i].Name, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// DialContext connects to a node as a client would. The caller closes the connection.
func (c *Cluster) DialContext(ctx context.Context, i int) (net.Conn, error) {
	return c.reach(ctx, i, mqttPort)
}
