package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Files are what the configuration of a listener is made of, in PEM.
type Files struct {
	Cert, Key string
	// ClientCA has the certificates of those that sign clients; clients must show a certificate then. Empty: clients are not asked.
	ClientCA string
}

// Certificates is a TLS configuration from files. Make one with Load. All methods may be called from any goroutine.
type Certificates struct {
	files   Files
	current atomic.Pointer[tls.Config]
	read    atomic.Value // string: sizes and times of the files that current was read from
}

// Load reads the files.
func Load(files Files) (*Certificates, error) {
	c := &Certificates{files: files}
	_, err := c.Reload()
	return c, err
}

// Config returns the configuration for listeners, TLS 1.2 and later, which is always that of the last good Reload.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { // some listeners insist on one
			return &c.current.Load().Certificates[0], nil
		},
	}
}

// Current returns the configuration of now. It must not be changed.
func (c *Certificates) Current() *tls.Config { return c.current.Load() }

// Reload reads the files again, and reports whether they had changed. With an error, what was read before stays in force.
func (c *Certificates) Reload() (changed bool, err error) {
	state, err := c.state()
	if err != nil {
		return false, err
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return false, fmt.Errorf("certs: %s and %s: %w", c.files.Cert, c.files.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"mqtt", "http/1.1"}}
	if c.files.ClientCA != "" {
		pem, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return false, fmt.Errorf("certs: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return false, fmt.Errorf("certs: %s has no certificate in PEM", c.files.ClientCA)
		}
	}
	changed = c.read.Load() != nil && c.read.Load() != state
	c.current.Store(config)
	c.read.Store(state)
	return changed, nil
}

// state describes the files, so that a change is seen without reading them.
func (c *Certificates) state() (string, error) {
	var b strings.Builder
	var errs []error
	for _, path := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("certs: %w", err))
			continue
		}
		_, _ = fmt.Fprint(&b, path, info.Size(), info.ModTime().UnixNano(), ";") // a Builder does not fail
	}
	return b.String(), errors.Join(errs...)
}

// Watch looks at the files every interval, and reads them when they have changed, until ctx ends. What goes wrong is logged, once for each change.
func (c *Certificates) Watch(ctx context.Context, interval time.Duration, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		state, err := c.state()
		if err == nil && state == c.read.Load() {
			failed = ""
			continue
		}
		if err == nil {
			_, err = c.Reload()
		}
		switch {
		case err == nil:
			log.Info("certificates renewed", "cert", c.files.Cert)
		case err.Error()+state != failed:
			failed = err.Error() + state
			log.Error("certificates not renewed; those read before stay in force", "error", err)
		}
	}
}
