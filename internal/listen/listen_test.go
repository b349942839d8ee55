package listen

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// certificate returns the two sides of a TLS connection to 127.0.0.1.
func certificate(t *testing.T) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

func listen(t *testing.T, url string, config *tls.Config) net.Listener {
	t.Helper()
	e, err := Parse(url)
	require.NoError(t, err)
	l, err := e.Listen(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// accept accepts one connection, which it closes when the test ends.
func accept(t *testing.T, l net.Listener) <-chan net.Conn {
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	return accepted
}

func dialWS(t *testing.T, url string, config *tls.Config, protocols ...string) (*websocket.Conn, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	c, resp, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
		Subprotocols: protocols, HTTPClient: &http.Client{Transport: transport},
	})
	if resp != nil && resp.Body != nil && err != nil {
		_ = resp.Body.Close()
	}
	return c, err
}

func TestRoundTrip(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	socket := filepath.Join(t.TempDir(), "mqtt.sock")
	for _, c := range []struct {
		url  string
		dial func(t *testing.T, addr string) net.Conn
	}{
		{"tcp://127.0.0.1:0", func(t *testing.T, addr string) net.Conn {
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			return c
		}},
		{"tls://127.0.0.1:0", func(t *testing.T, addr string) net.Conn {
			c, err := tls.Dial("tcp", addr, clientTLS)
			require.NoError(t, err)
			return c
		}},
		{"unix://" + socket, func(t *testing.T, _ string) net.Conn {
			c, err := net.Dial("unix", socket)
			require.NoError(t, err)
			return c
		}},
		{"ws://127.0.0.1:0/x", func(t *testing.T, addr string) net.Conn {
			c, err := dialWS(t, "ws://"+addr+"/x", nil, "mqtt")
			require.NoError(t, err)
			require.Equal(t, "mqtt", c.Subprotocol()) // [MQTT-6.0.0-4]
			return websocket.NetConn(context.Background(), c, websocket.MessageBinary)
		}},
		{"wss://127.0.0.1:0", func(t *testing.T, addr string) net.Conn {
			c, err := dialWS(t, "wss://"+addr+"/mqtt", clientTLS, "mqttv3.1", "mqtt")
			require.NoError(t, err)
			return websocket.NetConn(context.Background(), c, websocket.MessageBinary)
		}},
	} {
		t.Run(c.url[:4], func(t *testing.T) {
			l := listen(t, c.url, serverTLS)
			accepted := accept(t, l)
			echoed := make(chan error, 1)
			go func() {
				conn, ok := <-accepted
				if !ok {
					echoed <- io.ErrUnexpectedEOF
					return
				}
				_, err := io.Copy(conn, conn)
				_ = conn.Close()
				echoed <- err
			}()
			client := c.dial(t, l.Addr().String())
			sent := bytes.Repeat([]byte("0123456789"), 30_000) // more than any buffer on the way
			wrote := make(chan error, 1)
			go func() {
				_, err := client.Write(sent)
				wrote <- err
			}()
			got := make([]byte, len(sent))
			_, err := io.ReadFull(client, got)
			require.NoError(t, err)
			require.NoError(t, <-wrote)
			require.True(t, bytes.Equal(sent, got))
			_ = client.Close() // a WebSocket tells that the peer has closed first, or not
			require.NoError(t, <-echoed)
		})
	}
}

// pair returns both ends of a WebSocket connection.
func pair(t *testing.T) (server net.Conn, client *websocket.Conn) {
	t.Helper()
	l := listen(t, "ws://127.0.0.1:0", nil)
	accepted := accept(t, l)
	client, err := dialWS(t, "ws://"+l.Addr().String()+"/mqtt", nil, "mqtt")
	require.NoError(t, err)
	server = <-accepted
	t.Cleanup(func() {
		_ = client.CloseNow()
		_ = server.Close()
	})
	return server, client
}

// TestWebSocketDeadline holds that a read deadline that passes leaves the connection alone: the broker wakes its reader that way.
func TestWebSocketDeadline(t *testing.T) {
	server, client := pair(t)
	buf := make([]byte, 10)
	require.NoError(t, server.SetReadDeadline(time.Unix(1, 0)))
	_, err := server.Read(buf)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = server.Read(buf)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, server.SetReadDeadline(time.Time{}))
	require.NoError(t, client.Write(t.Context(), websocket.MessageBinary, []byte("hello")))
	n, err := server.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf[:n]))
	_, err = server.Write([]byte("there"))
	require.NoError(t, err)
	kind, got, err := client.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageBinary, kind) // [MQTT-6.0.0-3]
	require.Equal(t, "there", string(got))
}

// TestWebSocketWriteDeadline holds that a client that does not read holds up a write only up to its deadline, also one that is set
// while the write is going on.
func TestWebSocketWriteDeadline(t *testing.T) {
	server, _ := pair(t)
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := server.Write(make([]byte, 1<<20)); err != nil {
				failed <- err
				return
			}
		}
	}()
	require.NoError(t, server.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	require.Error(t, <-failed)
}

// TestWebSocketText holds that text frames are refused [MQTT-6.0.0-1].
func TestWebSocketText(t *testing.T) {
	server, client := pair(t)
	require.NoError(t, client.Write(t.Context(), websocket.MessageText, []byte("hello")))
	_, _, err := client.Read(t.Context())
	require.Equal(t, websocket.StatusUnsupportedData, websocket.CloseStatus(err))
	_, err = server.Read(make([]byte, 10))
	require.ErrorIs(t, err, io.EOF)
}

// TestWebSocketFrames holds that packets may be cut into frames anywhere [MQTT-6.0.0-2].
func TestWebSocketFrames(t *testing.T) {
	server, client := pair(t)
	for _, s := range []string{"a", "", "bc", "def"} {
		require.NoError(t, client.Write(t.Context(), websocket.MessageBinary, []byte(s)))
	}
	got := make([]byte, 6)
	_, err := io.ReadFull(server, got)
	require.NoError(t, err)
	require.Equal(t, "abcdef", string(got))
}

// TestWebSocketSilentClose holds that a client that does not answer the close frame holds Close up only for a moment.
func TestWebSocketSilentClose(t *testing.T) {
	server, _ := pair(t) // which reads nothing
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = server.Close() // the client's silence is an error of the library's
	}()
	select {
	case <-closed:
	case <-time.After(4 * time.Second):
		t.Fatal("Close hangs")
	}
}

func TestWebSocketElsewhere(t *testing.T) {
	l := listen(t, "ws://127.0.0.1:0", nil)
	resp, err := http.Get("http://" + l.Addr().String() + "/other")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	resp, err = http.Get("http://" + l.Addr().String() + "/mqtt")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

// TestWebSocketClose holds that a closed listener accepts nothing, closes idle HTTP connections and leaves accepted ones alone.
func TestWebSocketClose(t *testing.T) {
	e, err := Parse("ws://127.0.0.1:0")
	require.NoError(t, err)
	l, err := e.Listen(t.Context(), nil)
	require.NoError(t, err)
	idle, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = idle.Close() }()
	_, err = idle.Write([]byte("GET /other HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	_, err = idle.Read(make([]byte, 4096))
	require.NoError(t, err)
	accepted := accept(t, l)
	client, err := dialWS(t, "ws://"+l.Addr().String()+"/mqtt", nil, "mqtt")
	require.NoError(t, err)
	server := <-accepted
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = io.Copy(io.Discard, idle)
	require.NoError(t, err) // its end
	require.NoError(t, client.Write(t.Context(), websocket.MessageBinary, []byte("on")))
	got := make([]byte, 2)
	_, err = io.ReadFull(server, got)
	require.NoError(t, err)
	_ = client.CloseNow()
	_ = server.Close()
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	e, err := Parse("unix://" + path)
	require.NoError(t, err)
	_, err = e.Listen(t.Context(), nil)
	require.Error(t, err, "somebody listens there")
	old.SetUnlinkOnClose(false) // as a killed process leaves it
	require.NoError(t, old.Close())
	l, err := e.Listen(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = e.Listen(t.Context(), nil)
	require.Error(t, err)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))
}
