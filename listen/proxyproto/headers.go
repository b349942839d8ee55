package proxyproto

import (
	"errors"
	"net"
	"sync"

	"github.com/pires/go-proxyproto"
)

// maxWaiting bounds connections whose header has not come yet.
const maxWaiting = 1024

// headers reads the headers of connections before it hands them out: asking a connection for its address must not wait for a header.
type headers struct {
	net.Listener
	conns   chan net.Conn
	closed  chan struct{}
	waiting chan struct{}
	running sync.WaitGroup
	once    sync.Once
	failed  error // why inner gives no more connections; set before done is closed
	done    chan struct{}
}

func readHeaders(inner net.Listener) net.Listener {
	h := &headers{
		Listener: inner, conns: make(chan net.Conn), closed: make(chan struct{}), waiting: make(chan struct{}, maxWaiting), done: make(chan struct{}),
	}
	h.running.Go(h.accept)
	return h
}

func (h *headers) accept() {
	defer close(h.done)
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			h.failed = err
			return
		}
		select {
		case h.waiting <- struct{}{}:
			h.running.Go(func() { defer func() { <-h.waiting }(); h.pass(c) })
		default:
			_ = c.Close()
		}
	}
}

// pass hands a connection out when it is known where it comes from.
func (h *headers) pass(c net.Conn) {
	if p, ok := c.(*proxyproto.Conn); ok && p.ProxyHeader() == nil { // none has come, or none that can be read
		_ = c.Close()
		return
	}
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *headers) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	case <-h.done:
		return nil, h.failed
	}
}

// Close implements net.Listener. Connections that were accepted go on. It waits for headers that are on their way, for their time at most.
func (h *headers) Close() (err error) {
	h.once.Do(func() {
		close(h.closed)
		err = h.Listener.Close()
		h.running.Wait()
	})
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
