package quic_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/listen/certs"
	"github.com/shoalmq/shoal/listen/quic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial opens a connection and its stream.
func dial(t *testing.T, addr, protocol string) (*quicgo.Conn, *quicgo.Stream, error) {
	t.Helper()
	c, err := quicgo.DialAddr(t.Context(), addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}, nil)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.OpenStreamSync(t.Context())
	require.NoError(t, err)
	return c, s, nil
}

func TestMQTTOverQUIC(t *testing.T) {
	config, err := certs.SelfSigned()
	require.NoError(t, err)
	l, err := quic.Listen("127.0.0.1:0", config, quic.Options{})
	require.NoError(t, err)
	b, err := shoal.New(shoal.WithListener(l), shoal.WithAnonymous())
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))

	c, s, err := dial(t, l.Addr().String(), "mqtt")
	require.NoError(t, err)
	require.NoError(t, s.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = s.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
	require.NoError(t, err)
	answer := make([]byte, 4)
	_, err = io.ReadFull(s, answer)
	require.NoError(t, err)
	require.Equal(t, "\x20\x02\x00\x00", string(answer), "CONNACK")
	_, err = s.Write([]byte("\xc0\x00"))
	require.NoError(t, err)
	_, err = io.ReadFull(s, answer[:2])
	require.NoError(t, err)
	require.Equal(t, "\xd0\x00", string(answer[:2]), "PINGRESP")
	_, err = s.Write([]byte("\xe0\x00")) // DISCONNECT
	require.NoError(t, err)
	_, err = s.Read(answer)
	require.Error(t, err, "the broker closes")
	require.NoError(t, c.CloseWithError(0, ""))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, b.Shutdown(ctx))
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	config, err := certs.SelfSigned()
	require.NoError(t, err)
	l, err := quic.Listen("127.0.0.1:0", config, quic.Options{})
	require.NoError(t, err)
	_, _, err = dial(t, l.Addr().String(), "h3")
	require.Error(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "closing twice")
	_, err = l.Accept()
	require.Error(t, err)
}

func TestAddressInUse(t *testing.T) {
	config, err := certs.SelfSigned()
	require.NoError(t, err)
	l, err := quic.Listen("127.0.0.1:0", config, quic.Options{})
	require.NoError(t, err)
	_, err = quic.Listen(l.Addr().String(), config, quic.Options{})
	require.Error(t, err)
	require.NoError(t, l.Close())
}

func ExampleListen() {
	config, err := certs.SelfSigned()
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := quic.Listen("127.0.0.1:0", config, quic.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = shoal.New(shoal.WithListener(l), shoal.WithAnonymous())
	fmt.Println(err, l.Close())
	// Output: <nil> <nil>
}
