package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// Host is one host of a Network. It is a cluster.Network. All methods may be called concurrently.
type Host struct {
	gone atomic.Bool // killed: nothing is read from its streams or written to them
	net  *Network
	name string
	ip   netip.Addr

	mu        sync.Mutex
	dead      bool
	paused    chan struct{} // closed by Resume; nil unless paused
	nextPort  uint16
	listeners map[uint16]*listener
	packets   map[uint16]*packetConn
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// IP returns the host's address, such as "10.0.0.1".
func (h *Host) IP() string { return h.ip.String() }

// Listen opens a listener. The host part of addr may be empty, "localhost", an unspecified or loopback address, or the
// host's own: it always is the host's own. Port 0 means any free one.
func (h *Host) Listen(addr string) (net.Listener, error) {
	port, err := h.ownPort(addr)
	if err != nil {
		return nil, opError("listen", addr, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return nil, opError("listen", addr, net.ErrClosed)
	}
	if port == 0 {
		port = h.freePort()
	}
	if h.listeners[port] != nil {
		return nil, opError("listen", addr, syscall.EADDRINUSE)
	}
	l := &listener{host: h, addr: netip.AddrPortFrom(h.ip, port), backlog: make(chan net.Conn, 128), done: make(chan struct{})}
	h.listeners[port] = l
	return l, nil
}

// ListenPacket opens a packet connection; see Listen for addr. It holds up to 1024 packets that are not yet read and
// loses what comes on top.
func (h *Host) ListenPacket(addr string) (net.PacketConn, error) {
	port, err := h.ownPort(addr)
	if err != nil {
		return nil, opError("listen", addr, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return nil, opError("listen", addr, net.ErrClosed)
	}
	if port == 0 {
		port = h.freePort()
	}
	if h.packets[port] != nil {
		return nil, opError("listen", addr, syscall.EADDRINUSE)
	}
	p := newPacketConn(h, netip.AddrPortFrom(h.ip, port))
	h.packets[port] = p
	return p, nil
}

// Dial opens a stream to an address or to a host by name. It fails at once with ECONNREFUSED where nobody listens, and
// waits for ctx where the link is cut.
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := h.resolve(addr)
	if err != nil {
		return nil, opError("dial", addr, err)
	}
	peer, err := h.reach(ctx, to.Addr())
	if err != nil {
		return nil, opError("dial", addr, err)
	}
	h.running()
	h.mu.Lock()
	dead := h.dead
	from := netip.AddrPortFrom(h.ip, h.freePort())
	h.mu.Unlock()
	if dead {
		return nil, opError("dial", addr, net.ErrClosed)
	}
	if peer == nil {
		return nil, opError("dial", addr, syscall.ECONNREFUSED)
	}
	l := peer.listener(to.Port())
	if l == nil {
		return nil, opError("dial", addr, syscall.ECONNREFUSED)
	}
	s := newStream(h, peer, from, to)
	h.net.add(s)
	select {
	case l.backlog <- s.connB:
		// The listener may have closed, or either host died, while the connection was on its way.
		select {
		case <-l.done:
			s.reset()
		default:
			if h.isDead() || peer.isDead() {
				s.reset()
			}
		}
		return s.connA, nil
	case <-l.done:
		h.net.remove(s)
		return nil, opError("dial", addr, syscall.ECONNREFUSED)
	case <-ctx.Done():
		h.net.remove(s)
		return nil, opError("dial", addr, ctx.Err())
	}
}

// running returns when the host is not paused.
func (h *Host) running() {
	h.mu.Lock()
	paused := h.paused
	h.mu.Unlock()
	if paused != nil {
		<-paused
	}
}

// resume is called with h.mu held.
func (h *Host) resume() {
	if h.paused != nil {
		close(h.paused)
		h.paused = nil
	}
}

// reach waits until the way to ip and back is free, and for the delay both ways. The host is nil if it is down.
func (h *Host) reach(ctx context.Context, ip netip.Addr) (*Host, error) {
	for {
		peer, name := h.net.find(ip)
		there, d1, changed := h.net.state(h.name, name)
		back, d2, _ := h.net.state(name, h.name)
		if name == "" || h.name == name || !there && !back {
			lost := h.net.resent(h.name, name, openRetransmission) + h.net.resent(name, h.name, openRetransmission)
			return peer, sleep(ctx, d1+d2+lost)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// LookupHost returns the address of a host of this network.
func (h *Host) LookupHost(_ context.Context, host string) ([]string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{ip.String()}, nil
	}
	ip, err := h.net.lookup(host)
	if err != nil {
		return nil, err
	}
	return []string{ip.String()}, nil
}

func (h *Host) resolve(addr string) (netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" || host == "localhost" {
		return netip.AddrPortFrom(h.ip, uint16(port)), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ip, err = h.net.lookup(host)
	} else if ip.IsLoopback() || ip.IsUnspecified() {
		ip = h.ip
	}
	return netip.AddrPortFrom(ip, uint16(port)), err
}

func (h *Host) ownPort(addr string) (uint16, error) {
	a, err := h.resolve(addr)
	if err != nil {
		return 0, err
	}
	if a.Addr() != h.ip {
		return 0, fmt.Errorf("memnet: %s is not an address of host %q (%s): %w", a.Addr(), h.name, h.ip, syscall.EADDRNOTAVAIL)
	}
	return a.Port(), nil
}

// freePort is called with h.mu held.
func (h *Host) freePort() uint16 {
	for {
		h.nextPort++
		if h.nextPort < 40000 {
			h.nextPort = 40000
		}
		if h.listeners[h.nextPort] == nil && h.packets[h.nextPort] == nil {
			return h.nextPort
		}
	}
}

func (h *Host) listener(port uint16) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listeners[port]
}

func (h *Host) packetConn(port uint16) *packetConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.packets[port]
}

func (h *Host) isDead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dead
}

func (h *Host) kill() {
	h.mu.Lock()
	h.dead = true
	h.resume()
	listeners, packets := h.listeners, h.packets
	h.listeners, h.packets = make(map[uint16]*listener), make(map[uint16]*packetConn)
	h.mu.Unlock()
	for _, l := range listeners {
		l.shut()
	}
	for _, p := range packets {
		p.shut()
	}
}

func opError(op, addr string, err error) error {
	return &net.OpError{Op: op, Net: "mem", Addr: textAddr(addr), Err: err}
}

type textAddr string

func (textAddr) Network() string  { return "mem" }
func (a textAddr) String() string { return string(a) }
