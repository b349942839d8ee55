package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/cluster/history"
	"github.com/shoalmq/shoal/examples/internal/programtest"
)

// What is done to processes: everywhere; where they are on hosts of their own, too; and where they share a Redis, to that.
var (
	everywhere = []nemesis.Kind{
		nemesis.Kill, nemesis.Stop, nemesis.Pause, nemesis.Reset, nemesis.Slow, nemesis.Partition, nemesis.KillAll,
		nemesis.QuickRestart, nemesis.MovedRestart, nemesis.CrashLoop, nemesis.KillLeader, nemesis.PauseLeader, nemesis.PauseAll, nemesis.Wipe,
	}
	onHosts = []nemesis.Kind{nemesis.OneWay, nemesis.Bridge, nemesis.Flaky, nemesis.PacketLoss, nemesis.Replace, nemesis.ReplaceAll, nemesis.Resize}

	// notYet are those of them under which guarantees are broken now and then: what CHAOS_KINDS does not name is left out.
	notYet = []nemesis.Kind{
		nemesis.PacketLoss, nemesis.ReplaceAll, nemesis.Resize, nemesis.StoreCrash, nemesis.StoreStall, nemesis.StoreEmpty, nemesis.StoreFull,
	}
)

// kinds are those that are done, of all that can be: those that CHAOS_KINDS names, or those that are proven.
func kinds(can []nemesis.Kind) []nemesis.Kind {
	text := os.Getenv("CHAOS_KINDS")
	return slices.DeleteFunc(can, func(k nemesis.Kind) bool {
		if text != "" {
			return !slices.Contains(strings.Split(text, ","), string(k))
		}
		return slices.Contains(notYet, k)
	})
}

// chaosOfProcesses lets clients work with three processes: on hosts of their own where this process may make some, and else with proxies between them.
// CHAOS_PROXIES asks for those.
func chaosOfProcesses(t *testing.T, redis bool, seed uint64, lasts time.Duration) {
	t.Helper()
	var s *programtest.Switch
	if os.Getenv("CHAOS_PROXIES") == "" {
		s = programtest.StartSwitch(t, outside+1, seed)
	}
	can := slices.Clone(everywhere)
	if s != nil {
		can = append(can, onHosts...)
	}
	var more []string
	var store *redisServer
	if redis {
		can = append(can, nemesis.StoreKinds()...)
		store = newRedis(t, s)
		more = append(more, "-storage", "redis://"+store.addr)
	}
	var p nemesis.Target
	if s != nil {
		spaced := startSpaced(t, s, 3, more...)
		spaced.redisServer = store
		p = spaced
	} else {
		proxied := startProxied(t, 3, more...)
		proxied.redisServer = store
		p = proxied
	}
	h := nemesis.RunOn(t, p, nemesis.Options{Seed: seed, Kinds: kinds(can), Lasts: lasts, Wills: time.Second})
	nemesis.Verify(t, h, strings.ReplaceAll(t.Name(), "Chaos", "ChaosOfProcesses"), history.Options{})
}

// newRedis starts a Redis, outside of all nodes' hosts.
func newRedis(t *testing.T, s *programtest.Switch) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		require.Empty(t, os.Getenv("SHOAL_REQUIRE_SERVERS"), "redis-server is not installed")
		t.Skip("redis-server is not installed")
	}
	r := &redisServer{t: t, dir: t.TempDir(), command: exec.Command, dial: func(ctx context.Context, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
	if s != nil {
		r.addr = s.IP(outside) + ":6379"
		r.command = func(path string, args ...string) *exec.Cmd { return s.Command(outside, path, args...) }
		r.dial = func(ctx context.Context, addr string) (net.Conn, error) { return s.DialContext(ctx, outside, addr) }
	} else {
		r.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(programtest.FreePorts(t, 1)[0]))
	}
	t.Cleanup(r.kill)
	r.start()
	return r
}

// TestChaos holds that what clients of three processes see is what the guarantees say, under kill -9, SIGTERM, SIGSTOP, links that are cut, slow, lossy or
// reset, restarts after milliseconds, wiped disks and new nodes, with sessions in the nodes' agreed order and in a Redis for all. The seeds are always the same;
// or CHAOS_SEED names one, or, for as long as CHAOS_TIME says, they are new. CHAOS_STORE is files or Redis, for one of the two alone.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("three processes for a minute and a half")
	}
	run := func(t *testing.T, store string, seed uint64, lasts time.Duration) {
		t.Helper()
		if only := os.Getenv("CHAOS_STORE"); only != "" && only != store {
			return
		}
		ok := t.Run(fmt.Sprint(store, "/", seed), func(t *testing.T) { chaosOfProcesses(t, store == "Redis", seed, lasts) })
		if !ok {
			t.Logf("again: CHAOS_STORE=%s CHAOS_SEED=%d go test ./examples/cluster -run '^TestChaos$' -count=3 -failfast", store, seed)
		}
	}
	both := func(t *testing.T, seed uint64) {
		t.Helper()
		for _, store := range []string{"files", "Redis"} {
			run(t, store, seed, 30*time.Second)
		}
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
