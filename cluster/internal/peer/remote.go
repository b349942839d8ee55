package peer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// remote is one other node: where it is, whether it is up, the connections to it and the link.
type remote struct {
	mesh *Mesh
	name string

	failures failures

	mu            sync.Mutex
	addr          string
	links         uint64
	link          *link // nil unless the node is up
	before        *link // what is left of it when the node is lost fails first
	lost          context.Context
	lose          context.CancelCauseFunc
	data, control *grpc.ClientConn
}

func newRemote(m *Mesh, name string) *remote {
	r := &remote{mesh: m, name: name}
	r.lost, r.lose = context.WithCancelCause(context.Background())
	r.lose(shoal.ErrNodeLost)
	return r
}

func (r *remote) setAddress(addr string) {
	r.mu.Lock()
	moved := r.addr != "" && r.addr != addr
	r.addr = addr
	data, control := r.data, r.control
	if moved {
		r.data, r.control = nil, nil
	}
	r.mu.Unlock()
	for _, c := range []*grpc.ClientConn{data, control} {
		if c != nil && moved {
			_ = c.Close() // its calls fail and are made again
		}
	}
}

func (r *remote) setUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		r.links++
		lost, lose := context.WithCancelCause(context.Background())
		l := newLink(lost, r, r.links)
		if !r.mesh.spawn(l.run) {
			lose(shoal.ErrClosed)
			return
		}
		r.link, r.lost, r.lose = l, lost, lose
	}
}

func (r *remote) setDown(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil {
		r.link, r.before = nil, r.link
		r.lose(why)
	}
}

// forward queues a batch. Without a link it fails, behind everything that was forwarded before.
func (r *remote) forward(batch []byte, done func(error)) bool {
	r.mu.Lock()
	l := r.link
	if l == nil {
		l = r.before
	}
	r.mu.Unlock()
	if l != nil && l.push(batch, done) {
		return true
	}
	return r.failures.add(r.mesh.spawn, failure{done, fmt.Errorf("node %s: %w", r.name, shoal.ErrNodeLost)})
}

// upContext returns a context that ends when the node is lost.
func (r *remote) upContext() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *remote) disconnect() {
	r.mu.Lock()
	data, control := r.data, r.control
	r.data, r.control = nil, nil
	r.mu.Unlock()
	for _, c := range []*grpc.ClientConn{data, control} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// dataClient returns the connection of links and of the broker's calls, controlClient that of the cluster itself.
func (r *remote) dataClient() (peerpb.PeerClient, error)    { return r.client(&r.data) }
func (r *remote) controlClient() (peerpb.PeerClient, error) { return r.client(&r.control) }

func (r *remote) client(slot **grpc.ClientConn) (peerpb.PeerClient, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mesh.ctx.Err() != nil {
		return nil, shoal.ErrClosed
	}
	if *slot == nil {
		c, err := grpc.NewClient("passthrough:///"+r.name, r.dialOptions()...)
		if err != nil {
			return nil, err
		}
		*slot = c
	}
	return peerpb.NewPeerClient(*slot), nil
}

func (r *remote) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(r.mesh.cfg.ClientCredentials),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.dial(ctx) }),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveWait, PermitWithoutStream: true}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithReadBufferSize(ioBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newCodec()), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}
}

var errNoAddress = errors.New("peer: the node's address is not known yet")

func (r *remote) dial(ctx context.Context) (net.Conn, error) {
	r.mu.Lock()
	addr := r.addr
	r.mu.Unlock()
	if addr == "" {
		return nil, errNoAddress
	}
	return r.mesh.cfg.Dial(ctx, addr)
}
