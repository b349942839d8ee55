package listen

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// young are the connections of an HTTP server that have not been upgraded yet: bounded in number, and in time.
type young struct {
	options WebSocketOptions

	mu      sync.Mutex
	ends    map[net.Conn]*time.Timer
	hosts   map[string]int
	stopped bool
}

func (y *young) init(o WebSocketOptions) {
	if o.Young <= 0 {
		o.Young = 1024
	}
	if o.YoungPerHost <= 0 {
		o.YoungPerHost = o.Young
	}
	y.options, y.ends, y.hosts = o, make(map[net.Conn]*time.Timer), make(map[string]int)
}

// note is the server's ConnState.
func (y *young) note(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !y.add(c) {
			_ = c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		y.remove(c)
	}
}

func (y *young) add(c net.Conn) bool {
	host := hostOf(c)
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.stopped || len(y.ends) >= y.options.Young || (host != "" && y.hosts[host] >= y.options.YoungPerHost) {
		return false
	}
	y.hosts[host]++
	y.ends[c] = time.AfterFunc(y.options.Timeout, func() { _ = c.Close() })
	return true
}

func (y *young) remove(c net.Conn) {
	host := hostOf(c)
	y.mu.Lock()
	defer y.mu.Unlock()
	timer := y.ends[c]
	if timer == nil {
		return
	}
	timer.Stop()
	delete(y.ends, c)
	if y.hosts[host]--; y.hosts[host] == 0 {
		delete(y.hosts, host)
	}
}

// stop stops the timers, at the end of the server.
func (y *young) stop() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.stopped = true
	for _, timer := range y.ends {
		timer.Stop()
	}
}

// hostOf returns the address of a client without its port, "" if it has none.
func hostOf(c net.Conn) string {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}
