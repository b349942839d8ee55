package badger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/badger"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return badger.Open(dir, badger.WithNoSync())
	}, storagetest.Persistent())
}

func TestContractSynced(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of fsyncs")
	}
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage { return badger.Open(dir) }, storagetest.Persistent())
}

func TestKilledProcessLosesNothing(t *testing.T) {
	storagetest.Crash(t, func(dir string) shoal.Storage { return badger.Open(dir) })
}

func TestDamagedFilesAreReported(t *testing.T) {
	storagetest.Damage(t, func(dir string) shoal.Storage { return badger.Open(dir, badger.WithNoSync()) })
}

func TestFullDisk(t *testing.T) {
	storagetest.FullDisk(t, 512, func(dir string) shoal.Storage { return badger.Open(dir) })
}

func one(space, key, value string) []shoal.Op {
	return []shoal.Op{{Space: space, Key: []byte(key), Value: []byte(value)}}
}

func opened(t *testing.T, dir string, opts ...badger.Option) *badger.Store {
	t.Helper()
	s := badger.Open(dir, append(opts, badger.WithNoSync())...)
	require.NoError(t, s.Open(t.Context()))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func none([]byte, []byte) error { return nil }

func TestOpenDoesNoIOUntilAsked(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	s := badger.Open(dir, badger.WithNoSync())
	entries, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.ErrorIs(t, s.Commit(t.Context(), one("s", "k", "v")), badger.ErrNotOpen)
	require.ErrorIs(t, s.Scan(t.Context(), "s", nil, none), badger.ErrNotOpen)

	require.NoError(t, s.Open(t.Context()))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.ErrorContains(t, s.Open(t.Context()), "already open")
	require.NoError(t, s.Commit(t.Context(), one("s", "k", "v")))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice")
	require.ErrorIs(t, s.Open(t.Context()), shoal.ErrStorageClosed)
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	first := opened(t, dir)
	err := badger.Open(dir, badger.WithLockTimeout(0)).Open(t.Context())
	require.ErrorIs(t, err, badger.ErrLocked)
	require.ErrorContains(t, err, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = badger.Open(dir, badger.WithLockTimeout(time.Hour)).Open(ctx)
	require.ErrorIs(t, err, badger.ErrLocked)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	second := badger.Open(dir, badger.WithLockTimeout(time.Hour), badger.WithNoSync())
	got := make(chan error, 1)
	go func() { got <- second.Open(t.Context()) }()
	require.NoError(t, first.Close())
	require.NoError(t, <-got)
	require.NoError(t, second.Close())
}

func TestDirectoryOfSomebodyElse(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o600))
	require.ErrorContains(t, badger.Open(dir).Open(t.Context()), "letter.txt")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	file := filepath.Join(dir, "letter.txt")
	require.ErrorContains(t, badger.Open(file).Open(t.Context()), file)
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, opened(t, dir).Close())
	path := filepath.Join(dir, "FORMAT")
	require.NoError(t, os.WriteFile(path, []byte("shoal storage badger, format 7\nmore of it\n"), 0o600))
	err := badger.Open(dir).Open(t.Context())
	require.ErrorIs(t, err, badger.ErrNewerFormat)
	require.ErrorContains(t, err, "have format 7, and this program knows 1")
}

// A Commit that no transaction of badger can hold is nevertheless written as a whole, also when many Spaces are dropped at once.
func TestCommitLargerThanATransaction(t *testing.T) {
	s := opened(t, t.TempDir())
	const n = 120_000
	var ops []shoal.Op
	for i := range n {
		ops = append(ops, one("large", fmt.Sprintf("%06d", i), "value")...)
	}
	require.NoError(t, s.Commit(t.Context(), append(ops, one("other", "k", "v")...)))
	count := func(space string) (count int) {
		require.NoError(t, s.Scan(t.Context(), space, nil, func([]byte, []byte) error { count++; return nil }))
		return count
	}
	require.Equal(t, n, count("large"))
	require.NoError(t, s.Commit(t.Context(), []shoal.Op{{Space: "large"}, one("large", "new", "v")[0], {Space: "other"}}))
	require.Equal(t, 1, count("large"))
	require.Zero(t, count("other"))
}

func TestAcceptLoss(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	require.NoError(t, s.Commit(t.Context(), one("s", "k", "v")))
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "COMMITS")))
	require.ErrorIs(t, badger.Open(dir).Open(t.Context()), badger.ErrDamaged)
	opened(t, dir, badger.WithAcceptLoss())
}

func BenchmarkCommit(b *testing.B) {
	storagetest.Benchmark(b, func(_ *testing.B, dir string) shoal.Storage { return badger.Open(dir) })
}

func BenchmarkSize(b *testing.B) {
	storagetest.BenchmarkSize(b, func(dir string) shoal.Storage { return badger.Open(dir) })
}
