package testservers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// program returns where a program is, or skips the test.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("SHOAL_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s is not installed, and SHOAL_REQUIRE_SERVERS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// freePort returns a port on which nobody listens, for a program that must be told one.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// Server is a process that listens on one port.
type Server struct {
	t    testing.TB
	path string
	args []string
	port int
	bus  int
	cmd  *exec.Cmd
}

// Addr returns where it listens, "127.0.0.1:port".
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port returns the port of Addr.
func (s *Server) Port() int { return s.port }

// Bus returns the port on which the servers of a Redis Cluster talk to each other; 0 for others.
func (s *Server) Bus() int { return s.bus }

// Start starts the process and waits until it listens. New servers are started.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), s.path, s.args...) // Kill ends it
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("%s does not start: %v", s.path, err)
	}
	began := time.Now()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", s.Addr())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Since(began) > 20*time.Second {
			s.t.Fatalf("%s does not listen on %s: %v", s.path, s.Addr(), err)
		}
		time.Sleep(10 * time.Millisecond) // until it listens
	}
}

// Kill ends the process as kill -9 does, and waits for it. Killing it twice is fine.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // the error says that it was killed
	s.cmd = nil
}

// Signal sends a signal to the process: SIGSTOP, for example, makes it stand still until SIGCONT.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Errorf("%s takes no signal: %v", s.path, err)
	}
}

// Redis starts a Redis server that keeps its data in a directory of the test. args are further options, such as "--cluster-enabled", "yes".
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, path: program(t, "redis-server"), port: freePort(t)}
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
	}, args...)
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// RedisClusterNode starts a Redis server that may become one of a Redis Cluster.
func RedisClusterNode(t testing.TB) *Server {
	t.Helper()
	bus := freePort(t)
	s := Redis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus))
	s.bus = bus
	return s
}

// Sentinel starts a Redis Sentinel that watches a server under the name "main".
func Sentinel(t testing.TB, watched *Server) *Server {
	t.Helper()
	s := &Server{t: t, path: program(t, "redis-server"), port: freePort(t)}
	file := t.TempDir() + "/sentinel.conf"
	conf := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %d 1\n", s.port, watched.port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{file, "--sentinel"}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}
