package network

import (
	"context"
	"net"
	"time"
)

// Network opens packet connections, listeners and connections. Addresses are "host:port". All methods may be called
// concurrently.
type Network interface {
	// ListenPacket opens a packet connection. Packets may be lost, repeated or reordered. A port of 0 means any free one.
	ListenPacket(addr string) (net.PacketConn, error)
	// Listen opens a listener for streams. A port of 0 means any free one.
	Listen(addr string) (net.Listener, error)
	// Dial opens a stream. ctx bounds the dialling alone.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// Resolver says what a host name stands for: all its addresses. It is an optional interface of a Network. Without it names go to the
// operating system's resolver.
type Resolver interface {
	LookupHost(ctx context.Context, host string) (addrs []string, err error)
}

// Real is the operating system's network: UDP and TCP.
type Real struct{}

// ListenPacket opens a UDP socket.
func (Real) ListenPacket(addr string) (net.PacketConn, error) { return net.ListenPacket("udp", addr) }

// Listen opens a TCP listener.
func (Real) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// Dial opens a TCP connection. The system's keep-alive is left off: gRPC and raft look after their connections.
func (Real) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -time.Second}
	return d.DialContext(ctx, "tcp", addr)
}

// LookupHost asks the operating system's resolver.
func (Real) LookupHost(ctx context.Context, host string) ([]string, error) {
	return net.DefaultResolver.LookupHost(ctx, host)
}
