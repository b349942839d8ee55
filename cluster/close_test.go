package cluster

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// C13: Close ends, whatever the state.
func TestCloseNeverHangs(t *testing.T) {
	cases := map[string]func(t *testing.T, w *world) *node{
		"alone": func(t *testing.T, w *world) *node {
			n := w.start("c01")
			w.formed("c01")
			return n
		},
		"no leader": func(t *testing.T, w *world) *node {
			n := w.start("c02")
			time.Sleep(time.Second)
			return n
		},
		"just started": func(t *testing.T, w *world) *node { return w.start("c01") },
		"minority": func(t *testing.T, w *world) *node {
			a, _ := three(t, w)
			w.net.Isolate("c01")
			return a
		},
		"leader": func(t *testing.T, w *world) *node { three(t, w); return w.leader() },
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				n := prepare(t, w)
				delete(w.nodes, n.name)
				pending := make(chan error, 1)
				if name == "minority" || name == "no leader" {
					n.ProposeAsync([]byte("x"), func(_ any, err error) { pending <- err })
				} else {
					pending <- shoal.ErrNotReplicated
				}
				began := time.Now()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { require.NoError(t, n.Close()) })
				}
				wg.Wait()
				require.NoError(t, n.Close())
				require.Less(t, time.Since(began), 8*time.Second)
				t.Log("closed in", time.Since(began))
				require.ErrorIs(t, <-pending, shoal.ErrNotReplicated)
				require.False(t, n.Serving())
				_, err := n.Propose(t.Context(), []byte("x"))
				require.ErrorIs(t, err, shoal.ErrNotReplicated)
				require.ErrorIs(t, err, shoal.ErrClosed)
				require.Error(t, n.Barrier(t.Context()))
				_, err = n.Call(t.Context(), "c02", nil)
				require.ErrorIs(t, err, shoal.ErrClosed)
				require.False(t, n.Forward("c02", nil, func(error) { t.Error("done is called after Close") }))
				n.cancel()
				if err := <-n.done; name != "just started" { // there, Run may come after Close
					require.NoError(t, err)
				}
			})
		})
	}
}

func TestLifecycleErrors(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := New(Config{Name: "c01", Network: w.net.Host("c01")})
		self, err := c.Self()
		require.NoError(t, err)
		_, err = c.Propose(t.Context(), nil)
		require.ErrorIs(t, err, shoal.ErrNotStarted)
		require.ErrorIs(t, c.Barrier(t.Context()), shoal.ErrNotStarted)
		require.False(t, c.Serving())
		require.Empty(t, c.Addr())
		require.Error(t, c.Start(t.Context(), shoal.Node{Name: "other"}, newMachine()))
		require.ErrorIs(t, c.Start(t.Context(), self, newMachine()), shoal.ErrStarted)
		require.NoError(t, c.Close())

		c = New(Config{Name: "c01", Network: w.net.Host("c01")})
		require.NoError(t, c.Close())
		require.ErrorIs(t, c.Start(t.Context(), self, newMachine()), shoal.ErrClosed)
		require.ErrorIs(t, c.Run(t.Context(), self, nil), shoal.ErrClosed)

		// A port that is taken is an error of Start, and everything else is released.
		l, err := w.net.Host("c01").Listen(":8946")
		require.NoError(t, err)
		for range 2 {
			c = New(Config{Name: "c01", GossipPort: 7946, PeerPort: 9946, RaftPort: 8946, Network: w.net.Host("c01")})
			require.ErrorContains(t, c.Start(t.Context(), self, newMachine()), "RaftPort")
			require.NoError(t, c.Close())
		}
		require.NoError(t, l.Close())
	})
}

func TestConfigErrorsNameTheField(t *testing.T) {
	cases := []struct {
		cfg  Config
		want []string
	}{
		{Config{}, []string{"Name"}},
		{Config{Name: "a b"}, []string{"Name"}},
		{Config{Name: "c01", BindIP: "host"}, []string{"BindIP"}},
		{Config{Name: "c01", BindIP: "0.0.0.0"}, []string{"AdvertiseIP"}},
		{Config{Name: "c01", AdvertiseIP: "x"}, []string{"AdvertiseIP"}},
		{Config{Name: "c01", GossipPort: 70000, RaftPort: -2}, []string{"GossipPort", "RaftPort"}},
		{Config{Name: "c01", PeerPort: 7946, RaftPort: 7946}, []string{"RaftPort", "PeerPort"}},
		{Config{Name: "c01", GossipPort: 60000}, []string{"PeerPort", "70000"}},
		{Config{Name: "c01", Join: []string{"c02"}}, []string{"Join", "c02"}},
		{Config{Name: "c01", Join: []string{"127.0.0.1:1", "10.0.0.2:7946"}}, []string{"BindIP", "127.0.0.1", "10.0.0.2", "AdvertiseIP"}},
		{Config{Name: "c01", BindIP: "0.0.0.0", AdvertiseIP: "::1", Join: []string{"[2001:db8::2]:7946"}}, []string{"BindIP", "2001:db8::2"}},
		{Config{Name: "c01", LeaseDuration: time.Millisecond}, []string{"LeaseDuration"}},
		{Config{Name: "c01", HeartbeatTimeout: time.Second}, []string{"ElectionTimeout"}},
		{Config{Name: "c01", Voters: -1}, []string{"Voters"}},
		{Config{Name: "c01", ExpectNodes: -1}, []string{"ExpectNodes"}},
		{Config{Name: "c01", ExpectNodes: 3, Bootstrap: true}, []string{"ExpectNodes", "Bootstrap"}},
		{Config{Name: "c01", Attributes: map[string]string{"raft": "x"}}, []string{"Attributes", "raft"}},
		{Config{Name: "c01", Attributes: map[string]string{"x": string(make([]byte, 500))}}, []string{"Attributes"}},
	}
	for _, c := range cases {
		_, err := New(c.cfg).Self()
		require.Error(t, err, "%+v", c.cfg)
		for _, want := range c.want {
			require.ErrorContains(t, err, want)
		}
	}
	_, err := New(Config{Name: "c01", GossipPort: 7946, RaftPort: 8946, PeerPort: 8946, RaftOverGRPC: true, Join: []string{"c02.local:7946", "[::1]:7946"}}).Self()
	require.NoError(t, err)
}

// Ports that are not given are the documented ones, and follow the gossip port; AnyPort is free ones.
func TestDefaultPorts(t *testing.T) {
	for _, tt := range []struct{ given, want [3]int }{
		{[3]int{0, 0, 0}, [3]int{7946, 8946, 17946}},
		{[3]int{7950, 0, 0}, [3]int{7950, 8950, 17950}},
		{[3]int{7950, 1, 0}, [3]int{7950, 1, 17950}},
		{[3]int{AnyPort, 0, 0}, [3]int{AnyPort, AnyPort, AnyPort}},
		{[3]int{AnyPort, 0, 9}, [3]int{AnyPort, AnyPort, 9}},
	} {
		c := Config{Name: "c01", GossipPort: tt.given[0], RaftPort: tt.given[1], PeerPort: tt.given[2]}.withDefaults()
		require.NoError(t, c.validate())
		require.Equal(t, tt.want, [3]int{c.GossipPort, c.RaftPort, c.PeerPort})
	}
}

// A start that fails says why in the error that it returns, and logs nothing besides: whoever gets the error logs it.
func TestFailedStartIsSaidOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	bubble(t, func(t *testing.T, w *world) {
		said := new(lines)
		for _, cfg := range []Config{{Dir: file}, {RaftPort: 7000}, {PeerPort: 7000}, {GossipPort: 7000}} {
			l, err := w.net.Host("c01").Listen(":7000")
			require.NoError(t, err)
			cfg.Name, cfg.Network, cfg.Logger = "c01", w.net.Host("c01"), slog.New(said)
			c := New(cfg)
			self, err := c.Self()
			require.NoError(t, err)
			require.Error(t, c.Start(t.Context(), self, newMachine()))
			require.NoError(t, c.Close())
			require.NoError(t, l.Close())
		}
		require.Empty(t, said.all)
	})
}
