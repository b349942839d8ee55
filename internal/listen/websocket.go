package listen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// webSocket accepts the WebSocket connections that an HTTP server upgrades.
type webSocket struct {
	inner  net.Listener
	server *http.Server
	young  young
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	served sync.WaitGroup
}

// WebSocketOptions say who may upgrade a connection, and what connections that were not upgraded yet may take.
type WebSocketOptions struct {
	// Origins are patterns of path.Match for the hosts, or the schemes and hosts, of pages that may connect, besides the host that is connected to. None: all
	// may, and so may programs, which name no page.
	Origins []string
	// Timeout is how long a connection may take until it is upgraded. Default 10 s.
	Timeout time.Duration
	// Young is how many connections there may be that are not upgraded yet, YoungPerHost how many from one address. Default 1,024, and as many.
	Young        int
	YoungPerHost int
}

// CheckOrigins reports what is wrong with patterns of origins.
func CheckOrigins(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(strings.ToLower(p), "host"); err != nil || p == "" {
			return fmt.Errorf("%q is no pattern of path.Match, such as \"*.example.org\"", p)
		}
	}
	return nil
}

// WebSocket returns a listener of the WebSocket connections that are made to path over the connections of inner, which it closes.
func WebSocket(inner net.Listener, path string) net.Listener {
	return newWebSocket(inner, path, WebSocketOptions{})
}

func newWebSocket(inner net.Listener, path string, o WebSocketOptions) *webSocket {
	w := &webSocket{inner: inner, conns: make(chan net.Conn), closed: make(chan struct{})}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	w.young.init(o)
	mux := http.NewServeMux()
	mux.Handle(path, Upgrade(o.Origins, w.accepted))
	w.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: o.Timeout, MaxHeaderBytes: 16 << 10, ConnState: w.young.note,
		ErrorLog: log.New(io.Discard, "", 0), // what goes wrong here is the peer's doing
	}
	w.server.SetKeepAlivesEnabled(false)              // there is nothing else to ask for
	w.served.Go(func() { _ = w.server.Serve(inner) }) // ends by Close; Accept tells
	return w
}

// accepted hands a connection to Accept. It reports false if nobody accepts any more.
func (w *webSocket) accepted(c net.Conn) bool {
	select {
	case w.conns <- c:
		return true
	case <-w.closed:
		return false
	}
}

// Upgrade returns a handler that upgrades requests and hands the connections to serve, which returns at once, false if it does not want it. The request's
// goroutine then reads for the connection until that ends.
func Upgrade(origins []string, serve func(net.Conn) bool) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := &hijacked{ResponseWriter: rw}
		c, err := websocket.Accept(h, r, &websocket.AcceptOptions{
			Subprotocols:       []string{"mqtt", "mqttv3.1"}, // [MQTT-6.0.0-4]
			InsecureSkipVerify: len(origins) == 0,            // any origin: MQTT has its own authentication and no cookies
			OriginPatterns:     origins,
			CompressionMode:    websocket.CompressionDisabled,
		})
		if err != nil {
			return // Accept has answered
		}
		c.SetReadLimit(-1) // packets are limited by the broker, in whatever frames they come [MQTT-6.0.0-2]
		conn := newWSConn(c, h.conn, r.TLS)
		if !serve(conn) {
			_ = c.CloseNow() // nobody knows it yet
			return
		}
		conn.receive()
	})
}

// hijacked remembers the connection under a request.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = c
	return c, rw, err
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
		w.young.stop()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
