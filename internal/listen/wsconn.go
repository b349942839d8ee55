package listen

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/shoalmq/shoal/internal/pipe"
)

// closePatience is how long Close waits for the client's close frame.
const closePatience = time.Second

// wsConn is a WebSocket connection as a net.Conn. The library's own closes the connection when a read deadline passes; the
// broker's reader is woken by deadlines all the time. So reading goes through a pipe, which the goroutine that upgraded the
// connection fills.
type wsConn struct {
	net.Conn // the pipe's end for the broker; its reading half is used
	feed     net.Conn
	ws       *websocket.Conn
	under    net.Conn
	tls      *tls.ConnectionState

	text atomic.Bool // the client has sent text, which is why the connection ends

	mu       sync.Mutex
	deadline time.Time          // of writing
	abort    context.CancelFunc // of the Write that is going on; nil if there is none
	timer    *time.Timer        // calls abort at the deadline
}

func newWSConn(ws *websocket.Conn, under net.Conn, state *tls.ConnectionState) *wsConn {
	c := &wsConn{ws: ws, under: under, tls: state}
	c.Conn, c.feed = pipe.New("websocket")
	return c
}

// receive fills the pipe until the connection ends. Messages are only the vessel of a stream of bytes [MQTT-6.0.0-2]; text is
// refused [MQTT-6.0.0-1].
func (c *wsConn) receive() {
	defer func() { _ = c.feed.Close() }() // cannot fail
	for {
		kind, message, err := c.ws.Reader(context.Background()) // ends with the connection
		if err != nil {
			return
		}
		if kind != websocket.MessageBinary {
			c.text.Store(true) // before the reader learns of the end, and closes the connection, too
			_ = c.feed.Close()
			_ = c.closeFrames()
			return
		}
		if _, err := io.Copy(c.feed, message); err != nil {
			return
		}
	}
}

// Write sends p as one binary message [MQTT-6.0.0-3]. When the write deadline passes on the way, the connection is lost.
func (c *wsConn) Write(p []byte) (int, error) {
	ctx, abort := context.WithCancel(context.Background())
	defer abort()
	c.mu.Lock()
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.abort = abort
	c.arm()
	c.mu.Unlock()
	err := c.ws.Write(ctx, websocket.MessageBinary, p)
	c.mu.Lock()
	c.abort = nil
	c.arm()
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// arm sets the timer for the Write that is going on. The caller holds c.mu.
func (c *wsConn) arm() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.abort != nil && !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), c.abort)
	}
}

// SetWriteDeadline implements net.Conn.
func (c *wsConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	c.arm()
	return nil
}

// SetDeadline implements net.Conn.
func (c *wsConn) SetDeadline(t time.Time) error {
	_ = c.SetWriteDeadline(t) // cannot fail
	return c.SetReadDeadline(t)
}

// Close says goodbye with a close frame and waits a little for the client's.
func (c *wsConn) Close() error {
	_ = c.Conn.Close() // the pipe, which cannot fail
	if c.under != nil {
		timer := time.AfterFunc(closePatience, func() { _ = c.under.Close() })
		defer timer.Stop()
	}
	return c.closeFrames()
}

// closeFrames sends the close frame, which says why.
func (c *wsConn) closeFrames() error {
	if c.text.Load() {
		return c.ws.Close(websocket.StatusUnsupportedData, "MQTT is sent in binary frames")
	}
	return c.ws.Close(websocket.StatusNormalClosure, "")
}

// LocalAddr and RemoteAddr return those of the connection under the WebSocket.
func (c *wsConn) LocalAddr() net.Addr { return c.addr(net.Conn.LocalAddr) }

// RemoteAddr returns the client's address.
func (c *wsConn) RemoteAddr() net.Addr { return c.addr(net.Conn.RemoteAddr) }

func (c *wsConn) addr(of func(net.Conn) net.Addr) net.Addr {
	if c.under != nil {
		return of(c.under)
	}
	return of(c.Conn)
}

// NetConn returns the connection under the WebSocket, nil if it is not known.
func (c *wsConn) NetConn() net.Conn { return c.under }

// ConnectionState returns the TLS state, nil without TLS.
func (c *wsConn) ConnectionState() *tls.ConnectionState { return c.tls }
