package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/admin"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/examples/internal/program"
	"github.com/shoalmq/shoal/internal/config"
)

// runNode runs one node of a cluster until ctx ends, and drains it.
func runNode(ctx context.Context, a *program.App) (err error) {
	if err := program.CheckPorts(ctx, nodePorts(&a.Cluster)); err != nil {
		return err
	}
	dir, remove, err := a.Directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	_, _, where := program.ClusterStorage(a.Loaded, dir)
	a.Greet(where, "node", a.Cluster.NodeName)
	c := &a.Cluster
	if !c.RaftBootstrap && c.RaftExpect == 0 && len(c.Members) == 0 {
		a.Log.Warn("neither -members nor -raft-bootstrap is given: waiting to be found by a node that names this one")
	}
	if err := a.Bind(ctx); err != nil {
		return err
	}
	b, cl, err := newNode(ctx, a, dir)
	if err != nil {
		a.Unbind()
		return err
	}
	if c := a.Loaded; c.Leave {
		cl.LeaveOnClose()
	}
	if err := b.Start(ctx); err != nil {
		a.Unbind()
		return err
	}
	a.Log.Info("waiting for the cluster")
	return a.Serve(ctx, b, admin.Config{
		Self:  c.NodeName,
		Nodes: func() []admin.Node { return program.Nodes(cl.Status().Nodes) },
		Ready: func(context.Context) error {
			if !cl.Serving() {
				return errors.New("this node holds no lease: it does not reach a majority of its cluster")
			}
			return nil
		},
	}, func() { a.Log.Info("shoal server started", "node", c.NodeName) })
}

// newNode makes a node. It binds nothing and writes nothing.
func newNode(ctx context.Context, a *program.App, dir string) (*shoal.Broker, *cluster.Cluster, error) {
	cfg, err := clusterConfig(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	opts, err := a.Options()
	if err != nil {
		return nil, nil, err
	}
	store, logDir, _ := program.ClusterStorage(a.Loaded, dir)
	if store != nil {
		opts = append(opts, shoal.WithStorage(store))
	}
	cfg.Dir = logDir
	cl := cluster.New(cfg)
	b, err := shoal.New(append(opts, shoal.WithCluster(cl))...)
	return b, cl, err
}

func clusterConfig(ctx context.Context, a *program.App) (cluster.Config, error) {
	c := &a.Cluster
	advertise, err := a.AdvertiseIP(ctx)
	if err != nil {
		return cluster.Config{}, err
	}
	reached := advertise
	if reached == "" {
		reached = c.BindAddr
	}
	cfg := cluster.Config{
		Name: c.NodeName, Bootstrap: c.RaftBootstrap, ExpectNodes: c.RaftExpect, Join: c.Members,
		BindIP: c.BindAddr, AdvertiseIP: advertise, GossipPort: c.BindPort, RaftPort: c.RaftPort, PeerPort: c.GRPCPort, RaftOverGRPC: c.GRPCEnable,
		ServerReference: serverReference(a.TCPAddress()), Attributes: a.Attributes(reached), Voters: c.Voters, Logger: a.Log,
	}
	if !strings.EqualFold(c.RaftLogLevel, "debug") { // the chatter is at that level
		cfg.Logger = program.AtLeast(a.Log, slog.LevelInfo)
	}
	if c.Proxy != "" {
		cfg.Network = sockets{c.Proxy}
	}
	if cfg.TLS, err = nodeTLS(&c.TLS); err != nil {
		return cluster.Config{}, fmt.Errorf("cluster.tls: %w", err)
	}
	if cfg.GossipKeys, err = gossipKeys(c.GossipKeyFile); err != nil {
		return cluster.Config{}, fmt.Errorf("cluster.gossip-key-file: %w", err)
	}
	return cfg, nil
}

// nodeTLS is the configuration of the streams between nodes, nil for plain text.
func nodeTLS(t *config.NodeTLS) (*tls.Config, error) {
	if t.Cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", t.CA)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots, ClientCAs: roots, ServerName: t.ServerName}, nil
}

func gossipKeys(path string) (keys [][]byte, err error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.FieldsSeq(string(content)) {
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("%s: key %d is not base64: %w", path, len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// nodePorts are those that the node is going to listen on for other nodes.
func nodePorts(c *config.Cluster) []program.Port {
	at := func(port int) string { return net.JoinHostPort(c.BindAddr, strconv.Itoa(port)) }
	ports := []program.Port{
		{Flag: "-gossip-port", Address: at(c.BindPort), UDP: true},
		{Flag: "-grpc-port", Address: at(c.GRPCPort)},
	}
	if !c.GRPCEnable {
		ports = append(ports, program.Port{Flag: "-raft-port", Address: at(c.RaftPort)})
	}
	return ports
}

// serverReference is where clients of other nodes can go, or "" if that is not one address.
func serverReference(tcp string) string {
	host, _, err := net.SplitHostPort(tcp)
	if err != nil || host == "" {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return ""
	}
	return tcp
}
