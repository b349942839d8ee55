package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

const (
	streamWindow  = 4 << 20
	connWindow    = 16 << 20
	ioBuffer      = 64 << 10
	keepaliveTime = 10 * time.Second
	keepaliveWait = 5 * time.Second
)

// Handler takes what other nodes send.
type Handler interface {
	// Receive takes a batch; see shoal.StateMachine.
	Receive(node string, batch []byte, accepted func(error))
	// Serve answers the broker's calls, Control the cluster's own. Both are called concurrently.
	Serve(ctx context.Context, node string, request []byte) ([]byte, error)
	Control(ctx context.Context, node string, request []byte) ([]byte, error)
}

// Config says who a Mesh is.
type Config struct {
	Self string
	// Boot differs at every start of the node.
	Boot uint64
	// Listener takes the connections of the other nodes. The Mesh closes it.
	Listener net.Listener
	Dial     func(ctx context.Context, addr string) (net.Conn, error)
	Handler  Handler
	Logger   *slog.Logger
	// Levels are the levels of the formats that this node speaks; see package level. Default: what this program speaks. The two ends of a link agree
	// on the later one of those that both speak. Level returns that of the cluster, in which calls are made; nil: the oldest.
	Levels level.Range
	Level  func() int
	// ServerCredentials and ClientCredentials secure the connections; nil means plain text.
	ServerCredentials, ClientCredentials credentials.TransportCredentials
}

// Mesh is this node's end of all links. All methods may be called concurrently.
type Mesh struct {
	cfg     Config
	server  *grpc.Server
	tunnels chan net.Conn
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	remotes map[string]*remote
	inbound map[string]*inbound
}

// New returns a Mesh. Start makes it serve.
func New(cfg Config) *Mesh {
	if cfg.ServerCredentials == nil {
		cfg.ServerCredentials = insecure.NewCredentials()
	}
	if cfg.ClientCredentials == nil {
		cfg.ClientCredentials = insecure.NewCredentials()
	}
	if cfg.Levels == (level.Range{}) {
		cfg.Levels = level.Own()
	}
	if cfg.Level == nil {
		cfg.Level = func() int { return cfg.Levels.Oldest }
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Mesh{
		cfg:     cfg,
		tunnels: make(chan net.Conn),
		ctx:     ctx,
		cancel:  cancel,
		remotes: make(map[string]*remote),
		inbound: make(map[string]*inbound),
	}
}

// Start begins to serve the listener.
func (m *Mesh) Start() {
	m.server = grpc.NewServer(
		grpc.Creds(m.cfg.ServerCredentials),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.WriteBufferSize(ioBuffer),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveWait}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
	)
	peerpb.RegisterPeerServer(m.server, service{Mesh: m})
	m.wg.Go(func() {
		if err := m.server.Serve(m.cfg.Listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) && m.ctx.Err() == nil {
			m.cfg.Logger.Error("listener of the cluster's links failed", "err", err)
		}
	})
}

// Close fails what is queued with ErrClosed, closes all connections and waits for every goroutine.
func (m *Mesh) Close() {
	m.mu.Lock()
	m.closed = true
	remotes := make([]*remote, 0, len(m.remotes))
	for _, r := range m.remotes {
		remotes = append(remotes, r)
	}
	m.mu.Unlock()
	m.cancel()
	for _, r := range remotes {
		r.setDown(shoal.ErrClosed)
		r.disconnect()
	}
	if m.server != nil {
		m.server.Stop()
	} else {
		_ = m.cfg.Listener.Close()
	}
	m.wg.Wait()
}

// SetAddress says where a node listens. A connection to another address is given up.
func (m *Mesh) SetAddress(node, addr string) {
	if r := m.remote(node); r != nil {
		r.setAddress(addr)
	}
}

// NodeUp says that a node takes part. Only then can batches be forwarded to it.
func (m *Mesh) NodeUp(node string) {
	if r := m.remote(node); r != nil {
		r.setUp()
	}
}

// NodeDown says that a node is lost: what waits for it fails with ErrNodeLost.
func (m *Mesh) NodeDown(node string) {
	if r := m.remote(node); r != nil {
		r.setDown(fmt.Errorf("node %s: %w", node, shoal.ErrNodeLost))
	}
}

// Forward sends a batch to a node; see shoal.Replicator.
func (m *Mesh) Forward(node string, batch []byte, done func(error)) bool {
	r := m.remote(node)
	return r != nil && r.forward(batch, done)
}

// spawn runs f on a goroutine that Close waits for, or returns false after Close.
func (m *Mesh) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.wg.Go(f)
	}
	return !m.closed
}

// remote returns the state of a node, or nil after Close.
func (m *Mesh) remote(node string) *remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	r := m.remotes[node]
	if r == nil {
		r = newRemote(m, node)
		m.remotes[node] = r
	}
	return r
}
