package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/shoalmq/shoal/cluster"
)

// sockets are the operating system's network, but for the streams to other nodes: those go through an HTTP proxy. Gossip's packets do not.
type sockets struct{ proxy string }

var _ cluster.Network = sockets{}

func (sockets) ListenPacket(addr string) (net.PacketConn, error) {
	return net.ListenPacket("udp", addr)
}

func (sockets) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// Dial opens a stream by CONNECT.
func (s sockets) Dial(ctx context.Context, addr string) (_ net.Conn, err error) {
	conn, err := (&net.Dialer{KeepAlive: -time.Second}).DialContext(ctx, "tcp", s.proxy)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends what follows
	defer func() {
		if !stop() {
			err = errors.Join(err, ctx.Err())
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	_ = answer.Body.Close() // it has none
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("proxy: no way to %s: %s", addr, answer.Status)
	}
	return &tunnelled{conn, r}, nil
}

// tunnelled is a connection of which something may have been read with the proxy's answer.
type tunnelled struct {
	net.Conn
	r io.Reader
}

func (c *tunnelled) Read(b []byte) (int, error) { return c.r.Read(b) }
