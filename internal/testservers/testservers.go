package testservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// startTime is how long a server may take to start. The machine may be busy.
const startTime = 60 * time.Second

// program returns where a program is, on PATH or at one of other places, or skips the test.
func program(t testing.TB, name string, others ...string) string {
	t.Helper()
	for _, candidate := range append([]string{name}, others...) {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("SHOAL_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s is not installed, and SHOAL_REQUIRE_SERVERS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Server is a process that listens on one port.
type Server struct {
	t      testing.TB
	path   string
	args   []string
	port   int
	bus    int
	user   *syscall.SysProcAttr // whom it runs as, nil for the user of the test
	gentle syscall.Signal       // what ends it with all its processes; 0: SIGKILL
	ready  func() error         // whether it serves, once it listens

	cmd    *exec.Cmd
	output string        // a file with what it has printed
	ended  chan struct{} // closed when the process has ended
	status error         // how it ended
}

// newServer returns a server that is not started yet.
func newServer(t testing.TB, name string, others ...string) *Server {
	t.Helper()
	return &Server{
		t: t, path: program(t, name, others...), port: reservePort(t), output: filepath.Join(t.TempDir(), "output"),
	}
}

// Addr returns where it listens, "127.0.0.1:port".
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port returns the port of Addr.
func (s *Server) Port() int { return s.port }

// Bus returns the port on which the servers of a Redis Cluster talk to each other; 0 for others.
func (s *Server) Bus() int { return s.bus }

// begin starts the server, and ends it with the test.
func (s *Server) begin() {
	s.t.Helper()
	s.t.Cleanup(s.end)
	s.Start()
}

// Start starts the process and waits until it serves. New servers are started.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.end()
		s.t.Fatalf("%s does not start on %s: %v\n%s", s.path, s.Addr(), err, s.printed())
	}
}

func (s *Server) start() error {
	out, err := os.OpenFile(s.output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()                                                  // the process has it now
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), s.path, s.args...) // Kill ends it
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = s.user
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func() {
		s.status = cmd.Wait()
		close(s.ended)
	}()
	return s.awaitReady()
}

// awaitReady waits until this very process listens and serves, or has ended.
func (s *Server) awaitReady() error {
	deadline := time.Now().Add(startTime)
	for {
		err := s.serves()
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it has ended: %w", errors.Join(s.status, errors.New("see its output")))
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %w", startTime, err)
		}
		time.Sleep(10 * time.Millisecond) // until it listens
	}
}

func (s *Server) dial() (net.Conn, error) {
	ctx := context.WithoutCancel(s.t.Context()) // servers are asked while a test ends, too
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", s.Addr())
}

func (s *Server) serves() error {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	_ = conn.Close()
	if yes, known := listens(s.cmd.Process.Pid, s.port); known && !yes {
		return errors.New("another process listens there")
	}
	if s.ready != nil {
		return s.ready()
	}
	return nil
}

// printed returns the end of what the process has printed.
func (s *Server) printed() string {
	text, err := os.ReadFile(s.output)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Kill ends the process, with those that it has started, as kill -9 does, and waits for them. Killing
// it twice is fine.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	started := children(s.cmd.Process.Pid)
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
	s.cmd = nil
	for _, pid := range started {
		await(s.t, "its processes end", func() bool {
			_, lives := parentOf(pid)
			if lives {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
			}
			return !lives
		})
	}
}

// Stop ends the process as its init system would, and waits for it.
func (s *Server) Stop() { s.end() }

// end ends the process with those that it has started.
func (s *Server) end() {
	if s.cmd == nil {
		return
	}
	if s.gentle != 0 {
		_ = s.cmd.Process.Signal(syscall.SIGCONT) // it may stand still
		_ = s.cmd.Process.Signal(s.gentle)        // it may have ended
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
		}
	}
	s.Kill()
}

// Signal sends a signal to the process: SIGSTOP, for example, makes it stand still until SIGCONT.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Errorf("%s takes no signal: %v", s.path, err)
	}
}

// SignalAll is Signal for the process and those that it has started, which PostgreSQL does for each
// connection.
func (s *Server) SignalAll(sig syscall.Signal) {
	s.t.Helper()
	s.Signal(sig)
	for _, pid := range children(s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
}

// run runs a program, whose failure is the test's.
func run(t testing.TB, as *syscall.SysProcAttr, path string, args ...string) {
	t.Helper()
	if err := try(as, path, args...); err != nil {
		t.Fatal(err)
	}
}

func try(as *syscall.SysProcAttr, path string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &out, as
	if as != nil {
		cmd.Dir = os.TempDir() // its own directory may be closed to that user
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", path, args, err, &out)
	}
	return nil
}

// writeFile writes a file of the test and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// await waits for a condition.
func await(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for began := time.Now(); !fn(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > startTime {
			t.Fatal("not after ", startTime, ": ", what)
		}
	}
}
