package secure

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	handshakeTimeout = 5 * time.Second
	// handshakes is how many are under way at a time; further connections wait to be accepted.
	handshakes = 64
	// tellEvery is how often a refusal is worth a line.
	tellEvery = 10 * time.Second
)

// ServerConfig makes the configuration of the accepting side: whoever connects must show a certificate that one of the same authorities has
// signed for the nodes' name, so that a certificate of a client of theirs is not enough.
func ServerConfig(cfg *tls.Config) *tls.Config {
	server := cfg.Clone()
	server.ClientAuth = tls.RequireAndVerifyClientCert
	if server.ClientCAs == nil {
		server.ClientCAs = cfg.RootCAs
	}
	also := cfg.VerifyConnection
	server.VerifyConnection = func(state tls.ConnectionState) error {
		if err := state.PeerCertificates[0].VerifyHostname(cfg.ServerName); err != nil {
			return fmt.Errorf("the certificate is not one of a node: %w", err)
		}
		if also != nil {
			return also(state)
		}
		return nil
	}
	return server
}

// teller keeps those who are refused from flooding the log. The zero value is ready.
type teller struct{ last atomic.Int64 }

// level returns Warn, once every tellEvery, and Debug.
func (t *teller) level() slog.Level {
	now := time.Now().UnixNano()
	last := t.last.Load()
	if (last == 0 || now-last >= int64(tellEvery)) && t.last.CompareAndSwap(last, now) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Dialer returns a function that dials by next and shows this node's certificate. It may be called concurrently.
func Dialer(cfg *tls.Config, log *slog.Logger, next func(ctx context.Context, addr string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	refused := new(teller)
	return func(ctx context.Context, addr string) (net.Conn, error) {
		raw, err := next(ctx, addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		c := tls.Client(raw, cfg)
		if err := c.HandshakeContext(ctx); err != nil {
			log.Log(ctx, refused.level(), "a node that does not show a valid certificate is not talked to", "address", addr, "error", err)
			return nil, errors.Join(fmt.Errorf("TLS with %s: %w", addr, err), raw.Close())
		}
		return c, nil
	}
}

// listener accepts connections that have shown a certificate.
type listener struct {
	net.Listener
	cfg     *tls.Config
	log     *slog.Logger
	refused teller

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	places chan struct{}
	conns  chan net.Conn
}

// Listen returns a listener of the connections that l accepts and that have shown a certificate; cfg is made by ServerConfig. Closing it
// closes l, and waits for what is under way.
func Listen(l net.Listener, cfg *tls.Config, log *slog.Logger) net.Listener {
	s := &listener{Listener: l, cfg: cfg, log: log, places: make(chan struct{}, handshakes), conns: make(chan net.Conn)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s
}

func (s *listener) run() {
	for {
		select {
		case s.places <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		c, err := s.Listener.Accept()
		if err == nil {
			s.wg.Go(func() {
				defer func() { <-s.places }()
				s.shake(c)
			})
			continue
		}
		<-s.places
		if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			s.cancel()
			return
		}
		select { // out of file descriptors, for example
		case <-time.After(50 * time.Millisecond):
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *listener) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, handshakeTimeout)
	defer cancel()
	c := tls.Server(raw, s.cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if s.ctx.Err() == nil {
			s.log.Log(s.ctx, s.refused.level(), "a node that does not show a valid certificate was refused", "address", raw.RemoteAddr().String(), "error", err)
		}
		return
	}
	select {
	case s.conns <- c:
	case <-s.ctx.Done():
		_ = raw.Close()
	}
}

// Accept implements net.Listener.
func (s *listener) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Closing twice is fine.
func (s *listener) Close() error {
	s.cancel()
	err := s.Listener.Close()
	s.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
