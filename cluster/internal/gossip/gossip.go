package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/network"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	joinInterval  = 500 * time.Millisecond
	leaveTimeout  = 500 * time.Millisecond
	dialTimeout   = time.Second
	lookupTimeout = 2 * time.Second
	pushPull      = 10 * time.Second
	// forgetAfter is how long the address of a node that is gone is asked for.
	forgetAfter = 24 * time.Hour
	// lonelyAfter is how long a node that finds nobody waits before it says so, and lonelyAgain before it says so again.
	lonelyAfter = 10 * time.Second
	lonelyAgain = 5 * time.Minute
)

// MaxMeta is how many bytes the description of a node may have in gossip.
const MaxMeta = memberlist.MetaMaxSize

// Config says how to gossip.
type Config struct {
	Network     network.Network
	IP          string
	Port        int // 0: any free one
	AdvertiseIP string
	Join        []string // "host:port"
	// Resolver says what the names in Join stand for. Default: the Network, if it is one, or the operating system's.
	Resolver network.Resolver
	Keys     [][]byte // the first encrypts, all decrypt; none for plain text
	Logger   *slog.Logger
	// Rivalled is called when another node of this one's name has the name, and when it has not any more.
	Rivalled func(bool)
}

// Gossip is this node's part in the gossip.
type Gossip struct {
	cfg     Config
	changed chan struct{} // capacity 1

	mu        sync.Mutex
	transport *transport
	members   *memberlist.Memberlist
	ring      *memberlist.Keyring // nil without keys

	metaMu sync.Mutex // memberlist asks for meta, and tells of members, while mu is held
	meta   []byte
	found  map[string]memberInfo // by memberlist's name
	names  names
	// unfound are those of Join where no member is.
	unfound []string

	reported map[string]bool // members whose description is not understood; of watch's goroutine
}

// memberInfo is what memberlist told of a member. It is copied when it is told, since memberlist goes on changing its own.
type memberInfo struct {
	meta []byte
	addr string
}

// New returns a Gossip. It does no I/O.
func New(cfg Config) *Gossip {
	return &Gossip{cfg: cfg, changed: make(chan struct{}, 1), found: make(map[string]memberInfo), names: newNames(), unfound: slices.Clone(cfg.Join), reported: make(map[string]bool)}
}

// CheckMeta reports whether a node's description fits into gossip.
func CheckMeta(n shoal.Node) error {
	if size := len(nodecodec.Append(nil, n)); size > MaxMeta {
		return fmt.Errorf("name, server reference and attributes of node %s take %d bytes; gossip carries %d", n.Name, size, MaxMeta)
	}
	return nil
}

// Listen binds the port and returns the address that is announced. Run does so itself if Listen was not called.
func (g *Gossip) Listen() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.transport == nil {
		t, err := listen(g.cfg.Network, g.cfg.IP, g.cfg.Port, g.cfg.AdvertiseIP)
		if err != nil {
			return "", fmt.Errorf("gossip cannot listen: %w", err)
		}
		g.transport = t
	}
	return g.transport.advertise.String(), nil
}

// Unfound returns those addresses of Config.Join where no member is.
func (g *Gossip) Unfound() []string {
	g.metaMu.Lock()
	defer g.metaMu.Unlock()
	return slices.Clone(g.unfound)
}

// Close releases the port if Run has not taken it.
func (g *Gossip) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.transport == nil || g.members != nil {
		return nil
	}
	t := g.transport
	g.transport = nil
	return t.Shutdown()
}

// Announce changes what is told about this node.
func (g *Gossip) Announce(self shoal.Node) {
	g.setMeta(self)
	g.mu.Lock()
	m := g.members
	g.mu.Unlock()
	if m != nil {
		// Others are told in any case. Without a timeout it would wait for that: for ever, if this node is leaving.
		_ = m.UpdateNode(time.Nanosecond)
	}
	g.poke()
}

// Run implements shoal.Discovery.
func (g *Gossip) Run(ctx context.Context, self shoal.Node, update func(live []shoal.Node)) error {
	if err := CheckMeta(self); err != nil {
		return err
	}
	if _, err := g.Listen(); err != nil {
		return err
	}
	m, err := g.begin(self)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	joinCtx, cancel := context.WithCancel(ctx)
	wg.Go(func() { g.join(joinCtx, m) })
	g.watch(ctx, self, update)
	cancel()
	err = m.Leave(leaveTimeout)
	if err != nil {
		g.cfg.Logger.Debug("leaving gossip", "err", err)
	}
	_ = g.transport.Shutdown() // ends what a join may be dialling
	wg.Wait()
	return m.Shutdown()
}

func (g *Gossip) begin(self shoal.Node) (*memberlist.Memberlist, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members != nil {
		return nil, shoal.ErrStarted
	}
	g.setMeta(self)
	c := memberlist.DefaultLANConfig()
	c.Name = self.Name + "#" + strconv.FormatUint(self.Incarnation, 36)
	c.Transport = g.transport
	c.AdvertisePort = int(g.transport.advertise.Port())
	c.BindPort = c.AdvertisePort
	c.Logger = newChatter(g.cfg.Logger)
	c.Delegate = (*delegate)(g)
	c.Events = (*delegate)(g)
	c.TCPTimeout = dialTimeout
	c.PushPullInterval = pushPull
	c.ProbeInterval = 500 * time.Millisecond
	c.ProbeTimeout = 300 * time.Millisecond
	c.GossipInterval = 100 * time.Millisecond
	c.EnableCompression = false
	ring, err := g.keyring()
	if err != nil {
		return nil, err
	}
	c.Keyring, g.ring = ring, ring
	g.transport.start()
	m, err := memberlist.Create(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip cannot begin: %w", err), g.transport.Shutdown())
	}
	g.members = m
	return m, nil
}

func (g *Gossip) setMeta(self shoal.Node) {
	g.metaMu.Lock()
	defer g.metaMu.Unlock()
	g.meta = nodecodec.Append(nil, self)
}

func (g *Gossip) poke() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// watch tells the set of live nodes whenever it changes.
func (g *Gossip) watch(ctx context.Context, self shoal.Node, update func([]shoal.Node)) {
	var last map[string]shoal.Node
	r := rivalry{g: g}
	lonely := time.NewTimer(lonelyAfter)
	defer lonely.Stop()
	for {
		live, rival := g.live(self)
		if last == nil || !maps.EqualFunc(live, last, equal) {
			g.report(last, live)
			last = live
			nodes := make([]shoal.Node, 0, len(live))
			for _, name := range slices.Sorted(maps.Keys(live)) {
				nodes = append(nodes, live[name])
			}
			update(nodes)
		}
		select {
		case <-g.changed:
		case <-r.look(rival):
		case <-lonely.C:
			if len(live) == 1 && len(g.cfg.Join) > 0 {
				g.cfg.Logger.Warn("no other node is found; this one goes on looking", "node", self.Name, "join", g.cfg.Join)
			}
			lonely.Reset(lonelyAgain)
		case <-ctx.Done():
			return
		}
	}
}

// live returns the live nodes, self included, and, if there is one, another node that has this one's name.
func (g *Gossip) live(self shoal.Node) (live map[string]shoal.Node, rival *candidate) {
	if n, _, err := nodecodec.Decode((*delegate)(g).NodeMeta(0)); err == nil {
		self = n
	}
	own := &candidate{node: self, addr: g.transport.advertise.String()}
	byName := map[string][]*candidate{self.Name: {own}}
	for name, member := range g.memberInfos() {
		n, _, err := nodecodec.Decode(member.meta)
		if err != nil {
			g.odd(name, err)
			continue
		}
		if n.Name != self.Name || member.addr != own.addr {
			byName[n.Name] = append(byName[n.Name], &candidate{node: n, addr: member.addr})
		}
	}
	live = make(map[string]shoal.Node, len(byName))
	for name, candidates := range byName {
		holder := g.names.holder(name, candidates)
		live[name] = holder.node
		if name != self.Name {
			continue
		}
		live[name] = self
		for _, c := range candidates {
			if c != own && (rival == nil || c == holder) {
				c.holds = c == holder
				rival = c
			}
		}
	}
	return live, rival
}

func (g *Gossip) report(last, live map[string]shoal.Node) {
	for name, n := range live {
		if _, ok := last[name]; !ok && last != nil {
			g.cfg.Logger.Info("node found", "node", name, "incarnation", n.Incarnation)
		}
	}
	for name := range last {
		if _, ok := live[name]; !ok {
			g.cfg.Logger.Info("node out of sight", "node", name)
		}
	}
}

func equal(a, b shoal.Node) bool {
	return a.Name == b.Name && a.Incarnation == b.Incarnation && a.ServerReference == b.ServerReference && maps.Equal(a.Attributes, b.Attributes)
}

// join asks seeds, and places where nodes were seen, until they are members.
func (g *Gossip) join(ctx context.Context, m *memberlist.Memberlist) {
	seen := make(map[string]time.Time)
	for {
		var wg sync.WaitGroup
		for _, addr := range g.missing(ctx, seen) {
			wg.Go(func() {
				if _, err := m.Join([]string{addr}); err != nil {
					g.cfg.Logger.Debug("joining", "addr", addr, "err", err)
				} else {
					g.poke()
				}
			})
		}
		wg.Wait()
		select {
		case <-time.After(joinInterval):
		case <-ctx.Done():
			return
		}
	}
}

// missing returns the addresses where there should be a member and is none.
func (g *Gossip) missing(ctx context.Context, seen map[string]time.Time) []string {
	here := make(map[string]bool)
	for _, member := range g.memberInfos() {
		here[member.addr] = true
		seen[member.addr] = time.Now()
	}
	var missing []string
	for addr, at := range seen {
		switch {
		case here[addr]:
		case time.Since(at) > forgetAfter:
			delete(seen, addr)
		default:
			missing = append(missing, addr)
		}
	}
	var unfound []string
	for _, seed := range g.cfg.Join {
		addrs := g.resolve(ctx, seed)
		if len(addrs) == 0 || slices.ContainsFunc(addrs, func(addr string) bool { return !here[addr] }) {
			unfound = append(unfound, seed)
		}
		for _, addr := range addrs {
			if !here[addr] && !slices.Contains(missing, addr) {
				missing = append(missing, addr)
			}
		}
	}
	g.metaMu.Lock()
	g.unfound = unfound
	g.metaMu.Unlock()
	slices.Sort(missing)
	return missing
}

// resolve returns the addresses that a seed stands for now.
func (g *Gossip) resolve(ctx context.Context, seed string) []string {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil // Config was checked
	}
	if net.ParseIP(host) != nil {
		return []string{seed}
	}
	r := g.cfg.Resolver
	if own, ok := g.cfg.Network.(network.Resolver); ok && r == nil {
		r = own
	}
	if r == nil {
		r = network.Real{}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := r.LookupHost(ctx, host)
	if err != nil {
		g.cfg.Logger.Debug("looking up a node to join", "host", host, "err", err)
		return nil
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = net.JoinHostPort(ip, port)
	}
	return addrs
}

// delegate is memberlist's view of a Gossip. Its methods are called with memberlist's locks held.
type delegate Gossip

func (d *delegate) NodeMeta(int) []byte {
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	return d.meta
}

func (d *delegate) NotifyMsg([]byte)                {}
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// NotifyJoin, NotifyUpdate and NotifyLeave are called with memberlist's lock held.
func (d *delegate) NotifyJoin(n *memberlist.Node)   { (*Gossip)(d).see(n) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { (*Gossip)(d).see(n) }

func (d *delegate) NotifyLeave(n *memberlist.Node) {
	g := (*Gossip)(d)
	g.metaMu.Lock()
	delete(g.found, n.Name)
	g.metaMu.Unlock()
	g.poke()
}

func (g *Gossip) see(n *memberlist.Node) {
	g.metaMu.Lock()
	g.found[n.Name] = memberInfo{meta: slices.Clone(n.Meta), addr: n.Address()}
	g.metaMu.Unlock()
	g.poke()
}

func (g *Gossip) memberInfos() map[string]memberInfo {
	g.metaMu.Lock()
	defer g.metaMu.Unlock()
	return maps.Clone(g.found)
}
