package nemesis_test

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/cluster/history"
)

// chaos runs a seed. If the environment names a file in CHAOS_LOG, the nodes log there.
func chaos(t *testing.T, seed uint64, lasts time.Duration, kinds ...nemesis.Kind) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts := []clustertest.Option{clustertest.WithSeed(seed)}
		if name := os.Getenv("CHAOS_LOG"); name != "" {
			f, err := os.Create(name)
			require.NoError(t, err)
			defer func() { require.NoError(t, f.Close()) }()
			opts = append(opts, clustertest.WithLogger(slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		}
		c := clustertest.New(t, 3, opts...)
		h := nemesis.Run(t, c, nemesis.Options{Seed: seed, Kinds: kinds, Lasts: lasts})
		nemesis.Verify(t, h, t.Name(), history.Options{})
	})
}

// proven are the kinds of faults under which all guarantees hold.
var proven = provenKinds()

func provenKinds() []nemesis.Kind {
	if text := os.Getenv("CHAOS_KINDS"); text != "" {
		var kinds []nemesis.Kind
		for _, k := range strings.Split(text, ",") {
			kinds = append(kinds, nemesis.Kind(k))
		}
		return kinds
	}
	return []nemesis.Kind{nemesis.Kill, nemesis.Stop, nemesis.Storm, nemesis.Slow, nemesis.Loss, nemesis.Reset}
}

// Without faults there is nothing to excuse.
func TestCalm(t *testing.T) { chaos(t, 1, 5*time.Second) }

// One kind of fault at a time.
func TestEachFault(t *testing.T) {
	for _, kind := range proven {
		t.Run(string(kind), func(t *testing.T) { chaos(t, 1, 5*time.Second, kind) })
	}
}

// All kinds together, with seeds that are always the same; or with the seed that CHAOS_SEED names; or, with new seeds, for as long as CHAOS_TIME
// says.
func TestChaos(t *testing.T) {
	run := func(seed uint64) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed, 10*time.Second, proven...) })
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "CHAOS_SEED")
		run(seed)
		return
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		lasts, err := time.ParseDuration(text)
		require.NoError(t, err, "CHAOS_TIME")
		began := time.Now()
		for seed := uint64(began.UnixMicro()); time.Since(began) < lasts && !t.Failed(); seed++ {
			run(seed)
		}
		return
	}
	for seed := range uint64(2) {
		run(seed)
	}
}

// All kinds together, with sessions in a store that all nodes share. Whatever happens to the nodes, what they have acknowledged is there.
func TestChaosWithSharedStore(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(t, 3, clustertest.WithSeed(seed), clustertest.WithSharedStorage(clustertest.NewSharedStorage()))
				h := nemesis.Run(t, c, nemesis.Options{Seed: seed, Kinds: append(slices.Clone(proven), nemesis.KillAll), Lasts: 10 * time.Second})
				nemesis.Verify(t, h, t.Name(), history.Options{Without: []history.Rule{history.WillLost}}) // wills are lost with all nodes
			})
		})
	}
}
