package shoal_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/internal/pipe"
	"github.com/shoalmq/shoal/packets"
)

// anywhere is a listener whose connections come from wherever a test says.
type anywhere struct {
	name   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenAnywhere(name string) *anywhere {
	return &anywhere{name: name, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (a *anywhere) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.closed:
		return nil, net.ErrClosed
	}
}

func (a *anywhere) Close() error {
	a.once.Do(func() { close(a.closed) })
	return nil
}

func (a *anywhere) Addr() net.Addr { return place{a.name} }

// place is an address that is no IP address.
type place struct{ name string }

func (place) Network() string  { return "test" }
func (n place) String() string { return n.name }

// from is a connection with another remote address.
type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// dialFrom returns a client of the listener's broker that comes from an IP address.
func dialFrom(t testing.TB, a *anywhere, ip string, v packets.Version) *mqtttest.Client {
	t.Helper()
	addr := net.ParseIP(ip)
	require.NotNil(t, addr)
	client, server := pipe.New("anywhere")
	a.conns <- from{server, &net.TCPAddr{IP: addr, Port: 4711}}
	return mqtttest.New(t, client, v)
}
