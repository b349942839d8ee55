package certs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal/listen/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a certificate for name, signed by itself, and writes it to files.
func write(t *testing.T, dir, name string) certs.Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	f := certs.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	require.NoError(t, os.WriteFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return f
}

// serverName is whom a server with this configuration says to be.
func serverName(t *testing.T, config *tls.Config, client *tls.Config) (string, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}()
	defer func() { <-done }()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return "", err
	}
	_, _ = c.Write([]byte("x"))
	_, err = c.Read(make([]byte, 1))
	name := c.ConnectionState().PeerCertificates[0].Subject.CommonName
	_ = c.Close()
	if err != nil && err.Error() != "EOF" {
		return "", err
	}
	return name, nil
}

func anybody() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	c, err := certs.Load(write(t, dir, "old"))
	require.NoError(t, err)
	config := c.Config()
	name, err := serverName(t, config, anybody())
	require.NoError(t, err)
	require.Equal(t, "old", name)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.Watch(ctx, time.Millisecond, slog.New(slog.DiscardHandler)); close(done) }()
	write(t, dir, "new")
	require.Eventually(t, func() bool {
		name, err := serverName(t, config, anybody())
		return err == nil && name == "new"
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	<-done

	changed, err := c.Reload()
	require.NoError(t, err)
	require.False(t, changed)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("nonsense"), 0o600))
	_, err = c.Reload()
	require.ErrorContains(t, err, "cert.pem")
	name, err = serverName(t, config, anybody())
	require.NoError(t, err)
	require.Equal(t, "new", name, "what was read before stays in force")
}

func TestClientsMustShowCertificates(t *testing.T) {
	files := write(t, t.TempDir(), "server")
	client := write(t, t.TempDir(), "client")
	files.ClientCA = client.Cert
	c, err := certs.Load(files)
	require.NoError(t, err)
	_, err = serverName(t, c.Config(), anybody())
	require.Error(t, err)
	pair, err := tls.LoadX509KeyPair(client.Cert, client.Key)
	require.NoError(t, err)
	name, err := serverName(t, c.Config(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	require.NoError(t, err)
	require.Equal(t, "server", name)
}

func TestSelfSigned(t *testing.T) {
	config, err := certs.SelfSigned()
	require.NoError(t, err)
	name, err := serverName(t, config, anybody())
	require.NoError(t, err)
	require.Equal(t, "localhost", name)
}

func ExampleLoad() {
	_, err := certs.Load(certs.Files{Cert: "no/such.pem", Key: "no/such.key"})
	fmt.Println(err != nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	config, err := certs.SelfSigned()
	if err != nil {
		return
	}
	fmt.Println(tls.NewListener(l, config).Close())
	// Output:
	// true
	// <nil>
}
