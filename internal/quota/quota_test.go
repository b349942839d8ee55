package quota_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/quota"
)

func limits(k quota.Kind, n int64) (l quota.Limits) {
	l[k] = n
	return l
}

func TestPartsCountForTheWhole(t *testing.T) {
	var b quota.Book
	b.Init(limits(quota.Sessions, 5), limits(quota.Sessions, 3))
	x, y := b.Open("x"), b.Open("y")
	require.True(t, x.Take(quota.Sessions, 3))
	require.False(t, x.Take(quota.Sessions, 1), "the part has no more")
	require.True(t, y.Take(quota.Sessions, 2))
	require.False(t, y.Room(quota.Sessions, 1))
	require.False(t, y.Take(quota.Sessions, 1), "the whole has no more")
	require.EqualValues(t, 2, y.Used(quota.Sessions), "what was refused is not counted anywhere")
	require.EqualValues(t, 5, b.Whole.Used(quota.Sessions))
	require.EqualValues(t, 1, x.Refused(quota.Sessions))
	require.EqualValues(t, 2, b.Whole.Refused(quota.Sessions))
	y.Add(quota.Sessions, 4)
	require.EqualValues(t, 9, b.Whole.Used(quota.Sessions), "what is there already is counted, whatever the limits say")
	x.Add(quota.Sessions, -3)
	require.True(t, x.Take(quota.Subscriptions, 1000), "another kind")
	require.True(t, x.Take(quota.Sessions, 0))
}

func TestAccountsLastAsLongAsTheyAreUsed(t *testing.T) {
	var b quota.Book
	b.Init(quota.Limits{}, limits(quota.QueuedBytes, 10))
	require.Same(t, &b.Whole, b.Open(""))
	b.Close(&b.Whole)
	x := b.Open("x")
	require.Same(t, x, b.Open("x"))
	b.Close(x)
	require.Same(t, x, b.Open("x"))
	b.Close(x)
	require.Equal(t, 1, b.Parts())
	b.Close(x)
	require.Zero(t, b.Parts())
}

func TestNoLimitIsPassedByManyAtOnce(t *testing.T) {
	var b quota.Book
	b.Init(limits(quota.RetainedBytes, 1000), quota.Limits{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if b.Whole.Take(quota.RetainedBytes, 1) {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1000, taken)
	require.EqualValues(t, 7000, b.Whole.Refused(quota.RetainedBytes))
}

func TestKindsHaveNames(t *testing.T) {
	for k := range quota.Kind(quota.Kinds) {
		require.NotEmpty(t, k.String())
	}
}
