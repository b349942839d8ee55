package storagetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// Option changes what Run tests.
type Option func(*suite)

// Persistent says that a Storage opened with the directory of one that was closed has everything that was committed.
func Persistent() Option { return func(s *suite) { s.persistent = true } }

// Run tests the Storage that open makes. It calls open for each subtest, with an empty directory of its own, which is
// also a good name for a part of a database that several tests share. If the Storage is a shoal.Opener, Run opens
// it, and it closes it in the end. With Persistent, Run also closes a Storage and calls open with the same directory again.
func Run(t *testing.T, open func(t *testing.T, dir string) shoal.Storage, opts ...Option) {
	s := suite{open: open}
	for _, opt := range opts {
		opt(&s)
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"PutDelete", testPutDelete},
		{"DeleteSpace", testDeleteSpace},
		{"OrderOfOps", testOrderOfOps},
		{"EmptyValue", testEmptyValue},
		{"Refused", testRefused},
		{"Repeated", testRepeated},
		{"CallersSlices", testCallersSlices},
		{"BigBatch", testBigBatch},
		{"BigValues", testBigValues},
		{"LongKeys", testLongKeys},
		{"LongSpaces", testLongSpaces},
		{"SpacesApart", testSpacesApart},
		{"ScanOrder", testScanOrder},
		{"ScanFrom", testScanFrom},
		{"ScanStops", testScanStops},
		{"ScanUnknown", testScanUnknown},
		{"Context", testContext},
		{"Concurrent", testConcurrent},
		{"Closed", testClosed},
		{"Reopen", testReopen},
		{"Model", testModel},
		{"FenceOrder", testFenceOrder},
		{"FenceSpaces", testFenceSpaces},
		{"FenceAlone", testFenceAlone},
		{"FenceOutlivesSpace", testFenceOutlivesSpace},
		{"FenceRefused", testFenceRefused},
		{"FenceRace", testFenceRace},
		{"Spaces", testSpaces},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

type suite struct {
	open       func(t *testing.T, dir string) shoal.Storage
	persistent bool
}

// new returns an open Storage in a directory of its own. It is closed when t ends.
func (s suite) new(t *testing.T) shoal.Storage {
	t.Helper()
	st := s.reopen(t, t.TempDir())
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return st
}

// reopen returns an open Storage in dir, which the caller closes.
func (s suite) reopen(t *testing.T, dir string) shoal.Storage {
	t.Helper()
	st := s.open(t, dir)
	require.NotNil(t, st, "open returned nil")
	if o, ok := st.(shoal.Opener); ok {
		require.NoError(t, o.Open(t.Context()), "Open")
	}
	return st
}

func put(space, key, value string) shoal.Op {
	return shoal.Op{Space: space, Key: []byte(key), Value: []byte(value)} // []byte("") is not nil
}

func del(space, key string) shoal.Op { return shoal.Op{Space: space, Key: []byte(key)} }

func drop(space string) shoal.Op { return shoal.Op{Space: space} }

func commit(t testing.TB, st shoal.Storage, ops ...shoal.Op) {
	t.Helper()
	require.NoError(t, st.Commit(t.Context(), ops), "Commit")
}

// pair is an entry as Scan passed it.
type pair struct{ key, value string }

func scan(t testing.TB, st shoal.Storage, space string, from []byte) []pair {
	t.Helper()
	return scanCtx(t.Context(), t, st, space, from)
}

func scanCtx(ctx context.Context, t require.TestingT, st shoal.Storage, space string, from []byte) []pair {
	pairs := []pair{}
	err := st.Scan(ctx, space, from, func(key, value []byte) error {
		require.NotNil(t, value, "Scan passed a nil value")
		pairs = append(pairs, pair{string(key), string(value)})
		return nil
	})
	require.NoError(t, err, "Scan")
	return pairs
}

// requirePairs compares without printing values of a megabyte.
func requirePairs(t require.TestingT, want, got []pair, about string) {
	require.Len(t, brief(got), len(want), about)
	for i := range want {
		if want[i] != got[i] {
			require.Equal(t, brief(want[i:i+1]), brief(got[i:i+1]), "%s: entry %d", about, i)
			require.FailNow(t, "entries differ behind their beginning", "%s: entry %d", about, i)
		}
	}
}

func brief(pairs []pair) []pair {
	const most = 40
	out := make([]pair, len(pairs))
	for i, p := range pairs {
		out[i] = pair{p.key[:min(len(p.key), most)], p.value[:min(len(p.value), most)]}
	}
	return out
}
