// Package programtest runs the example programs as processes, for their tests.
package programtest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Binary builds the program in the current directory, once, and returns its path.
type Binary struct {
	once   sync.Once
	dir    string
	path   string
	output []byte
	err    error
}

// Path returns the path of the built program.
func (b *Binary) Path(t testing.TB) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "shoal-program-"); b.err != nil {
			return
		}
		b.path = filepath.Join(b.dir, "program")
		args := []string{"build", "-o", b.path}
		if raceEnabled {
			args = append(args, "-race")
		}
		b.output, b.err = exec.Command("go", append(args, ".")...).CombinedOutput()
	})
	require.NoError(t, b.err, "%s", b.output)
	return b.path
}

// Remove deletes what was built. Call it in TestMain.
func (b *Binary) Remove() error {
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}

// Process is a running program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed, and made anew, for every line
}

// Start runs the program. It is killed at the end of the test if it still runs, and what it wrote is logged if the test failed.
func (b *Binary) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	return b.StartBy(t, exec.Command, args...)
}

// StartBy is Start with a command that another one makes of the program and its arguments, as Switch.Command does. That must become the program, and not run it
// beside itself.
func (b *Binary) StartBy(t testing.TB, command func(path string, args ...string) *exec.Cmd, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: command(b.Path(t), args...), done: make(chan struct{}), changed: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			p.add(s.Text())
		}
		_ = p.cmd.Wait() // ProcessState tells
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", strings.Join(args, " "), strings.Join(p.Lines(), "\n"))
		}
	})
	return p
}

func (p *Process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Lines returns what the program has written to stderr so far.
func (p *Process) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// Await waits until the program has written a line that contains text.
func (p *Process) Await(t testing.TB, text string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		changed := p.changed
		found := strings.Contains(strings.Join(p.lines, "\n"), text)
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			require.Contains(t, strings.Join(p.Lines(), "\n"), text, "the program ended with status %d", p.cmd.ProcessState.ExitCode())
		case <-timeout:
			require.Fail(t, "the program did not write "+text, strings.Join(p.Lines(), "\n"))
		}
	}
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// Exit waits until the program has ended by itself and returns its exit status.
func (p *Process) Exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		require.Fail(t, "the program did not end", strings.Join(p.Lines(), "\n"))
	}
	return p.cmd.ProcessState.ExitCode()
}

// Interrupt is Ctrl-C: it waits until the program has ended by itself, which must be with status 0.
func (p *Process) Interrupt(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGINT)
	require.Equal(t, 0, p.Exit(t), "%s", strings.Join(p.Lines(), "\n"))
}

// Kill ends the program with SIGKILL and waits for that.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.done
}
