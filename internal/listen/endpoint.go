package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Endpoint is a parsed listener URL.
type Endpoint struct {
	URL       string // as given
	Network   string // "tcp" or "unix"
	Address   string
	TLS       bool
	WebSocket bool
	Path      string // of WebSocket
	// Options are those of a WebSocket listener.
	Options WebSocketOptions
}

// ErrScheme is wrapped by Parse for a URL whose scheme is unknown.
var ErrScheme = errors.New(`the scheme must be tcp, tls, ws, wss or unix, as in "tcp://127.0.0.1:1883"`)

// Parse reads a listener URL. It does no I/O.
func Parse(raw string) (Endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Endpoint{}, fmt.Errorf("not a URL: %w", err)
	}
	e := Endpoint{URL: raw, Network: "tcp", Address: u.Host}
	switch u.Scheme {
	case "tcp", "mqtt":
	case "tls", "mqtts":
		e.TLS = true
	case "ws", "wss":
		e.TLS, e.WebSocket, e.Path = u.Scheme == "wss", true, u.Path
		if e.Path == "" {
			e.Path = "/mqtt"
		}
		if err := checkPath(e.Path); err != nil {
			return Endpoint{}, err
		}
	case "unix":
		e.Network, e.Address = "unix", u.Host+u.Path
		if e.Address == "" {
			return Endpoint{}, errors.New(`the path is missing, as in "unix:///run/mqtt.sock"`)
		}
		return e, nil
	default:
		return Endpoint{}, ErrScheme
	}
	if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" {
		return Endpoint{}, fmt.Errorf("the address %q needs a port, as in %q", u.Host, u.Scheme+"://127.0.0.1:1883")
	}
	if !e.WebSocket && strings.Trim(u.Path, "/") != "" {
		return Endpoint{}, fmt.Errorf("a path (%q) has no meaning here", u.Path)
	}
	return e, nil
}

// checkPath reports what is wrong with a path, which http.ServeMux takes as a pattern.
func checkPath(path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%q is no path: %v", path, p)
		}
	}()
	http.NewServeMux().Handle(path, http.NotFoundHandler())
	return nil
}

// Listen binds the endpoint. tlsConfig is used if the endpoint wants TLS.
func (e Endpoint) Listen(ctx context.Context, tlsConfig *tls.Config) (net.Listener, error) {
	if e.Network == "unix" {
		removeStale(ctx, e.Address)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, e.Network, e.Address)
	if err != nil {
		return nil, err
	}
	if e.TLS {
		if e.WebSocket {
			tlsConfig = tlsConfig.Clone()
			tlsConfig.NextProtos = []string{"http/1.1"}
		}
		l = tls.NewListener(l, tlsConfig)
	}
	if e.WebSocket {
		l = newWebSocket(l, e.Path, e.Options)
	}
	return l, nil
}

// removeStale removes a socket file that nobody listens on, as a killed process leaves it behind.
func removeStale(ctx context.Context, path string) {
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path)
	}
}
