package main

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// spaced are processes on hosts of their own, which are network namespaces.
type spaced struct {
	*processes
	s     *programtest.Switch
	more  []string
	hosts []int // of each node, by number
	used  int   // hosts that have or had a node
}

var (
	_ nemesis.Target   = (*spaced)(nil)
	_ nemesis.Leaders  = (*spaced)(nil)
	_ nemesis.Wiper    = (*spaced)(nil)
	_ nemesis.Lossy    = (*spaced)(nil)
	_ nemesis.Replacer = (*spaced)(nil)
)

const (
	nodeHosts = 24        // for nodes, those that take the places of others included
	outside   = nodeHosts // the host of the clients, and of a store that all nodes share
)

func startSpaced(t *testing.T, s *programtest.Switch, n int, more ...string) *spaced {
	t.Helper()
	p := &spaced{processes: newProcesses(t), s: s, more: more}
	p.more = append(p.more, "-data-dir", p.data)
	for range n {
		p.add(p.Nodes())
	}
	for i := range n {
		p.AwaitServing(i)
	}
	return p
}

// add starts one node more under a number, on a host that is new, with a name that is.
func (p *spaced) add(node int) {
	p.t.Helper()
	host := p.used
	p.used++
	m := &member{name: nodeName(host)}
	m.args = append([]string{"-node-name", m.name, "-bind-ip", p.s.IP(host), "-tcp", p.s.IP(host) + ":1883", "-ws", ""}, p.more...)
	var gossip []string
	for i := range min(p.used+3, nodeHosts) {
		gossip = append(gossip, p.s.IP(i)+":7946")
	}
	m.args = append(m.args, "-members", strings.Join(gossip, ","))
	switch {
	case host == 0:
		m.args = append(m.args, "-raft-bootstrap")
	case host%2 == 1 && host > 2:
		m.args = append(m.args, "-leave")
	}
	p.mu.Lock()
	if node == len(p.members) {
		p.members, p.hosts = append(p.members, nil), append(p.hosts, 0)
	}
	p.hosts[node] = host
	p.mu.Unlock()
	p.start(host, m)
	p.mu.Lock()
	p.members[node] = m
	p.mu.Unlock()
}

func (p *spaced) start(host int, m *member) {
	p.t.Helper()
	p.run(m, func(path string, args ...string) *exec.Cmd { return p.s.Command(host, path, args...) })
}

func (p *spaced) host(node int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts[node]
}

func (p *spaced) DialContext(ctx context.Context, node int) (net.Conn, error) {
	if p.member(node) == nil {
		return nil, errNoNode
	}
	return p.s.DialContext(ctx, outside, p.s.IP(p.host(node))+":1883")
}

func (p *spaced) StartAgain(node int) { p.start(p.host(node), p.member(node)) }

func (p *spaced) AwaitServing(node int) { awaitServing(p.t, p, node) }

func (p *spaced) Partition(groups ...[]int) { partition(p, groups) }

func (p *spaced) Cut(from, to int) { p.s.Cut(p.host(from), p.host(to), true) }

func (p *spaced) eachLink(fn func(from, to int)) {
	for a := range nodeHosts {
		for b := range nodeHosts {
			if a != b {
				fn(a, b)
			}
		}
	}
}

func (p *spaced) Heal() { p.eachLink(func(from, to int) { p.s.Cut(from, to, false) }) }

func (p *spaced) Delay(from, to int, d time.Duration) { p.s.Delay(p.host(from), p.host(to), d) }

func (p *spaced) Reset(a, b int) {
	p.s.Reset(p.host(a), p.host(b))
	p.s.Reset(p.host(b), p.host(a))
}

// Loss loses a share of all packets, those of streams included: they look the same here.
func (p *spaced) Loss(share float64) { p.PacketLoss(share) }

func (p *spaced) PacketLoss(share float64) {
	p.eachLink(func(from, to int) { p.s.Loss(from, to, share) })
}

// Replace lets the old node say the farewell that it was started with: whether it leaves is a flag of the program.
func (p *spaced) Replace(node int, _ nemesis.Farewell) {
	old := p.member(node)
	p.add(node)
	p.AwaitServing(node)
	p.end(old)
}

func (p *spaced) Grow() {
	p.add(p.Nodes())
	p.AwaitServing(p.Nodes() - 1)
}

func (p *spaced) Shrink(nemesis.Farewell) {
	p.mu.Lock()
	last := len(p.members) - 1
	old := p.members[last]
	p.members, p.hosts = slices.Clone(p.members[:last]), slices.Clone(p.hosts[:last])
	p.mu.Unlock()
	p.end(old)
}
