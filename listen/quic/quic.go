// Package quic is a listener for MQTT over QUIC, as EMQX and comqtt have it: the client opens one bidirectional stream, on which it speaks MQTT. The
// name of the protocol in TLS (ALPN) is "mqtt".
//
//	l, err := quic.Listen(":14567", tlsConfig, quic.Options{})
//	b, err := shoal.New(shoal.WithListener(l), …)
package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Options of a listener; the zero value has good defaults.
type Options struct {
	// ZeroRTT lets clients that come back send at once. What they send can be repeated by others who have recorded it.
	ZeroRTT bool
	// IdleTimeout ends connections of which nothing has been heard, not even an acknowledgement. Default 60 s; MQTT's Keep Alive counts besides.
	IdleTimeout time.Duration
}

// maxWaiting bounds connections that have no stream yet.
const maxWaiting = 1024

// streamTimeout is how long a connection may take to open its stream.
const streamTimeout = 10 * time.Second

// alpn is the name of the protocol in TLS.
const alpn = "mqtt"

type listener struct {
	inner   *quic.EarlyListener
	packets net.PacketConn
	conns   chan net.Conn
	waiting chan struct{}
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
	err     error
}

// Listen binds a UDP address. The configuration needs a certificate; its NextProtos are replaced.
func Listen(addr string, config *tls.Config, o Options) (net.Listener, error) {
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	l := &listener{packets: packets, conns: make(chan net.Conn), waiting: make(chan struct{}, maxWaiting)}
	idle := o.IdleTimeout
	if idle == 0 {
		idle = time.Minute
	}
	l.inner, err = quic.ListenEarly(packets, withALPN(config), &quic.Config{
		MaxIdleTimeout: idle, MaxIncomingStreams: 1, MaxIncomingUniStreams: -1, Allow0RTT: o.ZeroRTT, HandshakeIdleTimeout: streamTimeout,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("quic: %w", err), packets.Close())
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.running.Go(l.accept)
	return l, nil
}

// withALPN returns the configuration, and those that it gives for clients, with the protocol's name and TLS 1.3.
func withALPN(config *tls.Config) *tls.Config {
	c := config.Clone()
	c.NextProtos, c.MinVersion = []string{alpn}, tls.VersionTLS13
	if get := config.GetConfigForClient; get != nil {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			found, err := get(h)
			if found == nil || err != nil {
				return found, err
			}
			found = found.Clone()
			found.NextProtos, found.MinVersion = []string{alpn}, tls.VersionTLS13
			return found, nil
		}
	}
	return c
}

func (l *listener) accept() {
	for {
		c, err := l.inner.Accept(l.ctx)
		if err != nil {
			return
		}
		select {
		case l.waiting <- struct{}{}:
			l.running.Go(func() { defer func() { <-l.waiting }(); l.await(c) })
		default:
			_ = c.CloseWithError(1, "too many connections that have sent nothing")
		}
	}
}

// await waits for the stream of a connection, and hands it over.
func (l *listener) await(c *quic.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, streamTimeout)
	defer cancel()
	s, err := c.AcceptStream(ctx)
	if err != nil {
		_ = c.CloseWithError(1, "no stream")
		return
	}
	select {
	case l.conns <- &conn{Stream: s, c: c}:
	case <-l.ctx.Done():
		_ = c.CloseWithError(0, "")
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were accepted go on for as long as quic-go answers their packets, and end with the process.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.cancel()
		l.err = l.inner.Close()
		l.running.Wait()
		l.err = errors.Join(l.err, l.packets.Close())
	})
	return l.err
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.inner.Addr() }

// conn is the stream of a connection.
type conn struct {
	*quic.Stream
	c *quic.Conn
}

func (c *conn) LocalAddr() net.Addr  { return c.c.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.c.RemoteAddr() }

// ConnectionState tells the broker of certificates of clients.
func (c *conn) ConnectionState() *tls.ConnectionState {
	state := c.c.ConnectionState().TLS
	return &state
}

// Close ends the connection, behind what was written.
func (c *conn) Close() error {
	err := c.Stream.Close()
	c.Stream.CancelRead(0)
	// The end of the stream has to arrive before the end of the connection, which would drop what is under way.
	go func() {
		select {
		case <-c.Stream.Context().Done():
		case <-c.c.Context().Done():
		case <-time.After(lingerTime):
		}
		_ = c.c.CloseWithError(0, "")
	}()
	return err
}

// lingerTime is how long what was written last may take to arrive.
const lingerTime = time.Second
