package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/shoalmq/shoal/cluster/internal/network"
)

const (
	maxPacket    = 65536
	packetBuffer = 256
	// bindAttempts is how often a free port is looked for that is free for packets and streams alike.
	bindAttempts = 20
)

// transport is memberlist's Transport over a network.Network.
type transport struct {
	net       network.Network
	packets   net.PacketConn
	streams   net.Listener
	advertise netip.AddrPort
	packetCh  chan *memberlist.Packet
	streamCh  chan net.Conn
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	once      sync.Once
	err       error
}

// listen binds packets and streams to the same port.
func listen(nw network.Network, ip string, port int, advertiseIP string) (*transport, error) {
	var errs error
	ctx, cancel := context.WithCancel(context.Background())
	bound := false
	defer func() {
		if !bound {
			cancel()
		}
	}()
	for range bindAttempts {
		l, err := nw.Listen(net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			return nil, err
		}
		p, err := nw.ListenPacket(l.Addr().String())
		if err != nil {
			errs = errors.Join(err, l.Close())
			if port != 0 {
				break
			}
			continue
		}
		addr, err := netip.ParseAddrPort(l.Addr().String())
		if err == nil && advertiseIP != "" {
			var a netip.Addr
			a, err = netip.ParseAddr(advertiseIP)
			addr = netip.AddrPortFrom(a, addr.Port())
		}
		if err != nil {
			return nil, errors.Join(err, l.Close(), p.Close())
		}
		t := &transport{
			net: nw, packets: p, streams: l, advertise: addr,
			packetCh: make(chan *memberlist.Packet, packetBuffer), streamCh: make(chan net.Conn),
			ctx: ctx, cancel: cancel,
		}
		bound = true
		return t, nil
	}
	return nil, errs
}

// start begins to read.
func (t *transport) start() {
	t.wg.Go(t.readPackets)
	t.wg.Go(t.acceptStreams)
}

func (t *transport) readPackets() {
	buf := make([]byte, maxPacket)
	for t.ctx.Err() == nil {
		n, from, err := t.packets.ReadFrom(buf)
		if err != nil {
			if !t.pauseAfter(err) {
				return
			}
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: time.Now()}
		select {
		case t.packetCh <- p:
		case <-t.ctx.Done():
		}
	}
}

func (t *transport) acceptStreams() {
	for t.ctx.Err() == nil {
		c, err := t.streams.Accept()
		if err != nil {
			if !t.pauseAfter(err) {
				return
			}
			continue
		}
		select {
		case t.streamCh <- c:
		case <-t.ctx.Done():
			_ = c.Close()
		}
	}
}

// pauseAfter reports whether it makes sense to go on after an error of a listener.
func (t *transport) pauseAfter(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-t.ctx.Done():
		return false
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IP(t.advertise.Addr().Unmap().AsSlice()), int(t.advertise.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("gossip address %q: %w", addr, err)
	}
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streamCh }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	return t.net.Dial(ctx, addr)
}

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	t.once.Do(func() {
		t.cancel()
		t.err = errors.Join(t.packets.Close(), t.streams.Close())
		t.wg.Wait()
	})
	return t.err
}
