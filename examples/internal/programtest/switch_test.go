//go:build linux

package programtest

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What hosts of a Switch say to each other arrives, unless the link between them is cut or loses it; a reset ends a connection.
func TestSwitch(t *testing.T) {
	s := StartSwitch(t, 2, 1)
	if s == nil {
		t.Skip("it needs root, network namespaces and tunnels")
	}
	var l net.Listener
	require.NoError(t, s.hosts[0].inside(func() (err error) {
		l, err = net.Listen("tcp", s.IP(0)+":1883")
		return err
	}))
	defer func() { _ = l.Close() }()
	conn, err := s.DialContext(t.Context(), 1, s.IP(0)+":1883")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	other, err := l.Accept()
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	b := make([]byte, 1)
	says := func(patience time.Duration) error {
		_, _ = conn.Write([]byte("x"))
		_ = other.SetReadDeadline(time.Now().Add(patience))
		_, err := io.ReadFull(other, b)
		return err
	}
	require.NoError(t, says(5*time.Second))
	s.Cut(1, 0, true)
	require.Error(t, says(300*time.Millisecond))
	s.Cut(1, 0, false)
	require.NoError(t, says(5*time.Second), "TCP sends it again")
	s.Loss(1, 0, 0.3)
	for range 10 {
		require.NoError(t, says(20*time.Second))
	}
	s.Loss(1, 0, 0)
	s.Delay(1, 0, 300*time.Millisecond)
	began := time.Now()
	require.NoError(t, says(5*time.Second))
	for time.Since(began) < 300*time.Millisecond { // what was sent twice may have been there already
		require.NoError(t, says(5*time.Second))
	}
	s.Delay(1, 0, 0)
	s.Reset(1, 0)
	for err == nil {
		err = says(5 * time.Second)
	}
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.False(t, ne.Timeout(), "the connection was reset: %v", err)
}
