package shoal_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

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

// A handler of the broker's serves clients from a server of the program's own, under limits as any listener; without a broker that runs it says so.
func TestWebSocketHandlerServesFromTheProgramsOwnServer(t *testing.T) {
	b, err := shoal.New(shoal.WithAnonymous(), shoal.WithConnectionLimits(shoal.ConnectionLimits{
		Listeners: map[string]shoal.ConnectionLimit{"websocket-handler": {Open: 2}},
	}))
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/app/mqtt", b.WebSocketHandler())
	server := httptest.NewServer(mux)
	defer server.Close()
	get := func() int {
		resp, err := http.Get(server.URL + "/app/mqtt")
		require.NoError(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusServiceUnavailable, get())
	require.NoError(t, b.Start(t.Context()))
	require.Equal(t, http.StatusUpgradeRequired, get())
	addr := server.Listener.Addr().String()
	dial := func() *mqtttest.Client {
		conn, err := listen.DialWebSocket(t.Context(), "ws://"+addr+"/app/mqtt", func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		})
		require.NoError(t, err)
		return mqtttest.New(t, conn, packets.V5)
	}
	one, two := dial(), dial()
	one.Connect(lasting("one", true))
	one.Subscribe(1, "t")
	two.Connect(lasting("two", true))
	require.Equal(t, packets.Success, two.Publish(1, "t", "m"))
	one.ExpectPublish("t", "m")
	require.Equal(t, packets.ServerBusy, dial().TryConnect(lasting("three", true)).ReasonCode)
	stop(t, b)
	one.ExpectDisconnect(packets.ServerShuttingDown)
	require.Equal(t, http.StatusServiceUnavailable, get())
	http.DefaultClient.CloseIdleConnections()
}

// A connection that opens a WebSocket and sends no CONNECT ends in time, and so does one that asks for something else; what New can see it says.
func TestWebSocketListenersAreHeldToConnectTimeout(t *testing.T) {
	b := start(t, shoal.WithListen("ws://127.0.0.1:0/"), shoal.WithLimits(shoal.Limits{ConnectTimeout: 300 * time.Millisecond}))
	addr := b.Addrs()[0].String()
	for _, send := range []string{"", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		_, err = io.WriteString(conn, send)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		_, err = io.Copy(io.Discard, conn)
		require.NoError(t, err, "it ends before the deadline")
		_ = conn.Close()
	}
	for _, path := range []string{"", "/", "/mqtt", "/any/other"} {
		conn, err := listen.DialWebSocket(t.Context(), "ws://"+addr+path, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		})
		require.NoError(t, err, path)
		mqtttest.New(t, conn, packets.V5).Connect(lasting("c", true))
	}
	silent, err := listen.DialWebSocket(t.Context(), "ws://"+addr, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	})
	require.NoError(t, err)
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = silent.Read(make([]byte, 1))
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)

	for text, o := range map[string]shoal.Option{
		"is no path":          shoal.WithListen("ws://:80/{"),
		"WithWebSocketOrigin": shoal.WithWebSocketOrigins("[x"),
	} {
		_, err := shoal.New(shoal.WithAnonymous(), o)
		require.ErrorContains(t, err, text)
	}
}
