package clustertest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestSharedStorageContract(t *testing.T) {
	stores := make(map[string]*clustertest.SharedStorage)
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		if stores[dir] == nil {
			stores[dir] = clustertest.NewSharedStorage()
		}
		return stores[dir].Storage("c01")
	}, storagetest.Persistent())
}

// A write that its caller has given up arrives when the store goes on; but not after a later one.
func TestSharedStorageFails(t *testing.T) {
	s := clustertest.NewSharedStorage()
	a, b := s.Storage("a"), s.Storage("b")
	commit := func(st shoal.FencedStorage, epoch uint64, value string) ([]string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		return st.CommitFenced(ctx, []shoal.Op{{Space: "s", Key: []byte("k"), Value: []byte(value)}}, map[string]shoal.Fence{"s": {Epoch: epoch}})
	}
	value := func() (v string) {
		require.NoError(t, a.Scan(t.Context(), "s", nil, func(_, value []byte) error { v = string(value); return nil }))
		return v
	}
	boom := errors.New("boom")
	s.Fail(boom)
	_, err := commit(a, 1, "x")
	require.ErrorIs(t, err, boom)
	require.ErrorIs(t, a.Scan(t.Context(), "s", nil, nil), boom)
	s.Fail(nil)

	s.Hold("a")
	_, err = commit(a, 1, "held")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, value())
	s.Resume()
	require.Eventually(t, func() bool { return value() == "held" }, 5*time.Second, time.Millisecond)

	s.Hold("a")
	_, err = commit(a, 1, "held again")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = commit(b, 1, "later")
	require.NoError(t, err)
	s.Resume()
	stale, err := commit(b, 2, "next")
	require.NoError(t, err)
	require.Empty(t, stale)
	require.Equal(t, "next", value())
	stale, err = commit(a, 1, "late")
	require.NoError(t, err)
	require.Equal(t, []string{"s"}, stale)
	s.Hang()
	_, err = commit(a, 3, "hangs")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s.Resume()
	require.Eventually(t, func() bool { return value() == "hangs" }, 5*time.Second, time.Millisecond)
}

// A server that crashes has done what waited, or has not, and says so of neither; one without memory answers reads; one that was emptied knows nothing,
// fences included.
func TestSharedStorageCrashes(t *testing.T) {
	s := clustertest.NewSharedStorage()
	st := s.Storage("a")
	commit := func(key string) error {
		_, err := st.CommitFenced(t.Context(), []shoal.Op{{Space: "s", Key: []byte(key), Value: []byte(key)}}, map[string]shoal.Fence{"s": {Epoch: 5}})
		return err
	}
	keys := func() (list []string) {
		require.NoError(t, st.Scan(t.Context(), "s", nil, func(key, _ []byte) error { list = append(list, string(key)); return nil }))
		return list
	}
	boom := errors.New("boom")
	for _, lost := range []bool{true, false} {
		s.Hang()
		failed := make(chan error, 1)
		begun := make(chan struct{})
		go func() { close(begun); failed <- commit("k") }()
		<-begun
		time.Sleep(10 * time.Millisecond) // until it waits; what comes later fails at once, without being done
		s.Crash(boom, func() bool { return lost })
		require.ErrorIs(t, <-failed, boom)
		require.ErrorIs(t, commit("late"), boom)
		s.Fail(nil)
		require.Len(t, keys(), map[bool]int{true: 0, false: 1}[lost])
	}
	s.FailWrites(boom)
	require.ErrorIs(t, commit("full"), boom)
	require.Equal(t, []string{"k"}, keys())
	s.FailWrites(nil)
	s.Empty()
	require.Empty(t, keys())
	stale, err := st.CommitFenced(t.Context(), []shoal.Op{{Space: "s", Key: []byte("k"), Value: []byte("k")}}, map[string]shoal.Fence{"s": {Epoch: 1}})
	require.NoError(t, err)
	require.Empty(t, stale)
}
