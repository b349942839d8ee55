package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// webSocket accepts the WebSocket connections that an HTTP server upgrades.
type webSocket struct {
	inner  net.Listener
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	served sync.WaitGroup
}

func newWebSocket(inner net.Listener, path string) *webSocket {
	w := &webSocket{inner: inner, conns: make(chan net.Conn), closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(path, http.HandlerFunc(w.upgrade))
	w.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	w.served.Go(func() { _ = w.server.Serve(inner) }) // ends by Close; Accept tells
	return w
}

// upgrade answers one request and keeps its goroutine until the connection ends.
func (w *webSocket) upgrade(rw http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"mqtt", "mqttv3.1"}, // [MQTT-6.0.0-4]
		InsecureSkipVerify: true,                         // any origin: MQTT has its own authentication and no cookies
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return // Accept has answered
	}
	c.SetReadLimit(-1) // packets are limited by the broker, in whatever frames they come [MQTT-6.0.0-2]
	// Text frames are refused [MQTT-6.0.0-1]. The connection outlives the request, so its context is not the request's.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn := &wsConn{Conn: websocket.NetConn(ctx, c, websocket.MessageBinary), request: r, done: make(chan struct{})}
	select {
	case w.conns <- conn:
	case <-w.closed:
		_ = c.CloseNow()
		return
	}
	select {
	case <-conn.done:
	case <-w.closed:
		<-conn.done // the broker closes its connections itself
	}
}

// Accept implements net.Listener.
func (w *webSocket) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (w *webSocket) Addr() net.Addr { return w.inner.Addr() }

// Close stops accepting. Connections that were accepted go on.
func (w *webSocket) Close() error {
	err := net.ErrClosed
	w.once.Do(func() {
		close(w.closed)
		err = w.inner.Close()
		w.served.Wait()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// wsConn is a WebSocket connection that tells the addresses of what it runs on, and its end.
type wsConn struct {
	net.Conn
	request *http.Request
	done    chan struct{}
	once    sync.Once
}

// Close says goodbye with a close frame and ends the request.
func (c *wsConn) Close() error {
	defer c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// RemoteAddr returns the client's address.
func (c *wsConn) RemoteAddr() net.Addr {
	if a, err := net.ResolveTCPAddr("tcp", c.request.RemoteAddr); err == nil {
		return a
	}
	return c.Conn.RemoteAddr()
}

// ConnectionState returns the TLS state, nil without TLS.
func (c *wsConn) ConnectionState() *tls.ConnectionState { return c.request.TLS }
