package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

// The bubble's clock stands at the beginning of the year 2000.
var (
	validFrom = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	validTo   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a.cert = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, &a.key.PublicKey)
	return a
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	a.last++
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(a.last), validFrom, validTo
	template.Subject = pkix.Name{CommonName: fmt.Sprint("test ", a.last)}
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	require.NoError(a.t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return cert
}

// node returns the configuration of a node whose certificate is made out to a name.
func (a *authority) node(name string) *tls.Config {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	cert := a.sign(&x509.Certificate{
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		ServerName: "node.test", RootCAs: pool, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}
}

func gossipKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// logLines collects what is logged at Warn and above.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// TestSecured holds that nodes with credentials form a cluster, talk, and take one of them back that restarts; over raft's own port and over gRPC's.
func TestSecured(t *testing.T) {
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprint("raft over gRPC ", over), func(t *testing.T) {
			a := newAuthority(t)
			bubble(t, func(t *testing.T, w *world) {
				w.tune = func(c *Config) {
					c.TLS, c.GossipKeys, c.RaftOverGRPC = a.node("node.test"), [][]byte{gossipKey(1)}, over
				}
				names := []string{"c01", "c02", "c03"}
				for _, name := range names {
					w.start(name)
				}
				w.formed(names...)
				done := make(chan error, 1)
				w.nodes["c01"].Forward("c03", []byte("x"), func(err error) { done <- err })
				require.NoError(t, <-done)
				_, err := w.nodes["c02"].Propose(t.Context(), []byte("y"))
				require.NoError(t, err)
				w.kill("c02")
				w.start("c02")
				w.formed(names...)
			})
		})
	}
}

// TestStrangersAreRefused holds that a node without the cluster's credentials does not become part of it, whatever it lacks, that the log says so, and
// that the cluster goes on.
func TestStrangersAreRefused(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	const certificate, key = "does not show a valid certificate", "without the right key"
	for name, tc := range map[string]struct {
		tune func(*Config)
		line string
	}{
		"no TLS":                          {func(c *Config) { c.TLS = nil }, certificate},
		"another authority's certificate": {func(c *Config) { c.TLS = theirs.node("node.test") }, certificate},
		"a certificate that is no node's": {func(c *Config) { c.TLS = ours.node("client.test") }, certificate},
		"trusts us, but has no good one":  {func(c *Config) { c.TLS = theirs.node("node.test"); c.TLS.RootCAs = ours.node("x").RootCAs }, certificate},
		"no gossip key":                   {func(c *Config) { c.GossipKeys = nil }, key},
		"another gossip key":              {func(c *Config) { c.GossipKeys = [][]byte{gossipKey(9)} }, key},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				var lines logLines
				w.tune = func(c *Config) {
					c.TLS, c.GossipKeys = ours.node("node.test"), [][]byte{gossipKey(1)}
					c.Logger = lines.logger()
				}
				w.start("c01")
				w.start("c02")
				w.formed("c01", "c02")
				secured := w.tune
				w.tune = func(c *Config) {
					secured(c)
					c.Logger = slog.New(slog.DiscardHandler)
					tc.tune(c)
				}
				stranger := w.start("c03")
				eventually(t, time.Minute, "a line about the stranger", func() bool { return strings.Contains(lines.String(), tc.line) })
				time.Sleep(30 * time.Second)
				require.False(t, stranger.Serving())
				require.NotContains(t, w.nodes["c01"].machine.nodesUp(), "c03")
				require.Empty(t, stranger.machine.log())
				require.True(t, w.nodes["c01"].Serving())
				require.Less(t, strings.Count(lines.String(), "\n"), 60, "the log is not flooded:\n%s", lines.String())
				stranger.stop(t)
				delete(w.nodes, "c03")
				_, err := w.nodes["c02"].Propose(t.Context(), []byte("still here"))
				require.NoError(t, err)
			})
		})
	}
}

// TestGossipKeysRotate holds that a key is changed without interruption, node by node, and that the old one is good for nothing afterwards.
func TestGossipKeysRotate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.tune = func(c *Config) { c.GossipKeys = [][]byte{gossipKey(1)} }
		names := []string{"c01", "c02", "c03"}
		for _, name := range names {
			w.start(name)
		}
		w.formed(names...)
		before := w.nodes["c01"].machine.nodesUp()
		for _, keys := range [][][]byte{{gossipKey(1), gossipKey(2)}, {gossipKey(2), gossipKey(1)}, {gossipKey(2)}} {
			for _, name := range names {
				require.NoError(t, w.nodes[name].SetGossipKeys(keys))
				time.Sleep(5 * time.Second)
			}
		}
		require.Equal(t, before, w.nodes["c01"].machine.nodesUp(), "nobody was lost meanwhile")
		w.start("c04") // with the old key
		time.Sleep(30 * time.Second)
		require.NotContains(t, w.nodes["c01"].machine.nodesUp(), "c04")
		require.False(t, w.nodes["c04"].Serving())
		w.kill("c04")
		w.tune = func(c *Config) { c.GossipKeys = [][]byte{gossipKey(2)} }
		w.start("c04")
		w.formed(append(names, "c04")...)
		require.ErrorContains(t, w.nodes["c01"].SetGossipKeys(nil), "needs one at least")
		require.ErrorContains(t, w.nodes["c01"].SetGossipKeys([][]byte{{1}}), "key 1 has 1 bytes")
	})
}

func TestSecurityIsChecked(t *testing.T) {
	good := newAuthority(t).node("node.test")
	for want, change := range map[string]func(*Config){
		"ServerName is empty":       func(c *Config) { c.TLS = good.Clone(); c.TLS.ServerName = "" },
		"RootCAs is empty":          func(c *Config) { c.TLS = good.Clone(); c.TLS.RootCAs = nil },
		"there is no certificate":   func(c *Config) { c.TLS = good.Clone(); c.TLS.Certificates = nil },
		"InsecureSkipVerify":        func(c *Config) { c.TLS = good.Clone(); c.TLS.InsecureSkipVerify = true },
		"key 2 has 5 bytes; use 32": func(c *Config) { c.GossipKeys = [][]byte{gossipKey(1), []byte("short")} },
	} {
		cfg := Config{Name: "c01", Bootstrap: true, TLS: good}
		change(&cfg)
		_, err := New(cfg).Self()
		require.ErrorContains(t, err, want)
	}
	c := New(Config{Name: "c01", Bootstrap: true})
	require.ErrorContains(t, c.SetGossipKeys([][]byte{gossipKey(1)}), "started without keys")
}
