package proxyproto_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/listen/proxyproto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, trusted ...string) net.Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := proxyproto.New(inner, trusted)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// send opens a connection and sends text. The other end is what Accept returns.
func send(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	l := listen(t, "127.0.0.0/8")
	for version, header := range map[string]string{
		"1": "PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n",
		"2": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x12\x67\x07\x5b",
	} {
		send(t, l, header+"x")
		c, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, "203.0.113.7:4711", c.RemoteAddr().String(), version)
		b := make([]byte, 1)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "x", string(b))
		require.NoError(t, c.Close())
	}
}

func TestStrangerIsNotBelieved(t *testing.T) {
	l := listen(t, "192.0.2.1")
	const text = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n"
	send(t, l, text)
	c, err := l.Accept()
	require.NoError(t, err)
	require.Contains(t, c.RemoteAddr().String(), "127.0.0.1:")
	b := make([]byte, len(text))
	_, err = io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, text, string(b), "it is what the client has sent")
	require.NoError(t, c.Close())
}

// A trusted proxy that sends no header, or half of one, keeps nobody from being accepted.
func TestHeaderThatDoesNotCome(t *testing.T) {
	l := listen(t, "127.0.0.1")
	silent := send(t, l, "PROXY TC")
	wrong := send(t, l, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
	send(t, l, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")
	c, err := l.Accept()
	require.NoError(t, err)
	require.Equal(t, "[2001:db8::1]:1", c.RemoteAddr().String())
	require.NoError(t, c.Close())
	_, err = wrong.Read(make([]byte, 1))
	require.Error(t, err, "the connection without header ends")
	require.NoError(t, silent.Close())
}

func TestNobodyOrNonsenseTrusted(t *testing.T) {
	for _, trusted := range [][]string{nil, {"proxy.example"}} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		_, err = proxyproto.New(inner, trusted)
		require.Error(t, err)
		require.NoError(t, inner.Close())
	}
}

func ExampleNew() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := proxyproto.New(inner, []string{"10.0.0.0/8"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = shoal.New(shoal.WithListener(l), shoal.WithAnonymous())
	fmt.Println(err, l.Close())
	// Output: <nil> <nil>
}
