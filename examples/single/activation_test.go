package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/examples/internal/programtest"
	"github.com/shoalmq/shoal/internal/testservers"
)

// A program that systemd starts serves the sockets that systemd has opened, and opens none of those that it would by default.
func TestSocketActivation(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	socket, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()
	p := single.StartBy(t, func(path string, args ...string) *exec.Cmd {
		// LISTEN_PID is that of the program, which the shell becomes.
		c := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, path}, args...)...)
		c.Env = append(os.Environ(), "LISTEN_FDS=1")
		c.ExtraFiles = []*os.File{socket}
		return c
	}, "-http", "")
	p.Await(t, started)
	port := l.Addr().(*net.TCPAddr).Port
	client := programtest.ConnectURL(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), "c", false)
	client.Subscribe("a", 1)
	client.Publish("a", 1, false, "m")
	client.Receive("a", "m")
	client.Close()
	for _, line := range p.Lines() {
		require.NotContains(t, line, ":1883", "the default listener was opened, too")
	}
	p.Interrupt(t)
}

// A program whose Redis is away at its start says so within seconds, and ends with an error, so that it is started again.
func TestRedisAwayAtStart(t *testing.T) {
	server := testservers.Redis(t)
	server.Kill()
	port := programtest.FreePorts(t, 1)[0]
	args := []string{"-tcp", fmt.Sprint("127.0.0.1:", port), "-ws", "", "-http", "", "-storage", "redis://" + server.Addr()}
	began := time.Now()
	status, _, said := single.Output(t, "", args...)
	require.Equal(t, 1, status, said)
	require.Less(t, time.Since(began), time.Minute)
	require.Contains(t, said, server.Addr())
	server.Start()
	p := single.Start(t, args...)
	p.Await(t, started)
	p.Interrupt(t)
}
