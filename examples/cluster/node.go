package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/storage/redis"
)

// runNode runs one node of a cluster until ctx ends, and drains it.
func runNode(ctx context.Context, n *nodeSettings, dataDir string, log *slog.Logger) (err error) {
	if err := program.CheckPorts(ctx, n.ports()); err != nil {
		return err
	}
	dir, remove, err := program.DataDir(dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	log.Info("shoal initializing", "node", n.name)
	log.Warn("everyone is let in: there is no authentication in this example")
	program.SayStorage(log, dataDir, filepath.Join(dir, n.name))
	if !n.bootstrap && len(n.members) == 0 {
		log.Warn("neither -members nor -raft-bootstrap is given: waiting to be found by a node that names this one")
	}
	cfg := cluster.Config{
		Name: n.name, Bootstrap: n.bootstrap, ExpectNodes: n.expect, Join: n.members,
		BindIP: n.bindIP, GossipPort: n.gossipPort, RaftPort: n.raftPort, PeerPort: n.grpcPort, RaftOverGRPC: n.raftOverGRPC,
		ServerReference: n.serverReference(), Logger: log,
	}
	if n.proxy != "" {
		cfg.Network = sockets{n.proxy}
	}
	more := []shoal.Option{shoal.WithDurability(shoal.Durabilities{Broker: n.durability})}
	if n.storage != "" {
		more = append(more, shoal.WithStorage(redis.Open(n.storage)))
		log.Info("sessions are in a store that all nodes share")
	}
	b, c, err := newBroker(cfg, n.listeners(), dir, log, more...)
	if err != nil {
		return err
	}
	if n.leave {
		c.LeaveOnClose()
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	log.Info("waiting for the cluster")
	return program.Serve(ctx, log, func() { log.Info("shoal server started", "node", n.name) }, b)
}

// newBroker makes a node that keeps its log in a directory of its own in dir.
func newBroker(cfg cluster.Config, listeners []string, dir string, log *slog.Logger, more ...shoal.Option) (*shoal.Broker, *cluster.Cluster, error) {
	cfg.Dir = filepath.Join(dir, cfg.Name, "raft")
	c := cluster.New(cfg)
	b, err := shoal.New(append(more,
		shoal.WithListen(listeners...),
		shoal.WithAnonymous(),
		shoal.WithCluster(c),
		shoal.WithLogger(log),
	)...)
	return b, c, err
}
