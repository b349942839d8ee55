package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
	"github.com/shoalmq/shoal/cluster/internal/faults"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/internal/listen"
)

// puller is a storage that can be pulled out: what is written afterwards is lost, as after kill -9.
type puller interface{ pull() }

// Cluster is a cluster under test. Its methods are meant for the test's own goroutine and fail the test when something
// does not work.
type Cluster struct {
	t     testing.TB
	opts  options
	net   *memnet.Network
	dir   string
	mu    sync.Mutex // held while nodes grows, and by those that are not the test's own goroutine
	nodes []*Node
	dying sync.WaitGroup // what is left of processes that were killed
}

// Node is one node of a Cluster, over all its restarts.
type Node struct {
	Name string

	mu      sync.Mutex
	at      string      // the host it runs on
	levels  level.Range // that its program speaks
	moves   int
	host    *memnet.Host
	broker  *shoal.Broker
	cluster *cluster.Cluster
	disk    puller // nil without storage
	plate   plate
	wall    wall

	// dead is closed when nothing is left of the process that was killed last; nil if none was.
	dead chan struct{}
	// folders counts the directories that the node's data has been in; see Cluster.leaveFolder.
	folders int
}

// Broker returns the node's broker as of now; nil while the node is down.
func (n *Node) Broker() *shoal.Broker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broker
}

// Cluster returns the node's part in the cluster as of now; nil while the node is down.
func (n *Node) Cluster() *cluster.Cluster {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cluster
}

// Host returns the name of the host that the node runs on. It is the node's own name until StartElsewhere.
func (n *Node) Host() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at
}

// Status returns the cluster as the node sees it; the zero value while the node is down.
func (n *Node) Status() cluster.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cluster == nil {
		return cluster.Status{}
	}
	return n.cluster.Status()
}

// New starts a cluster of so many nodes, named c01, c02 and so on, and waits until all serve. It is stopped when the test ends.
func New(t testing.TB, nodes int, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, opts: options{seed: 1, logger: slog.New(slog.DiscardHandler)}}
	for _, o := range opts {
		o(&c.opts)
	}
	c.net = memnet.New(c.opts.seed)
	if c.opts.onDisk {
		c.dir = t.TempDir()
	}
	for i := range nodes {
		c.nodes = append(c.nodes, newNode(i))
		c.net.Host(c.nodes[i].Name) // fixes the addresses
	}
	t.Cleanup(c.stop)
	for i := range nodes {
		c.start(i)
	}
	for i := range nodes {
		c.AwaitServing(i)
	}
	return c
}

func newNode(i int) *Node {
	name := fmt.Sprintf("c%02d", i+1)
	return &Node{Name: name, at: name, levels: level.Own()}
}

// Add starts one node more, which joins the others, and waits until it serves. It returns the node's number.
func (c *Cluster) Add() int {
	c.t.Helper()
	i := c.AddStopped()
	c.Restart(i)
	return i
}

// AddStopped is Add without starting the node: StartAgain and Restart do.
func (c *Cluster) AddStopped() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.nodes)
	c.nodes = append(c.nodes, newNode(i))
	return i
}

// Nodes returns the number of nodes, those that are down included.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Node returns a node. i counts from 0.
func (c *Cluster) Node(i int) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// Network returns the network, for what Cluster has no method for. A node's host is Node.Host; clients are on the host "client".
func (c *Cluster) Network() *memnet.Network { return c.net }

func (c *Cluster) start(i int) {
	c.t.Helper()
	n := c.nodes[i]
	c.leaveFolder(n)
	host := c.net.Host(n.Host())
	cfg := cluster.Config{
		Name: n.Name, BindIP: host.IP(), GossipPort: 7946, RaftPort: 8946, PeerPort: 17946, Bootstrap: i == 0,
		ServerReference: net.JoinHostPort(host.IP(), mqttPort), Network: versioned{host, n.levels, n.plate.spin(), &n.wall}, Logger: c.opts.logger,
	}
	for _, other := range c.nodes {
		cfg.Join = append(cfg.Join, other.Host()+":7946")
	}
	if c.opts.onDisk {
		cfg.Dir = filepath.Join(c.folder(n), "raft")
	}
	if c.opts.config != nil {
		c.opts.config(i, &cfg)
	}
	l, err := host.Listen(net.JoinHostPort(host.IP(), mqttPort))
	if err != nil {
		c.t.Fatalf("clustertest: node %s cannot listen: %v", n.Name, err)
	}
	cl := cluster.New(cfg)
	opts := []shoal.Option{shoal.WithListener(l), shoal.WithCluster(cl), shoal.WithLogger(c.opts.logger.With("node", n.Name))}
	if c.opts.ws {
		ws, err := host.Listen(net.JoinHostPort(host.IP(), webSocketPort))
		if err != nil {
			c.t.Fatalf("clustertest: node %s cannot listen: %v", n.Name, err)
		}
		opts = append(opts, shoal.WithListener(listen.WebSocket(ws, "/mqtt")))
	}
	if c.opts.broker != nil {
		opts = append(opts, c.opts.broker(i)...)
	} else {
		opts = append(opts, shoal.WithAnonymous())
	}
	var d puller
	if c.opts.shared != nil {
		h := c.opts.shared.handle(n.Name)
		d, opts = h, append(opts, shoal.WithStorage(h))
	}
	b, err := shoal.New(opts...)
	if err != nil {
		c.t.Fatalf("clustertest: node %s: %v", n.Name, err)
	}
	if err := b.Start(context.Background()); err != nil {
		c.t.Fatalf("clustertest: node %s does not start: %v", n.Name, err)
	}
	n.mu.Lock()
	n.host, n.broker, n.cluster, n.disk = host, b, cl, d
	n.mu.Unlock()
}

// AwaitServing waits until a node serves clients.
func (c *Cluster) AwaitServing(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.nodes[i].Broker().Ready(ctx); err != nil {
		c.t.Fatalf("clustertest: node %s does not serve after a minute: %v", c.nodes[i].Name, err)
	}
}

func (c *Cluster) hosts(nodes []int) []string {
	hosts := make([]string, len(nodes))
	for i, n := range nodes {
		hosts[i] = c.nodes[n].Host()
	}
	return hosts
}

// Partition cuts all links between nodes of different groups. Clients still reach every node.
func (c *Cluster) Partition(groups ...[]int) {
	named := make([][]string, len(groups))
	for i, g := range groups {
		named[i] = c.hosts(g)
	}
	c.net.Partition(named...)
}

// Cut cuts the link from one node to another, in that direction only.
func (c *Cluster) Cut(from, to int) { c.net.Cut(c.nodes[from].Host(), c.nodes[to].Host()) }

// Heal mends all links.
func (c *Cluster) Heal() { c.net.Heal() }

// Pause makes a node stand still, as SIGSTOP does, and Resume lets it go on; see memnet.Network.Pause for what that means here.
func (c *Cluster) Pause(i int) { c.net.Pause(c.nodes[i].Host()) }

// Resume ends a Pause.
func (c *Cluster) Resume(i int) { c.net.Resume(c.nodes[i].Host()) }

// Kill ends a node as kill -9 would: nobody is told, nothing more is sent or stored.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	n := c.nodes[i]
	n.mu.Lock()
	b, d := n.broker, n.disk
	n.broker, n.cluster, n.disk = nil, nil, nil
	n.mu.Unlock()
	if b == nil {
		c.t.Fatalf("clustertest: node %s is down already", n.Name)
	}
	if d != nil {
		d.pull()
	}
	n.plate.pull()
	c.net.Kill(n.Host())
	// What is left of it in this process can reach nobody any more; it only has to go.
	dead := make(chan struct{})
	n.dead = dead
	c.dying.Go(func() {
		defer close(dead)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = b.Shutdown(ctx) // it fails in many ways: there is nobody to take its leave of
	})
}

// Stop ends a node gracefully.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	n := c.nodes[i]
	n.mu.Lock()
	b := n.broker
	n.broker, n.cluster, n.disk = nil, nil, nil
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		c.t.Errorf("clustertest: node %s did not stop cleanly: %v", n.Name, err)
	}
	c.net.Kill(n.Host())
}

// Restart starts a node again that was killed or stopped, at the same address, and waits until it serves.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.StartAgain(i)
	c.AwaitServing(i)
}

// StartAgain is Restart without waiting, for a node that cannot serve before others are back.
func (c *Cluster) StartAgain(i int) {
	c.t.Helper()
	if c.nodes[i].Broker() != nil {
		c.t.Fatalf("clustertest: node %s is running", c.nodes[i].Name)
	}
	c.start(i)
}

// StartElsewhere is StartAgain on another host: the node has its name and its data, and other addresses.
func (c *Cluster) StartElsewhere(i int) {
	c.t.Helper()
	n := c.nodes[i]
	n.mu.Lock()
	n.moves++
	n.at = fmt.Sprintf("%s-%d", n.Name, n.moves)
	n.mu.Unlock()
	c.StartAgain(i)
}

// versioned is the network of a node whose program speaks certain levels.
type versioned struct {
	*memnet.Host
	levels level.Range
	disk   faults.Disk
	wall   *wall
}

func (v versioned) Disk() faults.Disk { return v.disk }

func (v versioned) Wall() time.Time { return v.wall.now() }

func (v versioned) Levels() level.Range { return v.levels }

// Upgrade makes a node's program, from its next start on, one that speaks the levels of the cluster's formats from oldest to newest; it pretends to,
// the formats are the same. A node of the next version speaks 1 to 2. See cluster.Status.Level.
func (c *Cluster) Upgrade(i, oldest, newest int) {
	c.nodes[i].levels = level.Range{Oldest: oldest, Newest: newest}
}

// Wipe removes everything that a node which is down has stored.
func (c *Cluster) Wipe(i int) {
	c.t.Helper()
	n := c.nodes[i]
	if n.Broker() != nil {
		c.t.Fatalf("clustertest: node %s is running", n.Name)
	}
	if c.dir == "" {
		return
	}
	n.folders++
	n.dead = nil // whose files are in the folder before
	if err := os.RemoveAll(c.folder(n)); err != nil {
		c.t.Fatalf("clustertest: node %s: %v", n.Name, err)
	}
}

func (c *Cluster) stop() {
	c.net.Heal()
	if s := c.opts.shared; s != nil {
		s.Fail(nil)
		s.Resume()
	}
	for i := range c.nodes {
		c.SlowDisk(i, 0)
		c.FullDisk(i, false)
		c.Resume(i)
	}
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		n.mu.Lock()
		b := n.broker
		n.broker = nil
		n.mu.Unlock()
		if b == nil {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := b.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				c.t.Logf("clustertest: node %s: %v", n.Name, err)
			}
		})
	}
	wg.Wait()
	c.dying.Wait()
	// The gossip library does not wait for its last probes, whose timers do not run any more when the test's function has
	// returned and its bubble's time stands still.
	time.Sleep(lastProbes)
}

// A probe lasts half a second, and as much again for each of the eight steps by which the library doubts its own health.
const lastProbes = 6 * time.Second
