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
	chaosIn(t, seed, lasts, history.Options{}, kinds)
}

func chaosIn(t *testing.T, seed uint64, lasts time.Duration, o history.Options, kinds []nemesis.Kind, with ...clustertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts := append([]clustertest.Option{clustertest.WithSeed(seed)}, with...)
		if name := os.Getenv("CHAOS_LOG"); name != "" {
			f, err := os.Create(name)
			require.NoError(t, err)
			defer func() { require.NoError(t, f.Close()) }()
			opts = append(opts, clustertest.WithLogger(slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		}
		c := clustertest.New(t, 3, opts...)
		h := nemesis.Run(t, c, nemesis.Options{Seed: seed, Kinds: kinds, Lasts: lasts})
		nemesis.Verify(t, h, t.Name(), o)
	})
}

// Faults under which all guarantees hold: with sessions in the nodes' agreed order, and in a store that all nodes share.
var proven = kinds(nemesis.Kinds())

// kinds returns those that CHAOS_KINDS names instead, if it is set.
func kinds(otherwise []nemesis.Kind) []nemesis.Kind {
	text := os.Getenv("CHAOS_KINDS")
	if text == "" {
		return otherwise
	}
	var named []nemesis.Kind
	for _, k := range strings.Split(text, ",") {
		named = append(named, nemesis.Kind(k))
	}
	return named
}

// Without faults there is nothing to excuse.
func TestCalm(t *testing.T) { chaos(t, 1, 5*time.Second) }

// One kind of fault at a time.
func TestEachFault(t *testing.T) {
	for _, kind := range proven {
		t.Run(string(kind), func(t *testing.T) { chaos(t, 1, 3*time.Second, kind) })
	}
}

// seeds runs some seeds that are always the same; or the one that CHAOS_SEED names; or, for as long as CHAOS_TIME says, new ones.
func seeds(t *testing.T, always uint64, run func(t *testing.T, seed uint64)) {
	t.Helper()
	one := func(seed uint64) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed) }) {
			t.Logf("again: CHAOS_SEED=%d go test ./cluster/clustertest/nemesis -run '^%s$' -count=10 -failfast", seed, t.Name())
		}
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "CHAOS_SEED")
		one(seed)
		return
	}
	if text := os.Getenv("CHAOS_TIME"); text != "" {
		lasts, err := time.ParseDuration(text)
		require.NoError(t, err, "CHAOS_TIME")
		began := time.Now()
		for seed := uint64(began.UnixMicro()); time.Since(began) < lasts && !t.Failed(); seed++ {
			one(seed)
		}
		return
	}
	for seed := range always {
		one(seed)
	}
}

// All kinds together.
func TestChaos(t *testing.T) {
	seeds(t, 2, func(t *testing.T, seed uint64) { chaos(t, seed, 10*time.Second, proven...) })
}

// Kinds that a cluster on disk must survive as well, without anything to excuse.
var provenOnDisk = []nemesis.Kind{nemesis.KillAll, nemesis.SlowDisk, nemesis.FullDisk}

// One kind of fault at a time.
func TestEachFaultOnDisk(t *testing.T) {
	for _, kind := range kinds(provenOnDisk) {
		t.Run(string(kind), func(t *testing.T) {
			chaosIn(t, 1, 3*time.Second, history.Options{}, []nemesis.Kind{kind}, clustertest.WithDisk())
		})
	}
}

// All kinds together, and those.
func TestChaosOnDisk(t *testing.T) {
	seeds(t, 1, func(t *testing.T, seed uint64) { chaosOnDisk(t, seed, history.Options{}, provenOnDisk...) })
}

// Also when a majority is lost for a while, nothing is lost with it. What the node that is left has done meanwhile may come again, though, and after what was sent
// later.
func TestChaosOnDiskWithoutMajority(t *testing.T) {
	o := history.Options{Without: []history.Rule{history.ExactlyOnce, history.Repeated, history.Disorder}}
	seeds(t, 1, func(t *testing.T, seed uint64) { chaosOnDisk(t, seed, o, nemesis.DiskKinds()...) })
}

// chaosOnDisk adds kinds to the proven ones, unless the environment says which.
func chaosOnDisk(t *testing.T, seed uint64, o history.Options, kinds ...nemesis.Kind) {
	t.Helper()
	all := proven
	if os.Getenv("CHAOS_KINDS") == "" {
		all = append(slices.Clone(proven), kinds...)
	}
	chaosIn(t, seed, 10*time.Second, o, all, clustertest.WithDisk())
}

// All kinds together, with sessions in a store that all nodes share.
func TestChaosWithSharedStore(t *testing.T) {
	seeds(t, 2, func(t *testing.T, seed uint64) { chaosWithSharedStore(t, seed, history.Options{}, proven...) })
}

// Also when all nodes are lost at once, and what they agreed on with them, the store has what they have acknowledged. Wills are gone then, and it is not
// known which messages have been sent before that are sent again.
func TestChaosWithSharedStoreAlone(t *testing.T) {
	o := history.Options{Without: []history.Rule{history.WillLost, history.ExactlyOnce, history.Repeated}}
	seeds(t, 1, func(t *testing.T, seed uint64) {
		chaosWithSharedStore(t, seed, o, append(slices.Clone(proven), nemesis.KillAll)...)
	})
}

func chaosWithSharedStore(t *testing.T, seed uint64, o history.Options, kinds ...nemesis.Kind) {
	t.Helper()
	chaosIn(t, seed, 10*time.Second, o, kinds, clustertest.WithSharedStorage(clustertest.NewSharedStorage()))
}
