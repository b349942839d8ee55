package listen

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listening is a WebSocket listener on a port of this machine.
func listening(t *testing.T, o WebSocketOptions) (l net.Listener, address string) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l = newWebSocket(inner, "/mqtt", o)
	t.Cleanup(func() { _ = l.Close() })
	return l, inner.Addr().String()
}

func connected(t *testing.T, address string) net.Conn {
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if err != nil {
		require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "it is still open")
	}
}

// A connection that is not upgraded ends: after its one request, which the server does not keep it alive for, or in time.
func TestConnectionsThatAreNotUpgradedEnd(t *testing.T) {
	_, address := listening(t, WebSocketOptions{Timeout: 300 * time.Millisecond})
	for name, send := range map[string]string{
		"nothing":           "",
		"half a request":    "GET /mqtt HTTP/1.1\r\nHost: x\r\n",
		"a request":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a kept-alive one":  "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
		"a body that waits": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			c := connected(t, address)
			_, err := io.WriteString(c, send)
			require.NoError(t, err)
			ends(t, c)
		})
	}
}

// The one request that is answered is the last one, however long a connection may take.
func TestAnsweredRequestEndsItsConnection(t *testing.T) {
	_, address := listening(t, WebSocketOptions{Timeout: time.Hour})
	c := connected(t, address)
	_, err := io.WriteString(c, "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
	require.NoError(t, err)
	ends(t, c)
}

// Connections that are not upgraded are bounded in number, in all and from one address; one that is upgraded, or ends, makes room.
func TestConnectionsThatAreNotUpgradedAreCounted(t *testing.T) {
	for name, o := range map[string]WebSocketOptions{"in all": {Young: 2, Timeout: time.Hour}, "from one address": {YoungPerHost: 2, Timeout: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			l, address := listening(t, o)
			w, _ := l.(*webSocket)
			count := func() int {
				w.young.mu.Lock()
				defer w.young.mu.Unlock()
				return len(w.young.ends)
			}
			first, second := connected(t, address), connected(t, address)
			require.Eventually(t, func() bool { return count() == 2 }, 10*time.Second, time.Millisecond)
			ends(t, connected(t, address))
			_, err := io.WriteString(first, "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
			require.NoError(t, err)
			server, err := l.Accept()
			require.NoError(t, err)
			defer func() { _ = server.Close() }()
			require.Equal(t, first.LocalAddr().String(), server.RemoteAddr().String())
			require.Equal(t, 1, count())
			require.NoError(t, second.Close())
			require.Eventually(t, func() bool { return count() == 0 }, 10*time.Second, time.Millisecond)
			w.young.mu.Lock()
			require.Empty(t, w.young.hosts)
			w.young.mu.Unlock()
			_ = first.Close()
		})
	}
}

// Pages of other origins are refused if origins are given; those of the host itself, and programs, which have none, are not.
func TestOriginsAreChecked(t *testing.T) {
	for _, c := range []struct {
		origins []string
		origin  string
		status  int
	}{
		{nil, "https://evil.example", http.StatusSwitchingProtocols},
		{[]string{"*.example.org"}, "https://evil.example", http.StatusForbidden},
		{[]string{"*.example.org"}, "https://app.example.org", http.StatusSwitchingProtocols},
		{[]string{"*.example.org"}, "", http.StatusSwitchingProtocols},
		{[]string{"*.example.org"}, "http://broker:80", http.StatusSwitchingProtocols},
		{[]string{"https://app.example.org"}, "http://app.example.org", http.StatusForbidden},
	} {
		l, address := listening(t, WebSocketOptions{Origins: c.origins})
		go func() {
			if conn, err := l.Accept(); err == nil {
				_ = conn.Close()
			}
		}()
		conn := connected(t, address)
		origin := ""
		if c.origin != "" {
			origin = "Origin: " + c.origin + "\r\n"
		}
		_, err := io.WriteString(conn, "GET /mqtt HTTP/1.1\r\nHost: broker:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+origin+"\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		_ = resp.Body.Close()
		require.Equal(t, c.status, resp.StatusCode, "%v %q", c.origins, c.origin)
		_ = conn.Close()
		_ = l.Close()
	}
	require.NoError(t, CheckOrigins([]string{"*", "https://x"}))
	require.Error(t, CheckOrigins([]string{"[a"}))
	require.Error(t, CheckOrigins([]string{""}))
}
