package shoal_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// TestErrorReachesABusyClient holds that a client that has broken a rule and goes on sending megabytes, reading nothing meanwhile, finds the
// DISCONNECT when it reads at last, and not a reset.
func TestErrorReachesABusyClient(t *testing.T) {
	certificate, roots := testCertificate(t)
	b := start(
		t, shoal.WithListen("tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0"),
		shoal.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}),
	)
	var dialer net.Dialer
	tcp := func(i int) (net.Conn, error) { return dialer.DialContext(t.Context(), "tcp", b.Addrs()[i].String()) }
	for name, dial := range map[string]func() (net.Conn, error){
		"tcp": func() (net.Conn, error) { return tcp(0) },
		"tls": func() (net.Conn, error) {
			d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
			return d.DialContext(t.Context(), "tcp", b.Addrs()[1].String())
		},
		"ws": func() (net.Conn, error) {
			return listen.DialWebSocket(t.Context(), "ws://"+b.Addrs()[2].String()+"/mqtt", func(context.Context) (net.Conn, error) { return tcp(2) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, bad := range []struct {
				raw  string
				code packets.ReasonCode
			}{
				{"\xc1\x00", packets.MalformedPacket},
				{"\x30\xff\xff\xff\x7f\x00\x01t", packets.PacketTooLarge}, // whose 256 MiB it begins to send
			} {
				conn, err := dial()
				require.NoError(t, err)
				c := mqtttest.New(t, conn, packets.V5)
				c.Connect(&packets.Connect{ClientID: "busy", CleanStart: true})
				c.SendRaw([]byte(bad.raw))
				junk := make([]byte, 256<<10)
				for range 24 {
					if c.TrySend(junk) != nil { // a WebSocket ends both ways at once
						require.Equal(t, "ws", name)
						break
					}
				}
				c.ExpectDisconnect(bad.code)
			}
		})
	}
}

// TestUnauthenticatedMemory holds that connections which announce as much as a CONNECT may have, and send little, cost little.
func TestUnauthenticatedMemory(t *testing.T) {
	b := start(t, shoal.WithListen("tcp://127.0.0.1:0"))
	const n = 200
	conns := make([]*mqtttest.Client, n)
	for i := range conns {
		conn, err := net.Dial("tcp", b.Addrs()[0].String())
		require.NoError(t, err)
		conns[i] = mqtttest.New(t, conn, packets.V5)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, c := range conns {
		c.SendRaw([]byte("\x10\xf0\xff\x1f\x00\x04MQTT\x05\x02\x00\x00\x00\xff\xff")) // 512 KiB, and a Client Identifier of 64 KiB
	}
	other := dial(t, b, packets.V5) // somebody who is served behind all of them
	other.Connect(&packets.Connect{ClientID: "other", CleanStart: true})
	other.Subscribe(1, "t")
	other.Publish(1, "t", "m")
	other.ExpectPublish("t", "m")
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(n*80<<10), "the announced bytes would be %d", n*512<<10)
}

// TestMalformedIsLogged holds that the log says, at Debug and not above, whose packet was refused and why: packet, field, problem, clause.
func TestMalformedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logBuffer)
		b := start(t, shoal.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		for _, tc := range []struct {
			v    packets.Version
			raw  string
			says string
		}{
			{packets.V5, "\xc1\x00", "PINGREQ: Flags: a reserved flag has the wrong value [MQTT-2.1.3-1]"},
			{packets.V311, "\x30\x03\x00\x01+", "PUBLISH: Topic Name: must not contain wildcard characters [MQTT-3.3.2-2]"},
			{packets.V31, "\x82\x02\x00\x01", "SUBSCRIBE: Topic Filter: there must be at least one [MQTT-3.8.3-3]"},
			{packets.V5, "\x90\x04\x00\x01\x00\x00", "SUBACK: Packet Type: must not be sent by this client at this point [MQTT-4.13.1-1]"},
		} {
			c := dial(t, b, tc.v)
			c.Connect(&packets.Connect{ClientID: "bad", CleanStart: true})
			c.SendRaw([]byte(tc.raw))
			if tc.v == packets.V5 {
				c.Expect(packets.TypeDisconnect)
			}
			c.ExpectClosed()
			c.Close()
			synctest.Wait()
			logged(t, log, tc.says, "client_id=bad")
		}
		for _, tc := range []struct{ raw, says string }{
			{"\xc0\x00", "PINGREQ: Packet Type: came before CONNECT [MQTT-3.1.0-1]"},
			{"\x10\x0d\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00", "CONNECT: Connect Flags: the reserved flag must be 0 [MQTT-3.1.2-3]"},
			{"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", "CONNECT: Connect Flags: the reserved flag must be 0 [MQTT-3.1.2-3]"},
			{"\x10\x0c\x00\x04MQTT\x09\x02\x00\x00\x00\x00", "CONNECT: Protocol Version: 9 is not one of MQTT [MQTT-3.1.2-2]"},
		} {
			c := dial(t, b, packets.V5)
			c.SendRaw([]byte(tc.raw))
			_, err := io.Copy(io.Discard, c.Conn)
			require.NoError(t, err)
			c.Close()
			synctest.Wait()
			logged(t, log, tc.says, "remote=")
		}
	})
}

// logged expects one line at Debug in the log since the last call that has all of these.
func logged(t *testing.T, log *logBuffer, parts ...string) {
	t.Helper()
	text := log.take()
	require.NotContains(t, text, "level=INFO")
	require.NotContains(t, text, "level=WARN")
	require.NotContains(t, text, "level=ERROR")
	found := 0
	for line := range strings.Lines(text) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			found++
		}
	}
	require.Equal(t, 1, found, "%q in\n%s", parts, text)
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}

// TestOneByteAtATime holds that a slow but honest client is served: nothing depends on how bytes come in.
func TestOneByteAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		c := dial(t, b, packets.V5)
		slowly := func(p packets.Packet, every time.Duration) {
			raw, err := packets.Append(nil, p, packets.V5)
			require.NoError(t, err)
			for _, x := range raw {
				c.SendRaw([]byte{x})
				time.Sleep(every)
			}
		}
		slowly(&packets.Connect{ClientID: "c", CleanStart: true, KeepAlive: 10}, 100*time.Millisecond)
		c.Expect(packets.TypeConnAck)
		slowly(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}}}, 100*time.Millisecond)
		c.Expect(packets.TypeSubAck)
		slowly(&packets.Publish{TopicName: "t", Payload: []byte("m")}, time.Second)
		c.ExpectPublish("t", "m")
		// Bytes are no packets: one that takes longer than the Keep Alive allows is as good as none.
		raw, err := packets.Append(nil, &packets.Publish{TopicName: "t", Payload: bytes.Repeat([]byte("m"), 40)}, packets.V5)
		require.NoError(t, err)
		for _, x := range raw {
			if err := c.TrySend([]byte{x}); err != nil {
				require.True(t, errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed), err)
				break
			}
			time.Sleep(time.Second)
		}
		c.ExpectDisconnect(packets.KeepAliveTimeout)
	})
}

// testCertificate returns a certificate of "localhost", and who vouches for it.
func testCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
