package main

import (
	"flag"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/examples/internal/program"
)

const usage = `Shoal: many nodes, one broker. Everyone is let in.

  cluster
        Three nodes in one process, for MQTT clients on 127.0.0.1:1883, :1885 and :1887.

  cluster -node-name c01 -raft-bootstrap
  cluster -node-name c02 -gossip-port 7947 -raft-port 8947 -members localhost:7946 -tcp :1885 -ws :1886
  cluster -node-name c03 -gossip-port 7948 -raft-port 8948 -members localhost:7946 -tcp :1887 -ws :1888
        One node per process. A flag other than -data-dir and -log-level chooses this; -node-name is then required.

Nodes trust each other and talk in plain text: keep their ports in a network of their own.
`

// settings are what the command line says.
type settings struct {
	dataDir  string
	logLevel slog.Level
	node     *nodeSettings // nil: the demonstration
}

// nodeSettings describe one node of a cluster of processes.
type nodeSettings struct {
	name                           string
	bindIP                         string
	members                        []string
	gossipPort, raftPort, grpcPort int
	leave                          bool
	bootstrap                      bool
	expect                         int
	raftOverGRPC                   bool
	tcp, ws                        string // host:port, empty for none
	storage                        string // URL of the store that all nodes share, "" for the replicated log
	proxy                          string // host:port, empty for none
	durability                     shoal.Durability
}

// Ports that are not given follow the gossip port, so that several nodes on one machine need not name them all.
const (
	defaultGossipPort = 7946
	raftAboveGossip   = 1000
	grpcAboveGossip   = 10000
)

func parse(args []string, stderr io.Writer) (*settings, error) {
	var (
		s       settings
		n       nodeSettings
		members string
	)
	fs := program.Flags("cluster", usage, stderr)
	level := program.LogLevel(fs)
	fs.StringVar(&s.dataDir, "data-dir", "", "`directory` for data: DIR/<node>/raft, the log that the nodes replicate (default: a temporary one, removed at the end)")
	fs.StringVar(&n.name, "node-name", "", "`name` of the node, unique in the cluster and the same over restarts")
	fs.StringVar(&n.bindIP, "bind-ip", program.Loopback, "`address` for gossip, raft and gRPC between nodes; not for clients, see -tcp and -ws")
	fs.StringVar(&members, "members", "", "gossip `addresses` of nodes to join, with commas between; one that is up is enough, and this node's own may be among them")
	fs.IntVar(&n.gossipPort, "gossip-port", defaultGossipPort, "`port` by which nodes find each other")
	fs.IntVar(&n.raftPort, "raft-port", 0, "`port` of raft (default: the gossip port + 1000, which is 8946)")
	fs.BoolVar(&n.bootstrap, "raft-bootstrap", false, "begin a cluster if there is none to join; for exactly one node")
	fs.IntVar(&n.expect, "raft-expect", 0, "instead of -raft-bootstrap: begin a cluster when so many `nodes` that expect as many see each other; the same for all of them")
	fs.BoolVar(&n.leave, "leave", false, "when the program is stopped, leave the cluster for good: nobody waits for this node any more")
	fs.BoolVar(&n.raftOverGRPC, "grpc-enable", false, "send raft's traffic through the gRPC port, too; -raft-port is then not opened")
	fs.IntVar(&n.grpcPort, "grpc-port", 0, "`port` of gRPC, which carries messages between nodes (default: the gossip port + 10000, which is 17946)")
	fs.StringVar(&n.tcp, "tcp", ":1883", "`address` for MQTT clients over TCP; without a host it is on 127.0.0.1, empty is none")
	fs.StringVar(&n.ws, "ws", ":1882", "`address` for MQTT clients over WebSocket, path /mqtt; without a host it is on 127.0.0.1, empty is none")
	fs.Func("durability", "`what` has a message for a lasting session before it is acknowledged: memory of one node, quorum of the nodes, fsync of a quorum's disks (default quorum)", func(name string) (err error) {
		n.durability, err = shoal.ParseDurability(name)
		return err
	})
	fs.StringVar(&n.storage, "storage", "", "`URL` of a Redis that all nodes share for their sessions, such as redis://127.0.0.1:6379/0; package storage/redis has all forms (default: sessions are in the log that the nodes replicate)")
	fs.StringVar(&n.proxy, "node-proxy", "", "`address` of an HTTP proxy for the connections to other nodes; not for gossip's packets")
	if err := program.ParseFlags(fs, args); err != nil {
		return nil, err
	}
	s.logLevel = *level
	chosen := "" // the first flag that asks for one node
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		if chosen == "" && f.Name != "data-dir" && f.Name != "log-level" {
			chosen = f.Name
		}
	})
	if chosen == "" {
		return &s, nil
	}
	if n.name == "" {
		return nil, program.Usagef("-%s is for one node of a cluster, and that needs a name of its own: add -node-name, such as -node-name c01", chosen)
	}
	if members != "" {
		n.members = strings.Split(members, ",")
	}
	if err := n.complete(given); err != nil {
		return nil, err
	}
	s.node = &n
	return &s, nil
}

// complete checks what was given and fills in what follows from it.
func (n *nodeSettings) complete(given map[string]bool) error {
	if strings.Trim(n.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || strings.Trim(n.name, ".") == "" || len(n.name) > 64 {
		return program.Usagef("-node-name %q: use at most 64 letters, digits, '-', '_' and '.'; it becomes the name of a directory", n.name)
	}
	ip, err := netip.ParseAddr(n.bindIP)
	switch {
	case err != nil:
		return program.Usagef("-bind-ip %q is not an IP address, such as 192.0.2.1", n.bindIP)
	case ip.IsUnspecified():
		return program.Usagef("-bind-ip %s means every address; give the one at which the other nodes reach this one", n.bindIP)
	}
	if _, _, err := net.SplitHostPort(n.proxy); n.proxy != "" && err != nil {
		return program.Usagef("-node-proxy %q is not host:port, such as 127.0.0.1:3128", n.proxy)
	}
	if n.storage != "" && !isRedis(n.storage) {
		return program.Usagef("-storage %q is no URL of a Redis, such as redis://127.0.0.1:6379/0", n.storage)
	}
	for i, m := range n.members {
		m = strings.TrimSpace(m)
		host, port, err := net.SplitHostPort(m)
		if p, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || p == 0 {
			return program.Usagef("-members: %q is not host:port of a node's gossip, such as 192.0.2.1:7946", m)
		}
		n.members[i] = m
	}
	if n.expect < 0 || given["raft-expect"] && n.expect == 0 {
		return program.Usagef("-raft-expect %d: give how many nodes are started at first, such as 3", n.expect)
	}
	if n.expect > 0 && n.bootstrap {
		return program.Usagef("-raft-expect and -raft-bootstrap are both given; use one of them")
	}
	if err := n.completePorts(given); err != nil {
		return err
	}
	if n.tcp, err = program.ListenAddress("-tcp", n.tcp); err != nil {
		return err
	}
	if n.ws, err = program.ListenAddress("-ws", n.ws); err != nil {
		return err
	}
	if n.tcp == "" && n.ws == "" {
		return program.Usagef("-tcp and -ws are both empty: clients could not connect; give at least one an address, such as :1883")
	}
	return nil
}

func (n *nodeSettings) completePorts(given map[string]bool) error {
	if !given["raft-port"] {
		n.raftPort = n.gossipPort + raftAboveGossip
	}
	if !given["grpc-port"] {
		n.grpcPort = n.gossipPort + grpcAboveGossip
	}
	for _, p := range []struct {
		flag string
		port int
	}{{"gossip-port", n.gossipPort}, {"raft-port", n.raftPort}, {"grpc-port", n.grpcPort}} {
		switch {
		case p.port >= 1 && p.port <= 65535:
		case given[p.flag] || p.flag == "gossip-port":
			return program.Usagef("-%s %d is not a port; use 1 to 65535", p.flag, p.port)
		default:
			return program.Usagef("-%s must be given: -gossip-port %d leaves no port for it", p.flag, n.gossipPort)
		}
	}
	return nil
}

// ports are all that the node is going to listen on.
func (n *nodeSettings) ports() []program.Port {
	at := func(port int) string { return net.JoinHostPort(n.bindIP, strconv.Itoa(port)) }
	ports := []program.Port{
		{Flag: "-gossip-port", Address: at(n.gossipPort), UDP: true},
		{Flag: "-grpc-port", Address: at(n.grpcPort)},
	}
	if !n.raftOverGRPC {
		ports = append(ports, program.Port{Flag: "-raft-port", Address: at(n.raftPort)})
	}
	if n.tcp != "" {
		ports = append(ports, program.Port{Flag: "-tcp", Address: n.tcp})
	}
	if n.ws != "" {
		ports = append(ports, program.Port{Flag: "-ws", Address: n.ws})
	}
	return ports
}

// listeners are the URLs for clients.
func (n *nodeSettings) listeners() []string {
	var urls []string
	if n.tcp != "" {
		urls = append(urls, "tcp://"+n.tcp)
	}
	if n.ws != "" {
		urls = append(urls, "ws://"+n.ws)
	}
	return urls
}

// serverReference is where clients of other nodes can go, or "" if that is not one address.
func (n *nodeSettings) serverReference() string {
	host, _, err := net.SplitHostPort(n.tcp)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return ""
	}
	return n.tcp
}

func isRedis(url string) bool {
	scheme, _, ok := strings.Cut(url, "://")
	return ok && (scheme == "redis" || scheme == "rediss" || scheme == "unix")
}
