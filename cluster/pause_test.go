//go:build unix

package cluster

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a node in a process of its own.
type process struct {
	name string
	cmd  *exec.Cmd

	mu    sync.Mutex
	lines []string
}

func startProcesses(t *testing.T, names ...string) []*process {
	t.Helper()
	ports := make([]string, len(names))
	var join []string
	for i := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := l.Addr().String()
		require.NoError(t, l.Close())
		join = append(join, addr)
		_, ports[i], _ = net.SplitHostPort(addr)
	}
	all := make([]*process, len(names))
	for i, name := range names {
		p := &process{name: name, cmd: exec.Command(os.Args[0])}
		p.cmd.Env = append(os.Environ(), envNode+"="+name, envPort+"="+ports[i], envJoin+"="+strings.Join(join, ","))
		p.cmd.Stderr = os.Stderr
		in, err := p.cmd.StdinPipe()
		require.NoError(t, err)
		out, err := p.cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, p.cmd.Start())
		var read sync.WaitGroup
		read.Go(func() {
			for s := bufio.NewScanner(out); s.Scan(); {
				p.mu.Lock()
				p.lines = append(p.lines, s.Text())
				p.mu.Unlock()
			}
		})
		t.Cleanup(func() {
			_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended
			_ = in.Close()
			read.Wait()
			_ = p.cmd.Wait()
		})
		all[i] = p
	}
	return all
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// said returns the last line that begins with a word, and all lines that do.
func (p *process) said(word string) (last string, all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if strings.HasPrefix(l, word) {
			last, all = l, append(all, l)
		}
	}
	return last, all
}

// All nodes stand still at once, as they do when their machine is suspended, and go on: nobody gives anybody up for a silence that was everybody's.
func TestAllProcessesPaused(t *testing.T) {
	all := startProcesses(t, "c01", "c02", "c03")
	serving := func() bool {
		for _, p := range all {
			if last, _ := p.said("serving"); last != "serving true" {
				return false
			}
			if _, ups := p.said("up"); len(ups) < 3 {
				return false
			}
		}
		return true
	}
	eventually(t, time.Minute, "all serve", serving)
	for range 2 {
		for _, p := range all {
			p.signal(t, syscall.SIGSTOP)
		}
		time.Sleep(4 * time.Second) // that is what is tested
		for _, p := range all {
			p.signal(t, syscall.SIGCONT)
		}
		time.Sleep(2 * DefaultLeaseDuration)
		eventually(t, time.Minute, "all serve again", serving)
	}
	for _, p := range all {
		_, downs := p.said("down")
		require.Empty(t, downs, "as node %s has seen it", p.name)
	}
}
