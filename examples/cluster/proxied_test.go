package main

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// proxied are processes on one host, each of which reaches the others through a proxy of its own.
type proxied struct {
	*processes
	owner   map[string]int // which node listens at an address
	cut     map[[2]int]bool
	delay   map[[2]int]time.Duration
	proxies []*programtest.Proxy
}

var (
	_ nemesis.Target  = (*proxied)(nil)
	_ nemesis.Leaders = (*proxied)(nil)
	_ nemesis.Wiper   = (*proxied)(nil)
)

func startProxied(t *testing.T, n int, more ...string) *proxied {
	t.Helper()
	p := &proxied{processes: newProcesses(t), owner: make(map[string]int), cut: make(map[[2]int]bool), delay: make(map[[2]int]time.Duration)}
	p.members = newMembers(t, n, append(more, "-data-dir", p.data)...)
	for i, m := range p.members {
		for j, arg := range m.args {
			if slices.Contains([]string{"-gossip-port", "-raft-port", "-grpc-port"}, arg) {
				p.owner[net.JoinHostPort("127.0.0.1", m.args[j+1])] = i
			}
		}
	}
	for i, m := range p.members { // from here on proxies look at whose an address is
		proxy := programtest.StartProxy(t, func(addr string) (there, back time.Duration, cut bool) { return p.link(i, addr) })
		p.proxies = append(p.proxies, proxy)
		m.args = append(m.args, "-node-proxy", proxy.Addr())
	}
	for i := range p.members {
		p.StartAgain(i)
	}
	for i := range p.members {
		p.AwaitServing(i)
	}
	return p
}

// link is what holds between a node and the one at an address.
func (p *proxied) link(from int, addr string) (there, back time.Duration, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.owner[addr]
	return p.delay[[2]int{from, to}], p.delay[[2]int{to, from}], p.cut[[2]int{from, to}] || p.cut[[2]int{to, from}]
}

func (p *proxied) DialContext(ctx context.Context, node int) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.member(node).tcp)))
}

func (p *proxied) StartAgain(node int) { p.run(p.member(node), exec.Command) }

func (p *proxied) AwaitServing(node int) { awaitServing(p.t, p, node) }

func (p *proxied) Partition(groups ...[]int) { partition(p, groups) }

// Cut cuts both ways: a stream has both.
func (p *proxied) Cut(from, to int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut[[2]int{from, to}] = true
}

func (p *proxied) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.cut)
}

func (p *proxied) Delay(from, to int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[[2]int{from, to}] = d
}

func (p *proxied) Reset(a, b int) {
	p.proxies[a].Break(func(addr string) bool { return p.owner[addr] == b })
	p.proxies[b].Break(func(addr string) bool { return p.owner[addr] == a })
}

// Loss does nothing: gossip's packets do not go through the proxies.
func (p *proxied) Loss(float64) {}
