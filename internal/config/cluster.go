package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Ports that are not given follow the gossip port, so that several nodes on one machine need not name them all.
const (
	raftAboveGossip = 1000
	grpcAboveGossip = 10000
)

// IsNode reports whether something was given that only one node of a cluster can have: without, the program shows three of them.
func (l *Loaded) IsNode() bool {
	if l.File != "" {
		return true
	}
	for path := range l.origins {
		switch path {
		case "data-dir", "log.level", "log.zerolog-level", "log.format", "drain-timeout":
		default:
			return true
		}
	}
	return false
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

func (v *validator) cluster() {
	l, c := v.l, &v.l.Cluster
	switch {
	case c.NodeName == "":
		v.bad("cluster.node-name", "one node of a cluster needs a name of its own: add -node-name, such as -node-name c01")
	case strings.Trim(c.NodeName, nameLetters) != "" || strings.Trim(c.NodeName, ".") == "" || len(c.NodeName) > 64:
		v.bad("cluster.node-name", "%q: use at most 64 letters, digits, '-', '_' and '.'; it becomes the name of a directory", c.NodeName)
	}
	if _, err := netip.ParseAddr(c.BindAddr); err != nil {
		v.bad("cluster.bind-addr", "%q is not an IP address, such as 192.0.2.1", c.BindAddr)
	}
	if c.AdvertisePort != 0 && c.AdvertisePort != c.BindPort {
		v.bad("cluster.advertise-port", "%d is not bind-port, %d: nodes are reached at the ports they listen on", c.AdvertisePort, c.BindPort)
	}
	if _, _, err := net.SplitHostPort(c.Proxy); c.Proxy != "" && err != nil {
		v.bad("cluster.proxy", "%q is not host:port, such as 127.0.0.1:3128", c.Proxy)
	}
	for _, m := range c.Members {
		host, port, err := net.SplitHostPort(m)
		if p, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || p == 0 {
			v.bad("cluster.members", "%q is not host:port of a node's gossip, such as 192.0.2.1:7946", m)
		}
	}
	if c.RaftExpect < 0 || l.Given("cluster.raft-expect") && c.RaftExpect == 0 {
		v.bad("cluster.raft-expect", "%d: give how many nodes are started at first, such as 3", c.RaftExpect)
	}
	if c.RaftExpect > 0 && c.RaftBootstrap {
		v.bad("cluster.raft-expect", "-raft-expect and -raft-bootstrap are both given; use one of them")
	}
	if t := c.TLS; t != (NodeTLS{}) && (t.Cert == "" || t.Key == "" || t.CA == "" || t.ServerName == "") {
		v.bad("cluster.tls", "cert, key, ca and server-name belong together: one of them is missing")
	}
	v.clusterPorts()
}

func (v *validator) clusterPorts() {
	l, c := v.l, &v.l.Cluster
	if c.BindPort < 1 || c.BindPort > 65535 {
		v.bad("cluster.bind-port", "%d is not a port; use 1 to 65535", c.BindPort)
		return
	}
	if !l.Given("cluster.raft-port") {
		c.RaftPort = c.BindPort + raftAboveGossip
	}
	if !l.Given("cluster.grpc-port") {
		c.GRPCPort = c.BindPort + grpcAboveGossip
	}
	for _, p := range []struct {
		path string
		port int
	}{
		{"cluster.raft-port", c.RaftPort},
		{"cluster.grpc-port", c.GRPCPort},
	} {
		switch {
		case p.port >= 1 && p.port <= 65535:
		case l.Given(p.path):
			v.bad(p.path, "%d is not a port; use 1 to 65535", p.port)
		default:
			v.bad(p.path, "it must be given: -gossip-port %d leaves no port for it", c.BindPort)
		}
	}
}
