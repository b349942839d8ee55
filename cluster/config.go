package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unicode"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/gossip"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/network"
)

// Network is how the nodes of a cluster reach each other. Real sockets are the default; cluster/clustertest/memnet is
// the one for tests. A Network may have a method LookupHost(ctx, host) ([]string, error) for the names in Join.
type Network = network.Network

// Resolver looks names up. LookupHost returns all addresses that a name stands for at the moment.
type Resolver = network.Resolver

// The defaults of Config. Package raftlog's documentation says how they belong together.
const (
	DefaultBindIP           = "127.0.0.1"
	DefaultGossipPort       = 7946
	DefaultLeaseDuration    = 1300 * time.Millisecond
	DefaultHeartbeatTimeout = 350 * time.Millisecond
	DefaultElectionTimeout  = 350 * time.Millisecond
	DefaultRemoveLostAfter  = 10 * time.Minute
	DefaultVoters           = 5
	DefaultSnapshotEntries  = 8192
	DefaultSnapshotBytes    = 64 << 20
)

// AnyPort is, as a port of Config, one that is free. Cluster.Addr says which it is for gossip.
const AnyPort = -1

// What RaftPort and PeerPort are by default.
const (
	raftAboveGossip = 1000
	peerAboveGossip = 10000
)

// maxName keeps a node's description within what gossip carries.
const maxName = 64

// Config describes this node. Only Name is required; a node that does not begin a cluster by itself needs Join, too, or to be joined by others.
type Config struct {
	// Name is this node's name: unique in the cluster, the same over restarts, up to 64 printable characters. Of two nodes with one name the
	// first keeps it, and both log an error; the second one waits, as a node does that was killed and restarted at another address, until the first has
	// been out of sight for a few seconds.
	Name string
	// Join lists gossip addresses, "host:port", of other nodes. They need not be up, and may include this node. A host may be a name, and a name
	// may stand for several addresses, each of which is tried; it is looked up anew at every attempt. A node goes on asking those that it does not
	// see, every half second and for ever, so that nodes may start in any order and come back at other addresses.
	Join []string
	// Resolver says what the names in Join stand for; a net.Resolver is one. Default: Network, if it is one, or the operating system's.
	Resolver Resolver
	// Bootstrap lets this node begin a cluster if it has no state and finds no cluster. Exactly one node should have it. It looks for one for a second or
	// two, and for ten seconds while it has not found everyone in Join. Two clusters that were begun by mistake never mix: when they see each other, both
	// go on by themselves and log an error that says which of them to keep.
	Bootstrap bool
	// ExpectNodes, instead of Bootstrap, begins a cluster as soon as so many nodes that have no state see each other, with all of them; none of them is
	// special. All have the same number: how many are started at first. If one of those that see each other knows of a cluster, that is joined, so nodes
	// that are added later may have it, too; a node with state in Dir never begins another. Fewer than that begin nothing, so two clusters come about
	// only where twice as many nodes as expected are started in two halves of a broken network.
	ExpectNodes int
	// Dir is where raft keeps its log, votes and snapshots. If it is empty they are in memory, and a node that restarts
	// gets everything from the others. See the package's documentation for what happens when its disk is full.
	Dir string
	// ServerReference is where MQTT clients reach this node, "host:port"; it may be empty.
	ServerReference string
	// Attributes are told to all nodes, as shoal.Node has them. The names "raft", "peer", "levels" and "run" are taken.
	Attributes map[string]string

	// BindIP is the address that everything listens on. Default DefaultBindIP.
	BindIP string
	// AdvertiseIP is the address the other nodes are told, if it is not BindIP. It is required if BindIP is unspecified, such as
	// "0.0.0.0".
	AdvertiseIP string
	// GossipPort, RaftPort and PeerPort are the ports of gossip (packets and streams), raft and gRPC. Each node on one machine needs ports of its own;
	// AnyPort is any free one. Defaults: DefaultGossipPort; GossipPort + 1000, which is 8946; and GossipPort + 10000, which is 17946; or AnyPort for
	// all of them if that is GossipPort.
	GossipPort, RaftPort, PeerPort int
	// RaftOverGRPC sends raft's traffic through the gRPC port; RaftPort is not opened.
	RaftOverGRPC bool
	// TLS secures the streams between nodes, those of gRPC and of raft: both sides show a certificate, and nothing is read from a connection that
	// has shown none. Every node has a certificate, for clients and servers, made out to TLS.ServerName and signed by TLS.RootCAs. Certificates that change
	// are given by GetCertificate and GetClientCertificate. All nodes have it, or none. Default: plain text. Gossip is secured by GossipKeys.
	TLS *tls.Config
	// GossipKeys encrypt what nodes gossip, and keep out who has none of them: 32 bytes each, or 16 or 24. The first encrypts, all decrypt; see
	// Cluster.SetGossipKeys for how to change them. All nodes have some, or none. They say nothing about raft's and gRPC's ports: set TLS, too. Default:
	// plain text.
	GossipKeys [][]byte
	// Network is what all that goes through. Default: the operating system's sockets.
	Network Network
	// Logger gets a line at Info for every node that joins or is lost and every new leader; the chatter of raft and
	// memberlist is at Debug. Default: none.
	Logger *slog.Logger

	// LeaseDuration is how long a node goes on serving without hearing from the leader, and about how long before a
	// lost node is given up. Default DefaultLeaseDuration. All nodes must have the same.
	LeaseDuration time.Duration
	// HeartbeatTimeout and ElectionTimeout are raft's. Defaults DefaultHeartbeatTimeout and DefaultElectionTimeout.
	HeartbeatTimeout, ElectionTimeout time.Duration
	// RemoveLostAfter is how long a node that is lost is waited for. Then its vote may lapse, if the cluster can lose one node more for that; not
	// below a majority of Voters, and not while too few voters are left to agree, when the cluster waits for as many as make a majority. See the
	// package's documentation, Membership. A spare node takes over its vote long before, and other nodes its sessions. It is welcome whenever it
	// comes back, with its data or without. A new leader counts the time anew. Below zero: never. Default DefaultRemoveLostAfter.
	RemoveLostAfter time.Duration
	// Voters is how many nodes decide by majority, an odd number: of an even number above two, one less does. Further nodes are spare: they serve
	// clients like any other, and take the place of a voter that is stopped or lost. Five voters survive the loss of two at once; with each more, every decision waits for more nodes, and gains nothing
	// that most clusters need. All nodes should have the same. Default DefaultVoters.
	Voters int
	// SnapshotEntries and SnapshotBytes are how much log makes a snapshot, whichever comes first. Defaults
	// DefaultSnapshotEntries and DefaultSnapshotBytes.
	SnapshotEntries, SnapshotBytes uint64
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	setDefault(&c.BindIP, DefaultBindIP)
	setDefault(&c.GossipPort, DefaultGossipPort)
	setDefault(&c.RaftPort, portAbove(c.GossipPort, raftAboveGossip))
	setDefault(&c.PeerPort, portAbove(c.GossipPort, peerAboveGossip))
	setDefault(&c.LeaseDuration, DefaultLeaseDuration)
	setDefault(&c.HeartbeatTimeout, DefaultHeartbeatTimeout)
	setDefault(&c.ElectionTimeout, DefaultElectionTimeout)
	setDefault(&c.RemoveLostAfter, DefaultRemoveLostAfter)
	setDefault(&c.Voters, DefaultVoters)
	setDefault(&c.SnapshotEntries, DefaultSnapshotEntries)
	setDefault(&c.SnapshotBytes, DefaultSnapshotBytes)
	if c.Network == nil {
		c.Network = network.Real{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func portAbove(gossip, by int) int {
	if gossip < 0 {
		return gossip
	}
	return gossip + by
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate checks a Config with its defaults filled in.
func (c Config) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("cluster.Config.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if c.Name == "" {
		bad("Name", "is empty; give every node a name of its own, such as \"c01\"")
	}
	if len(c.Name) > maxName {
		bad("Name", "has %d bytes; use at most %d", len(c.Name), maxName)
	}
	for _, r := range c.Name {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			bad("Name", "%q contains a space or an unprintable character; use letters, digits, '-', '.', '_'", c.Name)
			break
		}
	}
	bindIP, err := netip.ParseAddr(c.BindIP)
	if err != nil {
		bad("BindIP", "%q is not an IP address", c.BindIP)
	}
	if c.AdvertiseIP == "" && err == nil && bindIP.IsUnspecified() {
		bad("AdvertiseIP", "is empty while BindIP is %s; set it to the address other nodes reach this one at", c.BindIP)
	}
	if a, err := netip.ParseAddr(c.AdvertiseIP); c.AdvertiseIP != "" && (err != nil || a.IsUnspecified()) {
		bad("AdvertiseIP", "%q is not an IP address that others can reach", c.AdvertiseIP)
	}
	c.validatePorts(bad)
	c.validateReach(bad)
	for _, addr := range c.Join {
		host, port, err := net.SplitHostPort(addr)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 {
			bad("Join", "%q is not \"host:port\" of another node's gossip", addr)
		}
	}
	for _, d := range []struct {
		field string
		d     time.Duration
	}{
		{"LeaseDuration", c.LeaseDuration},
		{"HeartbeatTimeout", c.HeartbeatTimeout},
		{"ElectionTimeout", c.ElectionTimeout},
		{"RemoveLostAfter", c.RemoveLostAfter},
	} {
		if d.d < 50*time.Millisecond && (d.d >= 0 || d.field != "RemoveLostAfter") {
			bad(d.field, "%s is too short; use at least 50ms", d.d)
		}
	}
	if c.ElectionTimeout < c.HeartbeatTimeout {
		bad("ElectionTimeout", "%s is shorter than HeartbeatTimeout, %s; make it at least as long", c.ElectionTimeout, c.HeartbeatTimeout)
	}
	if c.ExpectNodes < 0 {
		bad("ExpectNodes", "%d is negative; use how many nodes are started at first, such as 3", c.ExpectNodes)
	}
	if c.ExpectNodes > 0 && c.Bootstrap {
		bad("ExpectNodes", "is set, and Bootstrap, too; use one of them")
	}
	if c.Voters < 0 {
		bad("Voters", "%d is negative; use an odd number such as 3 or 5, or 0 for %d", c.Voters, DefaultVoters)
	}
	for _, reserved := range []string{attributePeer, attributeRaft, attributeLevels, shoal.AttributeRun, shoal.AttributeSessions} {
		if _, ok := c.Attributes[reserved]; ok {
			bad("Attributes", "the name %q is taken; choose another", reserved)
		}
	}
	c.validateSecurity(bad)
	if err := gossip.CheckMeta(c.largestNode()); err != nil {
		bad("Attributes", "%v; shorten them", err)
	}
	return errors.Join(errs...)
}

// validateReach checks that nodes on other machines, if there are any, can reach this one.
func (c Config) validateReach(bad func(field, format string, args ...any)) {
	if _, own := c.Network.(network.Real); !own {
		return // such a Network knows better
	}
	told := c.AdvertiseIP
	if told == "" {
		told = c.BindIP
	}
	ip, err := netip.ParseAddr(told)
	if err != nil || !ip.IsLoopback() {
		return
	}
	for _, addr := range c.Join {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			continue
		}
		if other, err := netip.ParseAddr(host); err == nil && !other.IsLoopback() {
			bad("BindIP", "is %s, where only this machine reaches it, and Join names another one, %s: set BindIP to an address of this machine in that network,"+
				" or to 0.0.0.0 with AdvertiseIP", told, host)
			return
		}
	}
}

func (c Config) validatePorts(bad func(field, format string, args ...any)) {
	ports := []struct {
		field string
		port  int
	}{{"GossipPort", c.GossipPort}, {"PeerPort", c.PeerPort}, {"RaftPort", c.RaftPort}}
	if c.RaftOverGRPC {
		ports = ports[:2]
	}
	used := make(map[int]string)
	for _, p := range ports {
		if p.port < AnyPort || p.port > 65535 {
			bad(p.field, "%d is not a port; use 1 to 65535, or AnyPort, or 0 for the default, which follows GossipPort", p.port)
		}
		if other := used[p.port]; p.port != AnyPort && other != "" {
			bad(p.field, "%d is also %s; give each a port of its own", p.port, other)
		}
		used[p.port] = p.field
	}
}

// largestNode is this node with addresses as long as they can become.
func (c Config) largestNode() shoal.Node {
	const longest = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"
	n := c.node(1 << 63)
	n.Attributes[attributePeer], n.Attributes[attributeRaft] = longest, longest
	n.Attributes[shoal.AttributeRun] = strconv.FormatUint(math.MaxUint64, 36)
	n.Attributes[shoal.AttributeSessions] = shoal.SessionsInLog // the longer one
	return n
}

// node returns this node without its addresses.
func (c Config) node(incarnation uint64) shoal.Node {
	n := shoal.Node{Name: c.Name, Incarnation: incarnation, ServerReference: c.ServerReference, Attributes: make(map[string]string)}
	for k, v := range c.Attributes {
		n.Attributes[k] = v
	}
	n.Attributes[attributeLevels] = level.Of(c.Network).String()
	return n
}
