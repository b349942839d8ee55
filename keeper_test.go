package shoal

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// emptyStore is a store that all nodes share, and that forgets everything.
type emptyStore struct {
	heldStore
	away atomic.Bool
}

func (s *emptyStore) err() error {
	if s.away.Load() {
		return errors.New("no connection")
	}
	return nil
}

func (s *emptyStore) CommitFenced(context.Context, []Op, map[string]Fence) ([]string, error) {
	return nil, s.err()
}

func (s *emptyStore) Scan(context.Context, string, []byte, func(key, value []byte) error) error {
	return s.err()
}

// keeping returns the keeper of a node with bans.
func keeping(t testing.TB, store FencedStorage, bans int) *keeper {
	n := newAgreed(t).n
	shareLog(n, newCommonLog(store, n.b.log))
	n.b.journal.common.note = func([][]byte, *acceptance) {}
	k := &n.keeper
	k.fence = Fence{Epoch: 1, Step: 1}
	for i := range bans {
		n.b.bans.put(Ban{ClientID: strconv.Itoa(i)})
	}
	return k
}

// Making the store what the agreed order has takes time in proportion to what there is.
func BenchmarkKeeperLevel(b *testing.B) {
	for _, bans := range []int{1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(bans), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				k := keeping(b, new(emptyStore), bans)
				b.StartTimer()
				require.NoError(b, k.level(b.Context()))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bans), "ns/ban")
		})
	}
}

func TestKeeperLevelGrowsWithWhatThereIs(t *testing.T) {
	took := func(bans int) time.Duration {
		best := time.Hour
		for range 3 {
			k := keeping(t, new(emptyStore), bans)
			began := time.Now()
			require.NoError(t, k.level(t.Context()))
			best = min(best, time.Since(began))
			require.Len(t, k.n.b.journal.common.units, bans)
		}
		return best
	}
	small := took(4000)
	require.Less(t, took(40_000), 50*small, "it is 10 times as much, and not 100 times as long")
}

// While the store fails, what the keeper has to write is bounded, and the store gets all of it when it works again.
func TestKeeperWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(emptyStore)
		store.away.Store(true)
		k := keeping(t, store, 3)
		j := k.n.b.journal.common
		var cancel context.CancelFunc
		k.n.life, cancel = context.WithCancel(t.Context())
		k.ready = true
		done := make(chan struct{}, 2)
		go func() { j.run(k.n.life); done <- struct{}{} }()
		go func() { k.run(); done <- struct{}{} }()
		defer func() { cancel(); <-done; <-done }()
		for i := range 300 {
			k.keep(func() []Op {
				return []Op{{Space: spaceRetained, Key: []byte(strconv.Itoa(i)), Value: make([]byte, 1<<20)}}
			})
			time.Sleep(time.Second)
			j.mu.Lock()
			require.LessOrEqual(t, j.bytes, journalHigh+2<<20)
			j.mu.Unlock()
		}
		k.mu.Lock()
		require.False(t, k.ready)
		require.Positive(t, k.missed)
		k.mu.Unlock()
		store.away.Store(false)
		time.Sleep(10 * time.Second)
		k.mu.Lock()
		require.True(t, k.ready)
		k.mu.Unlock()
	})
}
