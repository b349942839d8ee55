package programtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy is an HTTP proxy that knows CONNECT, and whose links can be cut and slowed down.
type Proxy struct {
	l net.Listener
	// link says what holds at the moment for what goes to an address, and for what comes back; cut is that nothing does.
	link func(addr string) (there, back time.Duration, cut bool)

	mu    sync.Mutex
	conns map[*proxied]struct{}
	wg    sync.WaitGroup
}

// proxied is one connection through a Proxy.
type proxied struct {
	addr         string
	client, node net.Conn
}

func (p *proxied) close() {
	_ = p.client.Close()
	_ = p.node.Close()
}

// StartProxy starts a proxy on a free port of 127.0.0.1. It is stopped when the test ends.
func StartProxy(t testing.TB, link func(addr string) (there, back time.Duration, cut bool)) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{l: l, link: link, conns: make(map[*proxied]struct{})}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.Break(func(string) bool { return true })
		p.wg.Wait()
	})
	return p
}

// Addr returns where it listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Break ends the connections to some addresses, with a reset.
func (p *Proxy) Break(which func(addr string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if which(c.addr) {
			for _, conn := range []net.Conn{c.client, c.node} {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
			}
			c.close()
		}
	}
}

const proxyDial = 3 * time.Second

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	_ = client.SetDeadline(time.Now().Add(proxyDial))
	r := bufio.NewReader(client)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	if _, _, cut := p.link(req.Host); cut {
		time.Sleep(proxyDial) // as where packets are lost: nobody answers
		return
	}
	node, err := net.DialTimeout("tcp", req.Host, proxyDial)
	if err != nil {
		_, _ = client.Write([]byte("HTTP/1.1 502 Bad Gateway\r\n\r\n"))
		return
	}
	c := &proxied{req.Host, client, node}
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		c.close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	_ = client.SetDeadline(time.Time{})
	if _, err := client.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		p.pump(c, r, node, func() (time.Duration, bool) { there, _, cut := p.link(c.addr); return there, cut })
	})
	p.pump(c, node, client, func() (time.Duration, bool) { _, back, cut := p.link(c.addr); return back, cut })
	wg.Wait()
}

// piece is something that was read, and when.
type piece struct {
	b  []byte
	at time.Time
}

// pump copies from one side to the other, as late as the link says, and not while that is cut. It ends both with the first that ends.
func (p *Proxy) pump(c *proxied, from io.Reader, to net.Conn, link func() (time.Duration, bool)) {
	pieces := make(chan piece, 256)
	var wg sync.WaitGroup
	done := make(chan struct{})
	defer func() {
		close(done)
		c.close()
		wg.Wait()
	}()
	wg.Go(func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case pieces <- piece{b[:n], time.Now()}:
				case <-done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for next := range pieces {
		for {
			delay, cut := link()
			wait := time.Until(next.at.Add(delay))
			if cut {
				wait = 10 * time.Millisecond
			}
			if wait <= 0 {
				break
			}
			time.Sleep(min(wait, 10*time.Millisecond)) // looks again, as the link may change
			if cut && p.gone(c) {
				return
			}
		}
		if _, err := to.Write(next.b); err != nil {
			return
		}
	}
}

// gone reports whether a connection has ended meanwhile.
func (p *Proxy) gone(c *proxied) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.conns[c]
	return !there
}
