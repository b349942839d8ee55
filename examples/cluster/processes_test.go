package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/packets"
)

// processes are some of the program: a nemesis.Target. What lies between them is for those that embed it to say.
type processes struct {
	*redisServer // nil without one

	t    *testing.T
	data string // the directory of all nodes' data
	logs string // and of what they have written, if the test fails

	mu      sync.Mutex
	members []*member // by number
	runs    int
}

func newProcesses(t *testing.T) *processes {
	t.Helper()
	p := &processes{t: t, data: t.TempDir()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the nodes have written is in %s", p.logs)
		}
	})
	return p
}

// member returns a node, or nil if there is none with the number any more.
func (p *processes) member(node int) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	if node >= len(p.members) {
		return nil
	}
	return p.members[node]
}

func (p *processes) Nodes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.members)
}

func (p *processes) Name(node int) string {
	if m := p.member(node); m != nil {
		return m.name
	}
	return "gone"
}

func (p *processes) Kill(node int) { p.member(node).Kill() }

func (p *processes) Stop(node int) { p.end(p.member(node)) }

func (p *processes) end(m *member) {
	p.t.Helper()
	m.Signal(p.t, syscall.SIGTERM)
	require.Equal(p.t, 0, m.Exit(p.t), "node %s", m.name)
}

func (p *processes) Pause(node int) { p.member(node).Signal(p.t, syscall.SIGSTOP) }

func (p *processes) Resume(node int) { p.member(node).Signal(p.t, syscall.SIGCONT) }

// Wipe removes everything that a node has stored.
func (p *processes) Wipe(node int) {
	require.NoError(p.t, os.RemoveAll(filepath.Join(p.data, p.Name(node))))
}

// run starts a node, and keeps what it writes if the test fails.
func (p *processes) run(m *member, command func(path string, args ...string) *exec.Cmd) {
	p.t.Helper()
	process := binary.StartBy(p.t, command, m.args...)
	p.mu.Lock()
	m.Process = process
	p.runs++
	name := fmt.Sprintf("%03d-%s.log", p.runs, m.name)
	p.mu.Unlock()
	p.t.Cleanup(func() {
		if !p.t.Failed() {
			return
		}
		if p.logs == "" {
			p.logs, _ = os.MkdirTemp("", "shoal-chaos-logs-") // without it they are in the test's output alone
		}
		_ = os.WriteFile(filepath.Join(p.logs, name), []byte(strings.Join(process.Lines(), "\n")), 0o600)
	})
}

// Leader is the node of which most have written last that it leads.
func (p *processes) Leader() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	votes := make([]int, len(p.members))
	for _, m := range p.members {
		for _, line := range slices.Backward(m.Lines()) {
			_, leader, found := strings.Cut(line, "\"leader changed\" leader=")
			if !found {
				continue
			}
			leader, _, _ = strings.Cut(leader, " ")
			if i := slices.IndexFunc(p.members, func(m *member) bool { return m.name == leader }); i >= 0 {
				votes[i]++
			}
			break
		}
	}
	most := slices.Max(votes)
	if most == 0 {
		return -1
	}
	return slices.Index(votes, most)
}

// awaitServing connects until it is let in.
func awaitServing(t *testing.T, p nemesis.Target, node int) {
	t.Helper()
	err := probe(t, p, node)
	for began := time.Now(); err != nil && time.Since(began) < time.Minute; err = probe(t, p, node) {
		time.Sleep(20 * time.Millisecond) // the node is another process
	}
	require.NoError(t, err, "node %s does not serve after a minute", p.Name(node))
}

func probe(t *testing.T, p nemesis.Target, node int) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := p.DialContext(ctx, node)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	b, err := packets.Append(nil, &packets.Connect{ProtocolVersion: packets.V5, CleanStart: true, ClientID: fmt.Sprint("probe", node)}, packets.V5)
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write(b); err != nil {
		return err
	}
	ack, err := packets.Read(conn, packets.V5, 1<<16)
	if err != nil {
		return err
	}
	if a, ok := ack.(*packets.ConnAck); !ok || a.ReasonCode.IsError() {
		return fmt.Errorf("answered %+v", ack)
	}
	return nil
}

// partition cuts the links between nodes of different groups.
func partition(p nemesis.Target, groups [][]int) {
	for i, g := range groups {
		for _, other := range groups[i+1:] {
			for _, a := range g {
				for _, b := range other {
					p.Cut(a, b)
					p.Cut(b, a)
				}
			}
		}
	}
}

var errNoNode = net.UnknownNetworkError("no such node any more")
