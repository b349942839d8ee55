package bolt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "mqtt.db"), bolt.WithNoSync())
	}, storagetest.Persistent())
}

func TestContractSynced(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of fsyncs")
	}
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "mqtt.db"))
	}, storagetest.Persistent())
}

func one(space, key, value string) []shoal.Op {
	return []shoal.Op{{Space: space, Key: []byte(key), Value: []byte(value)}}
}

func opened(t *testing.T, path string, opts ...bolt.Option) *bolt.Store {
	t.Helper()
	s := bolt.Open(path, append(opts, bolt.WithNoSync())...)
	require.NoError(t, s.Open(t.Context()))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func none([]byte, []byte) error { return nil }

func TestOpenDoesNoIOUntilAsked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "mqtt.db")
	s := bolt.Open(path, bolt.WithNoSync())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.ErrorIs(t, s.Commit(t.Context(), one("s", "k", "v")), bolt.ErrNotOpen)
	require.ErrorIs(t, s.Scan(t.Context(), "s", nil, none), bolt.ErrNotOpen)

	require.NoError(t, s.Open(t.Context()))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.ErrorContains(t, s.Open(t.Context()), "already open")
	require.NoError(t, s.Commit(t.Context(), one("s", "k", "v")))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice")
	require.ErrorIs(t, s.Open(t.Context()), shoal.ErrStorageClosed)
}

func TestCloseWithoutOpen(t *testing.T) {
	s := bolt.Open(filepath.Join(t.TempDir(), "mqtt.db"))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Commit(t.Context(), nil), shoal.ErrStorageClosed)
}

func TestOpenErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("no database, but long enough to be looked at"), 0o600))
	for _, path := range []string{filepath.Join(file, "mqtt.db"), file, dir} {
		s := bolt.Open(path)
		require.ErrorContains(t, s.Open(t.Context()), path)
		require.NoError(t, s.Close())
	}
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(content), "no database", "a file of somebody else's was changed")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, bolt.Open(filepath.Join(dir, "mqtt.db")).Open(ctx), context.Canceled)
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	first := opened(t, path)

	err := bolt.Open(path, bolt.WithLockTimeout(0)).Open(t.Context())
	require.ErrorIs(t, err, bolt.ErrLocked)
	require.ErrorContains(t, err, path)
	require.ErrorIs(t, bolt.Open(path, bolt.WithLockTimeout(50*time.Millisecond)).Open(t.Context()), bolt.ErrLocked)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = bolt.Open(path, bolt.WithLockTimeout(time.Hour)).Open(ctx)
	require.ErrorIs(t, err, bolt.ErrLocked)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	// Who waits gets it when the other closes.
	second := bolt.Open(path, bolt.WithLockTimeout(time.Hour), bolt.WithNoSync())
	got := make(chan error, 1)
	go func() { got <- second.Open(t.Context()) }()
	require.NoError(t, first.Close())
	require.NoError(t, <-got)
	require.NoError(t, second.Close())
}

// Scan holds no transaction while it calls its function, over the borders of batches too.
func TestScanFuncMayWrite(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "mqtt.db"))
	var ops []shoal.Op
	for i := range 3000 {
		ops = append(ops, one("s", fmt.Sprintf("%04d", i), "v")...)
	}
	require.NoError(t, s.Commit(t.Context(), ops))
	seen := 0
	big := make([]byte, 1<<20) // makes the file grow, for which bbolt waits until nobody reads
	require.NoError(t, s.Scan(t.Context(), "s", nil, func(key, value []byte) error {
		seen++
		if seen%100 != 0 {
			return nil
		}
		ops := []shoal.Op{{Space: "s", Key: append([]byte(nil), key...)}, {Space: "big", Key: key, Value: big}}
		clear(value)
		return s.Commit(t.Context(), ops)
	}))
	require.Equal(t, 3000, seen)
}

func TestCommitWaitsNoLongerThanItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	first := opened(t, path)
	waiting := bolt.Open(path, bolt.WithLockTimeout(time.Hour))
	opening, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		done <- waiting.Open(opening) // has the turn until stop
	}()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := waiting.Commit(ctx, one("s", "k", "v"))
	require.Error(t, err)
	stop()
	require.ErrorIs(t, <-done, context.Canceled)
	require.NoError(t, waiting.Close())
	require.NoError(t, first.Commit(t.Context(), one("s", "k", "v")))
}

func BenchmarkCommit(b *testing.B) {
	storagetest.Benchmark(b, func(_ *testing.B, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "mqtt.db"))
	})
}

func BenchmarkCommitNoSync(b *testing.B) {
	storagetest.Benchmark(b, func(_ *testing.B, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "mqtt.db"), bolt.WithNoSync())
	})
}

func BenchmarkSize(b *testing.B) {
	storagetest.BenchmarkSize(b, func(dir string) shoal.Storage { return bolt.Open(filepath.Join(dir, "mqtt.db")) })
}
