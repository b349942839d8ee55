package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest/memnet"
)

// machine is a StateMachine that remembers everything: its state is the list of commands in their order.
type machine struct {
	mu       sync.Mutex
	commands []string
	up       map[string]uint64
	events   []string
	edges    []edge
	received map[string][]string
	hold     []func(error) // accepted callbacks, while holding
	holding  bool
	discard  bool // received batches are not kept
	refuse   string
	restores int
	changed  chan struct{}
}

type edge struct {
	serving bool
	at      time.Time
}

func newMachine() *machine {
	return &machine{up: make(map[string]uint64), received: make(map[string][]string), changed: make(chan struct{})}
}

// locked runs fn and wakes whoever waits for a change.
func (m *machine) locked(fn func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *machine) Apply(_ uint64, node string, cmd []byte) any {
	var n int
	m.locked(func() {
		m.commands = append(m.commands, node+":"+string(cmd))
		n = len(m.commands)
	})
	return n
}

func (m *machine) NodeUp(_ uint64, n shoal.Node) {
	m.locked(func() {
		m.up[n.Name] = n.Incarnation
		m.events = append(m.events, "up "+n.Name)
	})
}

func (m *machine) NodeDown(_ uint64, n shoal.Node, adopter string) {
	m.locked(func() {
		delete(m.up, n.Name)
		m.events = append(m.events, "down "+n.Name+" "+adopter)
	})
}

func (m *machine) Snapshot() (func(io.Writer) error, error) {
	m.mu.Lock()
	commands := slices.Clone(m.commands)
	m.mu.Unlock()
	return func(w io.Writer) error {
		for _, c := range commands {
			b := binary.AppendUvarint(nil, uint64(len(c)))
			if _, err := w.Write(append(b, c...)); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (m *machine) Restore(r io.Reader) error {
	all, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var commands []string
	for len(all) > 0 {
		n, k := binary.Uvarint(all)
		if k <= 0 || uint64(len(all)-k) < n {
			return errors.New("bad snapshot")
		}
		commands = append(commands, string(all[k:k+int(n)]))
		all = all[k+int(n):]
	}
	m.locked(func() { m.commands = commands; m.restores++ })
	return nil
}

func (m *machine) Receive(node string, batch []byte, accepted func(error)) {
	var now func(error)
	var refuse error
	m.mu.Lock()
	discard := m.discard
	m.mu.Unlock()
	if discard {
		accepted(nil)
		return
	}
	m.locked(func() {
		m.received[node] = append(m.received[node], string(batch))
		if m.refuse != "" && m.refuse == string(batch) {
			refuse = errors.New("refused")
		}
		if m.holding {
			m.hold = append(m.hold, accepted)
		} else {
			now = accepted
		}
	})
	if now != nil {
		now(refuse)
	}
}

func (m *machine) Serve(ctx context.Context, node string, req []byte) ([]byte, error) {
	switch string(req) {
	case "fail":
		return nil, errors.New("cannot")
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []byte(node + " asked " + string(req)), nil
}

func (m *machine) Admits(shoal.Node) error { return nil }

func (m *machine) ServingChanged(serving bool) {
	m.locked(func() { m.edges = append(m.edges, edge{serving, time.Now()}) })
}

func (m *machine) log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

func (m *machine) nodesUp() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	up := make(map[string]uint64)
	for k, v := range m.up {
		up[k] = v
	}
	return up
}

func (m *machine) from(node string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.received[node])
}

// node is a running Cluster with its machine.
type node struct {
	*Cluster
	name    string
	machine *machine
	cancel  context.CancelFunc
	done    chan error
}

// world is a cluster under test on a memory network.
type world struct {
	t     testing.TB
	net   *memnet.Network
	nodes map[string]*node
	tune  func(*Config)
}

func newWorld(t testing.TB) *world {
	return &world{t: t, net: memnet.New(1), nodes: make(map[string]*node)}
}

func testLogger() *slog.Logger {
	level := slog.LevelInfo
	switch os.Getenv("SHOAL_TEST_LOG") {
	case "":
		return slog.New(slog.DiscardHandler)
	case "debug":
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// start starts a node. The first is the one that bootstraps; all join the first two.
func (w *world) start(name string) *node {
	w.t.Helper()
	cfg := Config{
		Name: name, Bootstrap: name == "c01", GossipPort: 7946, RaftPort: 8946, PeerPort: 9946,
		Network: w.net.Host(name), Logger: testLogger().With("on", name),
		Join: []string{"10.0.0.1:7946", "10.0.0.2:7946"},
	}
	if w.tune != nil {
		w.tune(&cfg)
	}
	n := begin(w.t, cfg)
	w.nodes[name] = n
	return n
}

func begin(t testing.TB, cfg Config) *node {
	t.Helper()
	n := &node{Cluster: New(cfg), name: cfg.Name, machine: newMachine(), done: make(chan error, 1)}
	self, err := n.Self()
	require.NoError(t, err)
	require.NoError(t, n.Start(context.Background(), self, n.machine))
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.done <- n.Run(ctx, self, n.SetPeers) }()
	return n
}

// stop closes a node in an orderly way.
func (n *node) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, n.Close())
	n.cancel()
	if err := <-n.done; !errors.Is(err, shoal.ErrClosed) { // it was closed before Run had begun
		require.NoError(t, err)
	}
}

// kill cuts a node off as SIGKILL would, then lets its goroutines end.
func (w *world) kill(name string) {
	n := w.nodes[name]
	delete(w.nodes, name)
	w.net.Kill(name)
	go func() {
		n.cancel()
		<-n.done //nolint:errcheck // it was killed
		_ = n.Close()
	}()
}

func (w *world) stopAll() {
	w.t.Helper()
	w.net.Heal()
	var wg sync.WaitGroup
	for _, n := range w.nodes {
		wg.Go(func() {
			_ = n.Close()
			n.cancel()
			<-n.done //nolint:errcheck // the test is over
		})
	}
	wg.Wait()
}

// eventually waits, in virtual or real time, until cond holds.
func eventually(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !cond() {
		if time.Now().After(end) {
			require.Fail(t, "did not happen within "+within.String(), what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// formed waits until the given nodes serve and know each other as up.
func (w *world) formed(names ...string) {
	w.t.Helper()
	eventually(w.t, 30*time.Second, fmt.Sprint("cluster of ", names), func() bool {
		for _, name := range names {
			n := w.nodes[name]
			if !n.Serving() || len(n.Status().Nodes) != len(names) {
				return false
			}
		}
		return true
	})
}

func (w *world) leader() *node {
	for _, n := range w.nodes {
		if s := n.Status(); s.Leader == n.name && n.Serving() {
			return n
		}
	}
	return nil
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() {
			w.stopAll()
			time.Sleep(time.Minute) // memberlist's last probes and gRPC's last timers run out
		}()
		fn(t, w)
	})
}
