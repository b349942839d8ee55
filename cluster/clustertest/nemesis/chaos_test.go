package nemesis_test

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/nemesis"
	"github.com/shoalmq/shoal/cluster/history"
)

// chaos runs a seed in a house. If the environment names a file in CHAOS_LOG, the nodes log there.
func chaos(t *testing.T, h house, seed uint64, lasts time.Duration, o history.Options, kinds ...nemesis.Kind) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		with, store := h.with()
		opts := append([]clustertest.Option{clustertest.WithSeed(seed)}, with...)
		if name := os.Getenv("CHAOS_LOG"); name != "" {
			f, err := os.Create(name)
			require.NoError(t, err)
			defer func() { require.NoError(t, f.Close()) }()
			opts = append(opts, clustertest.WithLogger(slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		}
		c := clustertest.New(t, h.nodes, opts...)
		happened := nemesis.Run(t, c, nemesis.Options{Seed: seed, Kinds: kinds, Lasts: lasts, Store: store})
		nemesis.Verify(t, happened, t.Name(), o)
	})
}

// Without faults there is nothing to excuse.
func TestCalm(t *testing.T) {
	for name, h := range houses {
		t.Run(name, func(t *testing.T) { chaos(t, h, 1, 5*time.Second, history.Options{}) })
	}
}

// One kind of fault at a time, each in one of the houses, in turn; or in all of them, with CHAOS_ALL. The seed is the first, or the one that CHAOS_SEED names.
func TestEachFault(t *testing.T) {
	names := slices.Sorted(maps.Keys(houses))
	turns := make(map[nemesis.Kind]int)
	for _, kind := range everyKind() {
		for _, name := range names {
			if h := houses[name]; slices.Contains(h.chosen(), kind) {
				turns[kind]++
			}
		}
	}
	for i, kind := range everyKind() {
		seen := 0
		for _, name := range names {
			h := houses[name]
			if !slices.Contains(h.chosen(), kind) {
				continue
			}
			if seen++; seen-1 != i%turns[kind] && os.Getenv("CHAOS_ALL") == "" {
				continue
			}
			t.Run(name+"/"+string(kind), func(t *testing.T) { chaos(t, h, one(t), 3*time.Second, history.Options{}, kind) })
		}
	}
}

func everyKind() []nemesis.Kind {
	return slices.Concat(nemesis.Kinds(), nemesis.DiskKinds(), nemesis.StoreKinds())
}

// one is the seed that CHAOS_SEED names, or 1.
func one(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CHAOS_SEED")
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "CHAOS_SEED")
	return seed
}

// seeds runs some seeds that are always the same; or the one that CHAOS_SEED names; or, for as long as CHAOS_TIME says, new ones.
func seeds(t *testing.T, always uint64, run func(t *testing.T, seed uint64)) {
	t.Helper()
	try := func(seed uint64) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed) }) {
			t.Logf("again: CHAOS_SEED=%d go test ./cluster/clustertest/nemesis -run '^%s$' -count=10 -failfast", seed, t.Name())
		}
	}
	if os.Getenv("CHAOS_SEED") != "" {
		try(one(t))
		return
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		lasts, err := time.ParseDuration(text)
		require.NoError(t, err, "CHAOS_TIME")
		began := time.Now()
		for seed := uint64(began.UnixMicro()); time.Since(began) < lasts && !t.Failed(); seed++ {
			try(seed)
		}
		return
	}
	for seed := range always {
		try(seed)
	}
}

// together runs seeds with all that is chosen for a house at once.
func together(t *testing.T, name string, always uint64) {
	t.Helper()
	h := houses[name]
	seeds(t, always, func(t *testing.T, seed uint64) { chaos(t, h, seed, 10*time.Second, history.Options{}, h.chosen()...) })
}

// All kinds together, in each house.
func TestChaos(t *testing.T)                { together(t, "memory", 2) }
func TestChaosOnDisk(t *testing.T)          { together(t, "disk", 1) }
func TestChaosWithSharedStore(t *testing.T) { together(t, "shared", 2) }
func TestChaosOfTwo(t *testing.T)           { together(t, "two", 1) }
func TestChaosOfOne(t *testing.T)           { together(t, "one", 1) }

// Also when all nodes are lost at once, and what they agreed on with them, the store has what they have acknowledged. Wills are gone then, and it is not
// known which messages have been sent before that are sent again.
func TestChaosWithSharedStoreAlone(t *testing.T) {
	o := history.Options{Without: []history.Rule{history.WillLost, history.ExactlyOnce, history.Repeated}}
	h := houses["shared"]
	seeds(t, 1, func(t *testing.T, seed uint64) {
		chaos(t, h, seed, 10*time.Second, o, append(h.chosen(), nemesis.KillAll)...)
	})
}
