package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/examples/internal/program"
)

// demoAddresses are where clients reach the three nodes c01, c02 and c03.
var demoAddresses = []string{"127.0.0.1:1883", "127.0.0.1:1885", "127.0.0.1:1887"}

// runDemo runs one node for each address in this process until ctx ends, and drains them all. The nodes talk to each other
// through sockets on free ports, as nodes on different machines do.
func runDemo(ctx context.Context, addresses []string, dataDir string, log *slog.Logger, stderr io.Writer) (err error) {
	var ports []program.Port
	for i, a := range addresses {
		ports = append(ports, program.Port{
			Flag: "node " + nodeName(i) + " of the demonstration; to choose, run one node per process with -node-name and -tcp", Address: a,
		})
	}
	if err := program.CheckPorts(ctx, ports); err != nil {
		return err
	}
	dir, remove, err := program.DataDir(dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	log.Info("shoal initializing: three nodes in one process")
	log.Warn("everyone is let in: there is no authentication in this example")
	program.SayStorage(log, dataDir, dir)
	brokers, err := startDemo(ctx, addresses, dir, log)
	if err != nil {
		return errors.Join(err, program.Stop(ctx, brokers...))
	}
	return program.Serve(ctx, log, func() {
		log.Info("shoal server started")
		program.HowToTry(stderr, "One broker, three nodes. Subscribe at one node, publish at another:", addresses[0], addresses[len(addresses)-1])
	}, brokers...)
}

// startDemo starts the nodes. In case of an error it returns those that run.
func startDemo(ctx context.Context, addresses []string, dir string, log *slog.Logger) (brokers []*shoal.Broker, err error) {
	var join []string
	for i, address := range addresses {
		said := log
		if i > 0 { // one node is enough to tell what happens in the cluster
			said = program.AtLeast(log, slog.LevelWarn)
		}
		b, c, err := newBroker(cluster.Config{
			Name: nodeName(i), Bootstrap: i == 0, GossipPort: cluster.AnyPort, Join: join, ServerReference: address, Logger: said,
		}, []string{"tcp://" + address}, dir, log)
		if err != nil {
			return brokers, err
		}
		if err := b.Start(ctx); err != nil {
			return brokers, fmt.Errorf("node %s, data in %s: %w", nodeName(i), filepath.Join(dir, nodeName(i)), err)
		}
		brokers = append(brokers, b)
		join = append(join, c.Addr())
	}
	return brokers, nil
}

func nodeName(i int) string { return fmt.Sprintf("c%02d", i+1) }

// newBroker makes a node of the demonstration that keeps its log in a directory of its own in dir.
func newBroker(cfg cluster.Config, listeners []string, dir string, log *slog.Logger) (*shoal.Broker, *cluster.Cluster, error) {
	cfg.Dir = filepath.Join(dir, cfg.Name, "raft")
	c := cluster.New(cfg)
	b, err := shoal.New(shoal.WithListen(listeners...), shoal.WithAnonymous(), shoal.WithCluster(c), shoal.WithLogger(log))
	return b, c, err
}
