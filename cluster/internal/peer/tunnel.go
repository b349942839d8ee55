package peer

import (
	"context"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"google.golang.org/grpc"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// tunnelChunk is how much of a tunnel's bytes one message carries.
const tunnelChunk = 64 << 10

// DialTunnel opens a stream of bytes to a node. ctx bounds the opening alone.
func (m *Mesh) DialTunnel(ctx context.Context, node string) (net.Conn, error) {
	r := m.remote(node)
	if r == nil {
		return nil, shoal.ErrClosed
	}
	client, err := r.controlClient()
	if err != nil {
		return nil, err
	}
	streamCtx, cancel := context.WithCancel(m.ctx)
	stop := context.AfterFunc(ctx, cancel)
	s, err := client.Tunnel(streamCtx, grpc.WaitForReady(true))
	if !stop() || err != nil {
		cancel()
		if err == nil {
			err = ctx.Err()
		}
		return nil, err
	}
	outer, inner := net.Pipe()
	if !m.spawn(func() { defer cancel(); m.pump(streamCtx, inner, s) }) {
		cancel()
		return nil, shoal.ErrClosed
	}
	return outer, nil
}

// Tunnel implements the service.
func (v service) Tunnel(s grpc.BidiStreamingServer[peerpb.Bytes, peerpb.Bytes]) error {
	m := v.Mesh
	outer, inner := net.Pipe()
	select {
	case m.tunnels <- outer:
	case <-s.Context().Done():
		return s.Context().Err()
	case <-m.ctx.Done():
		return status.Error(codes.Unavailable, "the node is shutting down")
	}
	m.pump(s.Context(), inner, s)
	return nil
}

// AcceptTunnel returns the next tunnel that another node opened. It fails with ErrClosed after Close.
func (m *Mesh) AcceptTunnel() (net.Conn, error) {
	select {
	case c := <-m.tunnels:
		return c, nil
	case <-m.ctx.Done():
		return nil, shoal.ErrClosed
	}
}

// byteStream is either end of a tunnel.
type byteStream interface {
	Send(*peerpb.Bytes) error
	Recv() (*peerpb.Bytes, error)
}

// pump moves bytes both ways until one side ends. The receiving goroutine ends with the stream, after this returns.
func (m *Mesh) pump(ctx context.Context, c net.Conn, s byteStream) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	receive := func() {
		defer c.Close()
		for {
			b, err := s.Recv()
			if err != nil {
				return
			}
			if _, err := c.Write(b.Data); err != nil {
				return
			}
		}
	}
	if !m.spawn(receive) {
		return
	}
	buf := make([]byte, tunnelChunk)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if s.Send(&peerpb.Bytes{Data: buf[:n]}) != nil {
			return
		}
	}
}
