package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// binaryKeys are keys that are easy to get wrong, in order.
func binaryKeys() []string {
	var keys []string
	for b := range 256 {
		c := string([]byte{byte(b)})
		keys = append(keys, c, c+"\x00", c+"\x00\x00", c+"a", c+"\xff")
	}
	keys = append(keys, "k1", "k10", "k2", "a/b", "a/b/c", "a!b", "\xff\xff\xff", "ü", "'", "%", "*", "\n")
	slices.Sort(keys)
	return slices.Compact(keys)
}

func testScanOrder(t *testing.T, s suite) {
	st := s.new(t)
	var want []pair
	var ops []shoal.Op
	for i, k := range binaryKeys() {
		want = append(want, pair{k, fmt.Sprint(i)})
	}
	for i := range want {
		p := want[i*7919%len(want)]
		ops = append(ops, put("s", p.key, p.value))
	}
	for batch := range slices.Chunk(ops, 300) {
		commit(t, st, batch...)
	}
	requirePairs(t, want, scan(t, st, "s", nil), "binary keys in order")
	commit(t, st, del("s", "\x00"), del("s", "\xff\xff\xff"))
	requirePairs(t, want[1:len(want)-1], scan(t, st, "s", nil), "first and last deleted")
}

func testScanFrom(t *testing.T, s suite) {
	st := s.new(t)
	var want []pair
	var ops []shoal.Op
	for _, k := range binaryKeys() {
		want = append(want, pair{k, "v"})
		ops = append(ops, put("s", k, "v"))
	}
	commit(t, st, ops...)
	for _, from := range []string{"\x00", "\x00\x00", "a", "a\x00\x01", "a/", "a/b", "a0", "k", "k1", "k11", "zzz", "\xfe\xff\xff", "\xff", "\xff\xff", "\xff\xff\xff"} {
		i, _ := slices.BinarySearchFunc(want, from, func(p pair, from string) int { return compareText(p.key, from) })
		requirePairs(t, want[i:], scan(t, st, "s", []byte(from)), fmt.Sprintf("from %q", from))
	}
	requirePairs(t, nil, scan(t, st, "s", []byte("\xff\xff\xff\xff")), "from behind the last")
	requirePairs(t, want, scan(t, st, "s", []byte{}), "from an empty key")
	from := []byte("a/b")
	scan(t, st, "s", from)
	require.Equal(t, "a/b", string(from), "Scan wrote to from")
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// errStop is compared by identity.
type errStop struct{ why string }

func (e *errStop) Error() string { return e.why }

func testScanStops(t *testing.T, s suite) {
	st := s.new(t)
	var ops []shoal.Op
	for i := range 2500 {
		ops = append(ops, put("s", fmt.Sprintf("%04d", i), "v"))
	}
	commit(t, st, ops...)
	for _, at := range []int{1, 2, 1000, 1024, 2500} {
		stop, calls := &errStop{"stop"}, 0
		err := st.Scan(t.Context(), "s", nil, func([]byte, []byte) error {
			if calls++; calls == at {
				return stop
			}
			return nil
		})
		require.Equal(t, at, calls, "Scan went on after an error")
		require.Equal(t, error(stop), err, "Scan must return the error of its function unchanged")
	}
	require.Len(t, scan(t, st, "s", nil), 2500, "the Storage must go on working")
	commit(t, st, put("s", "new", "v"))
}

func testScanUnknown(t *testing.T, s suite) {
	st := s.new(t)
	for range 2 {
		requirePairs(t, nil, scan(t, st, "unknown", nil), "unknown Space")
		requirePairs(t, nil, scan(t, st, "unknown", []byte("from")), "unknown Space")
		commit(t, st, put("known", "a", "1"))
	}
}

func testContext(t *testing.T, s suite) {
	st := s.new(t)
	var ops []shoal.Op
	for i := range 10_000 {
		ops = append(ops, put("s", fmt.Sprintf("%05d", i), "v"))
	}
	commit(t, st, ops...)

	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := st.Scan(ctx, "s", nil, func([]byte, []byte) error {
		calls++
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled, "Scan, cancelled on the way")
	require.LessOrEqual(t, calls, 1000, "Scan went on for too long")

	err = st.Commit(ctx, []shoal.Op{put("s", "late", "v")})
	require.ErrorIs(t, err, context.Canceled, "Commit, cancelled before")
	err = st.Scan(ctx, "s", nil, func([]byte, []byte) error { return errors.New("called") })
	require.ErrorIs(t, err, context.Canceled, "Scan, cancelled before")

	commit(t, st, put("s", "later", "v"))
	require.GreaterOrEqual(t, len(scan(t, st, "s", nil)), 10_001, "the Storage must go on working")
}
