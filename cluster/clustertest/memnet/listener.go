package memnet

import (
	"net"
	"net/netip"
	"sync"
)

// listener takes the streams that other hosts dial.
type listener struct {
	host    *Host
	addr    netip.AddrPort
	backlog chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, opError("accept", l.addr.String(), net.ErrClosed)
	default:
	}
	select {
	case c := <-l.backlog:
		l.host.running()
		return c, nil
	case <-l.done:
		return nil, opError("accept", l.addr.String(), net.ErrClosed)
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

func (l *listener) Close() error {
	l.host.mu.Lock()
	if l.host.listeners[l.addr.Port()] == l {
		delete(l.host.listeners, l.addr.Port())
	}
	l.host.mu.Unlock()
	l.shut()
	return nil
}

// shut ends Accept and resets what waited for it.
func (l *listener) shut() {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.backlog:
			c.(*conn).stream.reset()
		default:
			return
		}
	}
}
