package program

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/config"
	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/listen/certs"
	"github.com/shoalmq/shoal/listen/proxyproto"
	"github.com/shoalmq/shoal/listen/quic"
)

// listeners are where clients connect.
type listeners struct {
	urls   []string       // that the broker listens on by itself
	own    []net.Listener // that have to be made here
	tcp    string         // the address of mqtt.tcp, empty for none
	certs  map[string]*certs.Certificates
	byAddr map[string]*certs.Certificates // of urls with TLS, by address
	ports  []Port                         // that are going to be used
}

// planListeners says where to listen, and reads certificates. It binds nothing.
func planListeners(ctx context.Context, l *config.Loaded, inherited []net.Listener, log *slog.Logger) (*listeners, error) {
	ls := &listeners{certs: make(map[string]*certs.Certificates), byAddr: make(map[string]*certs.Certificates)}
	for _, m := range []struct{ path, value, scheme, behind string }{
		{"mqtt.tcp", l.MQTT.TCP, "tcp", ""},
		{"mqtt.ws", l.MQTT.WS, "ws", "/{path...}"}, // comqtt answers on any path
	} {
		if m.value == "" || len(inherited) > 0 && !l.Given(m.path) {
			continue
		}
		scheme := m.scheme
		if l.MQTT.TLS.ServerCert != "" {
			scheme = map[string]string{"tcp": "tls", "ws": "wss"}[scheme]
		}
		address := hostFor(l, m.path, m.value)
		port := Port{Flag: l.GivenBy(m.path), Address: address}
		if m.path == "mqtt.ws" && !l.Given(m.path) && tryListen(ctx, port) != nil {
			log.Warn("no WebSocket listener: its default address is in use by another program; -ws gives it another", "address", address)
			continue
		}
		if m.path == "mqtt.tcp" {
			ls.tcp = address
		}
		ls.ports = append(ls.ports, port)
		if err := ls.addURL(scheme+"://"+address+m.behind, l.MQTT.TLS); err != nil {
			return nil, err
		}
	}
	for i, e := range l.Listeners {
		port, err := ls.planExtra(fmt.Sprintf("listeners[%d]", i), e, l.MQTT.TLS)
		if err != nil {
			return nil, err
		}
		if port.Address != "" {
			ls.ports = append(ls.ports, port)
		}
	}
	return ls, nil
}

// hostFor puts a host in front of an address that has none. While everyone is let in, and no file says where to listen, that is this machine.
func hostFor(l *config.Loaded, path, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" || l.Auth.Way != 0 || l.File != "" || strings.HasPrefix(l.GivenBy(path), "SHOAL_") {
		return address
	}
	return net.JoinHostPort(Loopback, port)
}

// addURL adds a listener that the broker makes.
func (ls *listeners) addURL(raw string, t config.TLS) error {
	ls.urls = append(ls.urls, raw)
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	if u.Scheme != "tls" && u.Scheme != "wss" {
		return nil
	}
	c, err := ls.load(t)
	if err != nil {
		return err
	}
	ls.byAddr[u.Host] = c
	return nil
}

// load reads certificates, once for all listeners that have the same.
func (ls *listeners) load(t config.TLS) (*certs.Certificates, error) {
	key := t.ServerCert + "\x00" + t.ServerKey + "\x00" + t.CACert
	if c := ls.certs[key]; c != nil {
		return c, nil
	}
	c, err := certs.Load(certs.Files{Cert: t.ServerCert, Key: t.ServerKey, ClientCA: t.CACert})
	if err == nil {
		ls.certs[key] = c
	}
	return c, err
}

func (ls *listeners) planExtra(path string, e config.Listener, otherwise config.TLS) (Port, error) {
	u, err := url.Parse(e.Address)
	if err != nil {
		return Port{}, Usagef("%s.address: %v", path, err)
	}
	if e.TLS.ServerCert == "" {
		e.TLS = otherwise
	}
	if len(e.TrustedProxies) > 0 && (u.Scheme == "quic" || u.Scheme == "unix") {
		return Port{}, Usagef("%s.trusted-proxies: there is no PROXY protocol for %s", path, u.Scheme)
	}
	switch {
	case u.Scheme == "quic":
		return Port{}, nil // bound by bind
	case u.Scheme == "unix":
		return Port{}, ls.addURL(e.Address, e.TLS)
	case len(e.TrustedProxies) > 0:
		_, err := listen.Parse(e.Address)
		return Port{Flag: path, Address: u.Host}, err
	}
	return Port{Flag: path, Address: u.Host}, ls.addURL(e.Address, e.TLS)
}

// config is the TLS configuration of the listeners that the broker makes: each connection gets that of the address it has come to.
func (ls *listeners) config() *tls.Config {
	if len(ls.byAddr) == 0 {
		return nil
	}
	find := func(h *tls.ClientHelloInfo) *certs.Certificates {
		local := h.Conn.LocalAddr().String()
		if c := ls.byAddr[local]; c != nil {
			return c
		}
		_, port, err := net.SplitHostPort(local)
		for address, c := range ls.byAddr {
			if _, p, perr := net.SplitHostPort(address); err == nil && perr == nil && p == port {
				return c
			}
		}
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if c := find(h); c != nil {
				return c.Current(), nil
			}
			return nil, errors.New("no certificate for this address")
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errors.New("no certificate") // never asked: GetConfigForClient decides
		},
	}
}

// bind makes the listeners that the broker cannot make.
func (ls *listeners) bind(ctx context.Context, l *config.Loaded, log *slog.Logger) error {
	if l.MQTT.QUIC != "" {
		if err := ls.bindQUIC(hostFor(l, "mqtt.quic", l.MQTT.QUIC), l.MQTT.TLS, log); err != nil {
			return fmt.Errorf("%s: %w", l.GivenBy("mqtt.quic"), err)
		}
	}
	for i, e := range l.Listeners {
		u, err := url.Parse(e.Address)
		if err == nil && e.TLS.ServerCert == "" {
			e.TLS = l.MQTT.TLS
		}
		switch {
		case err != nil:
		case u.Scheme == "quic":
			err = ls.bindQUIC(u.Host, e.TLS, log)
		case len(e.TrustedProxies) > 0:
			err = ls.bindProxied(ctx, e)
		}
		if err != nil {
			return fmt.Errorf("listeners[%d]: %w", i, err)
		}
	}
	return nil
}

func (ls *listeners) bindQUIC(address string, t config.TLS, log *slog.Logger) error {
	var conf *tls.Config
	if t.ServerCert == "" {
		var err error
		if conf, err = certs.SelfSigned(); err != nil {
			return err
		}
		log.Warn("QUIC has a certificate made for localhost, which no client knows: give mqtt.tls one", "address", address)
	} else {
		c, err := ls.load(t)
		if err != nil {
			return err
		}
		conf = c.Config()
	}
	q, err := quic.Listen(address, conf, quic.Options{ZeroRTT: t.ZeroRTT})
	if err != nil {
		return err
	}
	ls.own = append(ls.own, q)
	return nil
}

// bindProxied makes a listener that is told by proxies who the clients are.
func (ls *listeners) bindProxied(ctx context.Context, e config.Listener) error {
	endpoint, err := listen.Parse(e.Address)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, endpoint.Network, endpoint.Address)
	if err != nil {
		return err
	}
	proxied, err := proxyproto.New(l, e.TrustedProxies)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if l = proxied; endpoint.TLS {
		c, err := ls.load(e.TLS)
		if err != nil {
			return errors.Join(err, l.Close())
		}
		conf := c.Config()
		if endpoint.WebSocket {
			conf.NextProtos = []string{"http/1.1"}
		}
		l = tls.NewListener(l, conf)
	}
	if endpoint.WebSocket {
		l = listen.WebSocket(l, endpoint.Path)
	}
	ls.own = append(ls.own, l)
	return nil
}

// options are those of the broker. After shoal.New the listeners are the broker's.
func (ls *listeners) options(inherited []net.Listener) []shoal.Option {
	opts := []shoal.Option{shoal.WithListen(ls.urls...)}
	for _, l := range append(ls.own, inherited...) {
		opts = append(opts, shoal.WithListener(l))
	}
	if c := ls.config(); c != nil {
		opts = append(opts, shoal.WithTLSConfig(c))
	}
	return opts
}

func (ls *listeners) close() {
	for _, l := range ls.own {
		_ = l.Close() // what matters has failed already
	}
}
