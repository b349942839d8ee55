package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
)

// redisServer is a Redis that all nodes share, which keeps what it has acknowledged.
type redisServer struct {
	t       *testing.T
	addr    string
	command func(path string, args ...string) *exec.Cmd
	dial    func(ctx context.Context, addr string) (net.Conn, error)
	dir     string
	cmd     *exec.Cmd
}

var _ nemesis.Stores = (*redisServer)(nil)

func (r *redisServer) start() {
	r.t.Helper()
	host, port, err := net.SplitHostPort(r.addr)
	require.NoError(r.t, err)
	r.cmd = r.command("redis-server", "--port", port, "--bind", host, "--dir", r.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no")
	require.NoError(r.t, r.cmd.Start())
	began := time.Now()
	for r.say("PING") != nil {
		require.Less(r.t, time.Since(began), time.Minute, "Redis does not listen on %s", r.addr)
		time.Sleep(10 * time.Millisecond) // it is another process
	}
}

func (r *redisServer) kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait() // the error says that it was killed
		r.cmd = nil
	}
}

// say sends a command, and is an error if the answer is.
func (r *redisServer) say(command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := r.dial(ctx, r.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "+") {
		err = fmt.Errorf("redis answers %q to %s", answer, command)
	}
	return err
}

func (r *redisServer) must(command string) {
	r.t.Helper()
	require.NoError(r.t, r.say(command))
}

func (r *redisServer) CrashStore() { r.kill() }

func (r *redisServer) StoreBack() { r.start() }

func (r *redisServer) StallStore(stalled bool) {
	sig := syscall.SIGCONT
	if stalled {
		sig = syscall.SIGSTOP
	}
	require.NoError(r.t, r.cmd.Process.Signal(sig))
}

func (r *redisServer) EmptyStore() { r.must("FLUSHALL") }

func (r *redisServer) FillStore(full bool) {
	r.must(map[bool]string{true: "CONFIG SET maxmemory 1", false: "CONFIG SET maxmemory 0"}[full])
}
