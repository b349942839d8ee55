package testservers

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fake(t *testing.T, script string) *Server {
	return &Server{t: t, path: "/bin/sh", args: []string{"-c", script}, port: reservePort(t), output: t.TempDir() + "/output"}
}

// TestProcessThatEndsAtStartIsNoticed holds that nobody waits for it, and that what it said is told.
func TestProcessThatEndsAtStartIsNoticed(t *testing.T) {
	s := fake(t, "echo the port is taken >&2; exit 3")
	began := time.Now()
	err := s.start()
	require.ErrorContains(t, err, "exit status 3")
	require.Contains(t, s.printed(), "the port is taken")
	require.Less(t, time.Since(began), startTime/2)
	s.Kill()
	s.Kill()
}

// TestAnotherProcessOnThePortIsNoServer holds that whoever else answers is not taken for the server.
func TestAnotherProcessOnThePortIsNoServer(t *testing.T) {
	s := fake(t, "sleep 0.5; exit 3")
	l, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	require.ErrorContains(t, s.start(), "exit status 3")
	s.Kill()
}

func TestPortsAreOutsideTheEphemeralRange(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip("this system does not tell its range")
	}
	require.NotEmpty(t, text)
	seen := make(map[int]bool)
	for range 50 {
		p := reservePort(t)
		require.False(t, seen[p], "given twice")
		seen[p] = true
		first, last := outsideEphemeral()
		require.True(t, first <= p && p <= last)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	ephemeral, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ephemeral.Close()) }()
	first, last := outsideEphemeral()
	p := ephemeral.Addr().(*net.TCPAddr).Port
	require.False(t, first <= p && p <= last, "the system gave %d", p)
}

// TestServersStart starts each of them twice: also with the data of before.
func TestServersStart(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *Server{
		"redis":    func(t *testing.T) *Server { return Redis(t) },
		"mariadb":  func(t *testing.T) *Server { return MariaDB(t) },
		"postgres": func(t *testing.T) *Server { return Postgres(t) },
		"slapd": func(t *testing.T) *Server {
			return Slapd(t, "dn: dc=example,dc=com\nobjectClass: domain\ndc: example\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.Kill()
			_, err := net.DialTimeout("tcp", s.Addr(), time.Second)
			require.Error(t, err)
			s.Start()
			s.Stop()
			s.Start()
			yes, known := listens(s.cmd.Process.Pid, s.port)
			require.True(t, yes && known)
		})
	}
}
