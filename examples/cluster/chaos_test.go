package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/examples/internal/programtest"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
)

// processes are three of the program, each of which reaches the others through a proxy of its own: a nemesis.Target.
type processes struct {
	t       *testing.T
	members []*member
	owner   map[string]int // which node listens at an address

	mu    sync.Mutex
	cut   map[[2]int]bool
	delay map[[2]int]time.Duration

	proxies []*programtest.Proxy
}

var _ nemesis.Target = (*processes)(nil)

func startProcesses(t *testing.T, n int, more ...string) *processes {
	t.Helper()
	p := &processes{t: t, members: newMembers(t, n, more...), owner: make(map[string]int), cut: make(map[[2]int]bool), delay: make(map[[2]int]time.Duration)}
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
func (p *processes) link(from int, addr string) (there, back time.Duration, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.owner[addr]
	return p.delay[[2]int{from, to}], p.delay[[2]int{to, from}], p.cut[[2]int{from, to}] || p.cut[[2]int{to, from}]
}

func (p *processes) Nodes() int { return len(p.members) }

func (p *processes) Name(node int) string { return p.members[node].name }

func (p *processes) DialContext(ctx context.Context, node int) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.members[node].tcp)))
}

func (p *processes) Kill(node int) { p.members[node].Kill() }

func (p *processes) Stop(node int) {
	p.members[node].Signal(p.t, syscall.SIGTERM)
	require.Equal(p.t, 0, p.members[node].Exit(p.t), "node %s", p.Name(node))
}

func (p *processes) StartAgain(node int) { p.members[node].start(p.t) }

// AwaitServing connects until it is let in.
func (p *processes) AwaitServing(node int) {
	p.t.Helper()
	err := p.probe(node)
	for began := time.Now(); err != nil && time.Since(began) < time.Minute; err = p.probe(node) {
		time.Sleep(20 * time.Millisecond) // the node is another process
	}
	require.NoError(p.t, err, "node %s does not serve after a minute", p.Name(node))
}

func (p *processes) probe(node int) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
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

func (p *processes) Pause(node int) { p.members[node].Signal(p.t, syscall.SIGSTOP) }

func (p *processes) Resume(node int) { p.members[node].Signal(p.t, syscall.SIGCONT) }

func (p *processes) Partition(groups ...[]int) {
	for i, g := range groups {
		for _, other := range groups[i+1:] {
			for _, a := range g {
				for _, b := range other {
					p.Cut(a, b)
				}
			}
		}
	}
}

// Cut cuts both ways: a stream has both.
func (p *processes) Cut(from, to int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut[[2]int{from, to}] = true
}

func (p *processes) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.cut)
}

func (p *processes) Delay(from, to int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay[[2]int{from, to}] = d
}

func (p *processes) Reset(a, b int) {
	p.proxies[a].Break(func(addr string) bool { return p.owner[addr] == b })
	p.proxies[b].Break(func(addr string) bool { return p.owner[addr] == a })
}

// Loss does nothing: gossip's packets do not go through the proxies.
func (p *processes) Loss(float64) {}

// proven are the kinds of faults that are done to processes. All guarantees hold under them.
var proven = []nemesis.Kind{nemesis.Kill, nemesis.Stop, nemesis.Pause, nemesis.Reset, nemesis.Slow, nemesis.Partition, nemesis.KillAll}

// TestChaos holds that what clients of three processes see is what the guarantees say, under kill -9, SIGTERM, SIGSTOP, and links that are cut, slow or
// reset, with a file for each node and with a Redis for all. The seeds are always the same; or CHAOS_SEED names one, or, for as long as CHAOS_TIME says, they
// are new.
func TestChaos(t *testing.T) {
	kinds := map[string]func(t *testing.T) []string{
		"files": func(*testing.T) []string { return nil },
		"Redis": func(t *testing.T) []string { return []string{"-storage", "redis://" + testservers.Redis(t).Addr()} },
	}
	run := func(t *testing.T, kind string, seed uint64, lasts time.Duration) {
		t.Run(fmt.Sprint(kind, "/", seed), func(t *testing.T) {
			t.Parallel()
			p := startProcesses(t, 3, append(kinds[kind](t), "-data-dir", t.TempDir())...)
			h := nemesis.RunOn(t, p, nemesis.Options{Seed: seed, Kinds: proven, Lasts: lasts, Wills: time.Second})
			nemesis.Verify(t, h, strings.ReplaceAll(t.Name(), "Chaos", "ChaosOfProcesses"), history.Options{})
		})
	}
	both := func(t *testing.T, seed uint64) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for kind := range kinds {
				run(t, kind, seed, 30*time.Second)
			}
		})
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "CHAOS_SEED")
		both(t, seed)
		return
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		limit, err := time.ParseDuration(text)
		require.NoError(t, err, "CHAOS_TIME")
		began := time.Now()
		for seed := uint64(began.UnixMicro()); time.Since(began) < limit && !t.Failed(); seed++ {
			both(t, seed)
		}
		return
	}
	run(t, "files", 21, 6*time.Second)
	run(t, "Redis", 7, 6*time.Second)
}
