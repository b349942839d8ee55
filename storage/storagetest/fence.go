package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// fenced returns a Storage that nodes can share, or skips the test.
func (s suite) fenced(t *testing.T) shoal.FencedStorage {
	t.Helper()
	st := asFenced(t, s.reopen(t, t.TempDir()))
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// asFenced closes st if it skips the test.
func asFenced(t *testing.T, st shoal.Storage) shoal.FencedStorage {
	t.Helper()
	f, ok := st.(shoal.FencedStorage)
	if !ok || !f.Shared() {
		require.NoError(t, st.Close())
		t.Skip("no FencedStorage")
	}
	return f
}

func fence(epoch, step uint64) shoal.Fence { return shoal.Fence{Epoch: epoch, Step: step} }

func commitFenced(t testing.TB, st shoal.FencedStorage, f shoal.Fence, ops ...shoal.Op) (stale []string) {
	t.Helper()
	fences := make(map[string]shoal.Fence)
	for i := range ops {
		fences[ops[i].Space] = f
	}
	stale, err := st.CommitFenced(t.Context(), ops, fences)
	require.NoError(t, err, "CommitFenced")
	return stale
}

func testFenceOrder(t *testing.T, s suite) {
	st := s.fenced(t)
	big := uint64(1) << 63 // as numbers, not as floating point or signed
	fences := []shoal.Fence{fence(0, 1), fence(1, 0), fence(1, 9), fence(1, 10), fence(9, 0), fence(10, 0), fence(big, 1), fence(big, 2), fence(big+1, 0)}
	for i, f := range fences {
		value := fmt.Sprint(i)
		require.Empty(t, commitFenced(t, st, f, put("s", "k", value)), "%v comes after the ones before", f)
		require.Empty(t, commitFenced(t, st, f, put("s", "k2", value)), "the owner goes on")
		for _, less := range fences[:i] {
			require.Equal(t, []string{"s"}, commitFenced(t, st, less, drop("s"), put("s", "late", "x")), "%v after %v", less, f)
		}
		requirePairs(t, []pair{{"k", value}, {"k2", value}}, scan(t, st, "s", nil), "what came too late changes nothing")
	}
}

func testFenceSpaces(t *testing.T, s suite) {
	st := s.fenced(t)
	commitFenced(t, st, fence(5, 0), put("old", "k", "5"))
	stale, err := st.CommitFenced(t.Context(),
		[]shoal.Op{put("old", "k", "4"), put("own", "k", "4"), put("plain", "k", "1"), put("own", "l", "4"), del("old", "k")},
		map[string]shoal.Fence{"old": fence(4, 0), "own": fence(4, 0)})
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, stale)
	requirePairs(t, []pair{{"k", "5"}}, scan(t, st, "old", nil), "stale")
	requirePairs(t, []pair{{"k", "4"}, {"l", "4"}}, scan(t, st, "own", nil), "beside a stale one")
	requirePairs(t, []pair{{"k", "1"}}, scan(t, st, "plain", nil), "without a Fence")
	commit(t, st, put("plain", "k", "2"))
	requirePairs(t, []pair{{"k", "2"}}, scan(t, st, "plain", nil), "without a Fence, again")
}

func testFenceAlone(t *testing.T, s suite) {
	st := s.fenced(t)
	commitFenced(t, st, fence(1, 0), put("s", "k", "1"))
	stale, err := st.CommitFenced(t.Context(), nil, map[string]shoal.Fence{"s": fence(2, 0), "empty": fence(2, 0)})
	require.NoError(t, err)
	require.Empty(t, stale)
	requirePairs(t, []pair{{"k", "1"}}, scan(t, st, "s", nil), "a Fence alone changes no entry")
	require.Equal(t, []string{"s"}, commitFenced(t, st, fence(1, 7), del("s", "k")))
	require.Equal(t, []string{"empty"}, commitFenced(t, st, fence(1, 7), put("empty", "k", "1")))
	stale, err = st.CommitFenced(t.Context(), nil, map[string]shoal.Fence{"s": fence(1, 8)})
	require.NoError(t, err)
	require.Equal(t, []string{"s"}, stale)
}

func testFenceOutlivesSpace(t *testing.T, s suite) {
	dir := t.TempDir()
	st := asFenced(t, s.reopen(t, dir))
	commitFenced(t, st, fence(3, 0), put("dropped", "k", "1"), put("emptied", "k", "1"), put("stays", "k", "1"))
	commitFenced(t, st, fence(3, 0), drop("dropped"), del("emptied", "k"))
	check := func() {
		require.ElementsMatch(t, []string{"dropped", "emptied", "stays"},
			commitFenced(t, st, fence(2, 99), put("dropped", "k", "late"), put("emptied", "k", "late"), put("stays", "k", "late")))
		requirePairs(t, nil, scan(t, st, "dropped", nil), "dropped")
		requirePairs(t, nil, scan(t, st, "emptied", nil), "emptied")
	}
	check()
	require.NoError(t, st.Close())
	if !s.persistent {
		return
	}
	st = asFenced(t, s.reopen(t, dir))
	check()
	require.Empty(t, commitFenced(t, st, fence(3, 0), put("stays", "k", "2")), "the same Fence, after it was opened again")
	requirePairs(t, []pair{{"k", "2"}}, scan(t, st, "stays", nil), "the owner goes on")
	require.NoError(t, st.Close())
}

func testFenceRefused(t *testing.T, s suite) {
	st := s.fenced(t)
	_, err := st.CommitFenced(t.Context(), []shoal.Op{put("s", "k", "1"), {Space: "s", Key: []byte{}}}, map[string]shoal.Fence{"s": fence(9, 0)})
	require.Error(t, err)
	require.Empty(t, commitFenced(t, st, fence(1, 0), put("s", "k", "2")), "a call that is refused sets no Fence")
	requirePairs(t, []pair{{"k", "2"}}, scan(t, st, "s", nil), "after a refusal")
}

// Owners that do not know of each other write at the same time, each all of the Space.
func testFenceRace(t *testing.T, s suite) {
	st := s.fenced(t)
	const owners, rounds, keys = 8, 20, 5
	var wg sync.WaitGroup
	for i := range owners {
		wg.Go(func() {
			for range rounds {
				ops := []shoal.Op{drop("s")}
				for k := range keys {
					ops = append(ops, put("s", fmt.Sprint("k", k), fmt.Sprint(i)))
				}
				if _, err := st.CommitFenced(t.Context(), ops, map[string]shoal.Fence{"s": fence(uint64(i+1), 0)}); err != nil {
					t.Errorf("CommitFenced: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var want []pair
	for k := range keys {
		want = append(want, pair{fmt.Sprint("k", k), fmt.Sprint(owners - 1)})
	}
	requirePairs(t, want, scan(t, st, "s", nil), "the last owner's, and nobody else's")
}

func testSpaces(t *testing.T, s suite) {
	st := s.fenced(t)
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprintf("p/%03d", i))
	}
	want = append(want, "p/", "p/a*", "p/a?", "p/[a]", `p/\`, "p/{a}", "p/}", "p/%7d", "p/%", "p/p/", "p/\x00", "p/ü", "p/:order")
	for _, space := range append([]string{"p", "q/1", "xp/1", "P/1"}, want...) {
		commitFenced(t, st, fence(1, 0), put(space, "k", "v"))
	}
	commitFenced(t, st, fence(1, 0), put("p/gone", "k", "v"))
	commitFenced(t, st, fence(1, 0), drop("p/gone"))
	list := func(prefix string) []string {
		var got []string
		require.NoError(t, st.Spaces(t.Context(), prefix, func(space string) error { got = append(got, space); return nil }))
		slices.Sort(got)
		return slices.Compact(got)
	}
	slices.Sort(want)
	require.Equal(t, want, list("p/"))
	require.Equal(t, []string{"p/a*", "p/a?"}, list("p/a"))
	require.Equal(t, []string{"p/a*"}, list("p/a*"))
	require.Equal(t, []string{"p/[a]"}, list("p/["))
	require.Equal(t, []string{"p/}"}, list("p/}"))
	require.Empty(t, list("none/"))
	stop := errors.New("stop")
	require.Equal(t, stop, st.Spaces(t.Context(), "p/", func(string) error { return stop }), "the error of fn, as it is")
	require.Error(t, st.Commit(t.Context(), []shoal.Op{{}}))
}
