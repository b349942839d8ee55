package memnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const packetQueue = 1024

// packetConn is a packet connection.
type packetConn struct {
	host  *Host
	addr  netip.AddrPort
	queue chan packet
	done  chan struct{}
	once  sync.Once
	read  *deadline
}

type packet struct {
	data []byte
	from netip.AddrPort
	due  time.Time // when it arrives; zero: it has arrived
}

func newPacketConn(h *Host, addr netip.AddrPort) *packetConn {
	return &packetConn{host: h, addr: addr, queue: make(chan packet, packetQueue), done: make(chan struct{}), read: newDeadline()}
}

func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	past := p.read.passed()
	p.host.running()
	select {
	case <-p.done:
		return 0, nil, opError("read", p.addr.String(), net.ErrClosed)
	case <-past:
		return 0, nil, opError("read", p.addr.String(), os.ErrDeadlineExceeded)
	default:
	}
	select {
	case pkt := <-p.queue:
		p.host.running()
		if wait := time.Until(pkt.due); !pkt.due.IsZero() && wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-p.done:
				return 0, nil, opError("read", p.addr.String(), net.ErrClosed)
			}
		}
		return copy(b, pkt.data), net.UDPAddrFromAddrPort(pkt.from), nil
	case <-p.done:
		return 0, nil, opError("read", p.addr.String(), net.ErrClosed)
	case <-past:
		return 0, nil, opError("read", p.addr.String(), os.ErrDeadlineExceeded)
	}
}

// WriteTo sends a packet. What is lost on the way is no error.
func (p *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	p.host.running()
	select {
	case <-p.done:
		return 0, opError("write", p.addr.String(), net.ErrClosed)
	default:
	}
	to, err := p.host.resolve(addr.String())
	if err != nil {
		return 0, opError("write", addr.String(), err)
	}
	n := p.host.net
	peer, name := n.find(to.Addr())
	isCut, delay, _ := n.state(p.host.name, name)
	if peer == nil || isCut || n.loses(p.host.name, name) {
		return len(b), nil
	}
	target := peer.packetConn(to.Port())
	if target == nil {
		return len(b), nil
	}
	pkt := packet{data: append([]byte(nil), b...), from: p.addr}
	if delay > 0 {
		pkt.due = time.Now().Add(delay)
	}
	select {
	case target.queue <- pkt:
	default:
	}
	return len(b), nil
}

func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.addr) }

func (p *packetConn) SetDeadline(t time.Time) error      { p.read.set(t); return nil }
func (p *packetConn) SetReadDeadline(t time.Time) error  { p.read.set(t); return nil }
func (p *packetConn) SetWriteDeadline(_ time.Time) error { return nil }

func (p *packetConn) Close() error {
	p.host.mu.Lock()
	if p.host.packets[p.addr.Port()] == p {
		delete(p.host.packets, p.addr.Port())
	}
	p.host.mu.Unlock()
	p.shut()
	return nil
}

func (p *packetConn) shut() {
	p.once.Do(func() { close(p.done) })
	p.read.stop()
}
