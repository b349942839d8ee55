package listen

import (
	"context"
	"errors"
	"io"
	"log"
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

// underKey is the key of the connection under a request, in its context.
type underKey struct{}

// WebSocket returns a listener of the WebSocket connections that are made to path over the connections of inner, which it closes.
func WebSocket(inner net.Listener, path string) net.Listener { return newWebSocket(inner, path) }

func newWebSocket(inner net.Listener, path string) *webSocket {
	w := &webSocket{inner: inner, conns: make(chan net.Conn), closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle(path, http.HandlerFunc(w.upgrade))
	w.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog:    log.New(io.Discard, "", 0), // what goes wrong here is the peer's doing
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, underKey{}, c) },
	}
	w.served.Go(func() { _ = w.server.Serve(inner) }) // ends by Close; Accept tells
	return w
}

// upgrade answers one request, and its goroutine then reads for the connection until that ends.
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
	under, _ := r.Context().Value(underKey{}).(net.Conn)
	conn := newWSConn(c, under, r.TLS)
	select {
	case w.conns <- conn:
		conn.receive()
	case <-w.closed:
		_ = c.CloseNow() // nobody knows it yet
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
		err = w.server.Close() // and connections that were not upgraded
		w.served.Wait()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
