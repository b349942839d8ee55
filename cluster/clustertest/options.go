package clustertest

import (
	"log/slog"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
)

type options struct {
	seed   uint64
	onDisk bool
	broker func(i int) []shoal.Option
	config func(i int, c *cluster.Config)
	shared *SharedStorage
	logger *slog.Logger
	ws     bool
}

// Option changes what New makes.
type Option func(*options)

// WithSeed sets the seed of everything random in the network. Default 1.
func WithSeed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// WithDisk keeps each node's raft log and snapshots in a directory, so that a restarted node finds them. Without it they are in memory.
func WithDisk() Option { return func(o *options) { o.onDisk = true } }

// WithBroker adds options to each node's broker. Without it, everyone may connect. i counts from 0.
func WithBroker(f func(i int) []shoal.Option) Option { return func(o *options) { o.broker = f } }

// WithConfig changes each node's configuration before it is used.
func WithConfig(f func(i int, c *cluster.Config)) Option { return func(o *options) { o.config = f } }

// WithLogger sets where all nodes log. Default: nowhere.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithWebSocket makes every node listen for WebSocket connections, too; see DialWebSocket.
func WithWebSocket() Option { return func(o *options) { o.ws = true } }
