package main

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
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// certificate makes one for localhost, and returns its paths.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return cert, key
}

const connect, connack = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c", "\x20\x02\x00\x00"

// requireConnack connects over a stream.
func requireConnack(t *testing.T, c io.ReadWriter) {
	t.Helper()
	_, err := io.WriteString(c, connect)
	require.NoError(t, err)
	answer := make([]byte, len(connack))
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	require.Equal(t, connack, string(answer))
}

// nameAt is whom the server at a port says to be.
func nameAt(t *testing.T, port int) string {
	t.Helper()
	c, err := tls.Dial("tcp", fmt.Sprint("127.0.0.1:", port), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	requireConnack(t, c)
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// Several listeners of each kind, each with its own certificate, behind a proxy, and over QUIC.
func TestListeners(t *testing.T) {
	dir := t.TempDir()
	one, oneKey := certificate(t, dir, "one")
	two, twoKey := certificate(t, dir, "two")
	p := programtest.FreePorts(t, 6)
	unix := filepath.Join(dir, "mqtt.sock")
	conf := write(t, filepath.Join(dir, "shoal.yml"), fmt.Sprintf(`
data-dir: %s
mqtt: {tcp: ':%d', ws: '', http: ''}
listeners:
  - {address: 'tls://127.0.0.1:%d', tls: {server-cert: one.pem, server-key: one.key}}
  - {address: 'tls://:%d', tls: {server-cert: %s, server-key: %s}}
  - {address: 'tcp://127.0.0.1:%d', trusted-proxies: [127.0.0.1]}
  - {address: 'unix://%s'}
  - {address: 'quic://127.0.0.1:%d', tls: {server-cert: one.pem, server-key: one.key}}
`, dir, p[0], p[1], p[2], two, twoKey, p[3], unix, p[4]))
	status, _, said := single.Output(t, "", "-conf", conf, "-check")
	require.Zero(t, status, said)
	process := single.Start(t, "-conf", conf)
	process.Await(t, started)

	require.Equal(t, "one", nameAt(t, p[1]))
	require.Equal(t, "two", nameAt(t, p[2]))
	for network, address := range map[string]string{"tcp": fmt.Sprint("127.0.0.1:", p[0]), "unix": unix} {
		c, err := net.Dial(network, address)
		require.NoError(t, err)
		requireConnack(t, c)
		require.NoError(t, c.Close())
	}
	proxied, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", p[3]))
	require.NoError(t, err)
	_, err = io.WriteString(proxied, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n")
	require.NoError(t, err)
	requireConnack(t, proxied)
	require.NoError(t, proxied.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := quic.DialAddr(ctx, fmt.Sprint("127.0.0.1:", p[4]), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"mqtt"}}, nil)
	require.NoError(t, err)
	s, err := q.OpenStreamSync(ctx)
	require.NoError(t, err)
	requireConnack(t, s)
	require.NoError(t, q.CloseWithError(0, ""))

	// A renewed certificate is used without a word from anybody.
	three, threeKey := certificate(t, dir, "three")
	require.NoError(t, os.Rename(threeKey, oneKey))
	require.NoError(t, os.Rename(three, one))
	process.Await(t, "certificates renewed")
	require.Equal(t, "three", nameAt(t, p[1]))
	process.Interrupt(t)
}
