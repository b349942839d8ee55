package memnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// StreamTimeout is how long a link must be cut for its streams to be reset.
const StreamTimeout = 15 * time.Second

// Network is a network in memory. All methods may be called concurrently.
type Network struct {
	mu      sync.Mutex
	rng     *rand.Rand
	hosts   map[string]*Host
	ips     map[string]netip.Addr // outlives the host: a restarted process has its address again
	names   map[netip.Addr]string
	cuts    map[link]*cut
	delays  map[link]time.Duration
	loss    float64
	losses  map[link]float64
	streams map[*stream]struct{}
	changed chan struct{} // closed and replaced when a link changes
}

// link is one direction between two hosts, by name.
type link struct{ from, to string }

// cut is a link that is cut; its timer resets the streams.
type cut struct{ timer *time.Timer }

// New returns an empty network. seed decides which packets a lossy network loses.
func New(seed uint64) *Network {
	return &Network{
		rng:     rand.New(rand.NewPCG(seed, 0x6d656d6e6574)),
		hosts:   make(map[string]*Host),
		ips:     make(map[string]netip.Addr),
		names:   make(map[netip.Addr]string),
		cuts:    make(map[link]*cut),
		delays:  make(map[link]time.Duration),
		losses:  make(map[link]float64),
		streams: make(map[*stream]struct{}),
		changed: make(chan struct{}),
	}
}

// Host returns the host of that name, and makes it on first use: the first gets the address 10.0.0.1, the next
// 10.0.0.2, and so on. After Kill it is a new one at the same address.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[name]; h != nil {
		return h
	}
	ip, ok := n.ips[name]
	if !ok {
		i := len(n.ips) + 1
		ip = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		n.ips[name], n.names[ip] = ip, name
	}
	h := &Host{net: n, name: name, ip: ip, listeners: make(map[uint16]*listener), packets: make(map[uint16]*packetConn), nextPort: 40000}
	n.hosts[name] = h
	return h
}

// Kill ends a host. See the package's documentation.
func (n *Network) Kill(name string) {
	n.mu.Lock()
	h := n.hosts[name]
	delete(n.hosts, name)
	if h != nil {
		h.gone.Store(true) // at one moment, for all its streams: a process that is dead says nothing on any
	}
	var hit []*stream
	for s := range n.streams {
		if h != nil && (s.a == h || s.b == h) {
			hit = append(hit, s)
		}
	}
	n.mu.Unlock()
	if h == nil {
		return
	}
	h.kill()
	for _, s := range hit {
		s.reset()
	}
}

// Pause makes a host stand still, as a process does under SIGSTOP, until Resume: its reads and writes do not return, of packets and of streams,
// and nothing it accepts or dials comes about. What others send waits for it; streams to it can be opened and are not reset. Its goroutines
// and timers go on until they read or write: unlike a process, it notices how time passes.
func (n *Network) Pause(name string) {
	h := n.Host(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.paused == nil {
		h.paused = make(chan struct{})
	}
}

// Resume lets a paused host go on.
func (n *Network) Resume(name string) {
	h := n.Host(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resume()
}

// Partition cuts every link between hosts of different groups, both ways, and heals those inside a group. A host in no
// group keeps its links as they are.
func (n *Network) Partition(groups ...[]string) {
	group := make(map[string]int)
	for i, g := range groups {
		for _, name := range g {
			group[name] = i
		}
	}
	for a, i := range group {
		for b, j := range group {
			if a != b {
				n.setCut(link{a, b}, i != j)
			}
		}
	}
	n.announce()
}

// Isolate cuts a host off from all hosts there are, both ways.
func (n *Network) Isolate(name string) {
	for _, other := range n.otherHosts(name) {
		n.setCut(link{name, other}, true)
		n.setCut(link{other, name}, true)
	}
	n.announce()
}

func (n *Network) otherHosts(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var others []string
	for other := range n.ips {
		if other != name {
			others = append(others, other)
		}
	}
	return others
}

// Cut cuts one direction between two hosts.
func (n *Network) Cut(from, to string) {
	n.setCut(link{from, to}, true)
	n.announce()
}

// Join heals one direction between two hosts.
func (n *Network) Join(from, to string) {
	n.setCut(link{from, to}, false)
	n.announce()
}

// Heal heals every link.
func (n *Network) Heal() {
	n.mu.Lock()
	for l, c := range n.cuts {
		c.timer.Stop()
		delete(n.cuts, l)
	}
	n.mu.Unlock()
	n.announce()
}

// SetDelay sets how long packets and stream data take in one direction between two hosts.
func (n *Network) SetDelay(from, to string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delays[link{from, to}] = d
}

// SetLoss sets the share of packets, from 0 to 1, that are lost. Streams lose nothing.
func (n *Network) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// SetLinkLoss sets the share, from 0 to 1, of everything that is lost on its way from one host to another. Packets are lost for good. What a stream
// loses is sent again, as TCP does, after 200 ms and twice as long each further time, and holds up what was written behind it.
func (n *Network) SetLinkLoss(from, to string, share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.losses[link{from, to}] = share
}

// ResetStreams breaks every stream between two hosts, as a middlebox that forgot them would.
func (n *Network) ResetStreams(a, b string) {
	n.resetStreams(func(s *stream) bool {
		return s.a.name == a && s.b.name == b || s.a.name == b && s.b.name == a
	})
}

func (n *Network) setCut(l link, cutIt bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.cuts[l]
	switch {
	case cutIt && c == nil:
		c = &cut{}
		n.cuts[l] = c
		c.timer = time.AfterFunc(StreamTimeout, func() { n.timedOut(l, c) })
	case !cutIt && c != nil:
		c.timer.Stop()
		delete(n.cuts, l)
	}
}

// timedOut resets the streams over a link that stayed cut.
func (n *Network) timedOut(l link, c *cut) {
	n.mu.Lock()
	still := n.cuts[l] == c
	n.mu.Unlock()
	if still {
		n.resetStreams(func(s *stream) bool {
			return s.a.name == l.from && s.b.name == l.to || s.a.name == l.to && s.b.name == l.from
		})
	}
}

func (n *Network) resetStreams(match func(*stream) bool) {
	n.mu.Lock()
	var hit []*stream
	for s := range n.streams {
		if match(s) {
			hit = append(hit, s)
		}
	}
	n.mu.Unlock()
	for _, s := range hit {
		s.reset()
	}
}

// announce wakes whoever waits for a link to heal.
func (n *Network) announce() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.changed)
	n.changed = make(chan struct{})
}

// state reports whether a link is cut, its delay, and a channel that closes when that may have changed.
func (n *Network) state(from, to string) (isCut bool, delay time.Duration, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := link{from, to}
	return n.cuts[l] != nil, n.delays[l], n.changed
}

// loses decides whether the next packet is lost.
func (n *Network) loses(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	share := max(n.loss, n.losses[link{from, to}])
	return share > 0 && n.rng.Float64() < share
}

// TCP's times: the first and the longest wait before something that was lost is sent again, and the first one for what opens a stream.
const (
	retransmission     = 200 * time.Millisecond
	longestWait        = 4 * time.Second
	openRetransmission = time.Second
)

// resent returns how long it takes, beside the delay, until something has arrived that is sent again when it is lost.
func (n *Network) resent(from, to string, first time.Duration) (takes time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	share := min(n.losses[link{from, to}], 0.9)
	for wait := first; share > 0 && n.rng.Float64() < share; wait = min(2*wait, longestWait) {
		takes += wait
	}
	return takes
}

// find returns the host at an address, or nil if nobody lives there now.
func (n *Network) find(ip netip.Addr) (*Host, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := n.names[ip]
	return n.hosts[name], name
}

// lookup returns the address of a host name.
func (n *Network) lookup(name string) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ip, ok := n.ips[name]; ok {
		return ip, nil
	}
	return netip.Addr{}, fmt.Errorf("memnet: no host %q", name)
}

func (n *Network) add(s *stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.streams[s] = struct{}{}
}

func (n *Network) remove(s *stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.streams, s)
}
