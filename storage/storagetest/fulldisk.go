package storagetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// FullDisk holds a Storage that persists to this: when the disk is full, Commit returns an error that matches syscall.ENOSPC, and the
// process goes on; everything that Commit returned for is there; and when there is space again, Commit works again, of the same
// Storage. The disk is a tmpfs of that many MiB, which only root can make: without it the test is skipped.
func FullDisk(t *testing.T, sizeMiB int, open func(dir string) shoal.Storage) {
	t.Helper()
	dir := t.TempDir()
	mount := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", sizeMiB), "tmpfs", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("no disk that can be filled: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	filler := filepath.Join(dir, "filler")
	require.NoError(t, os.WriteFile(filler, make([]byte, sizeMiB<<20/8), 0o600))

	st := open(filepath.Join(dir, "store"))
	require.NoError(t, openIt(t.Context(), st))
	var err error
	committed := 0
	for err == nil {
		require.Less(t, committed, sizeMiB<<20/fullBatchBytes, "more than the disk holds")
		if err = st.Commit(t.Context(), fullBatch(committed)); err == nil {
			committed++
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Positive(t, committed)
	require.ErrorIs(t, st.Commit(t.Context(), fullBatch(committed)), syscall.ENOSPC)
	requireFull(t, st, committed)
	require.NoError(t, os.Remove(filler))
	require.NoError(t, st.Commit(t.Context(), fullBatch(committed)), "there is space again")
	requireFull(t, st, committed+1)
	require.NoError(t, st.Close())

	st = open(filepath.Join(dir, "store"))
	require.NoError(t, openIt(t.Context(), st))
	requireFull(t, st, committed+1)
	require.NoError(t, st.Close())
}

const fullBatchBytes = 64 << 10

func fullBatch(n int) (ops []shoal.Op) {
	for i := range 64 {
		ops = append(ops, put(fmt.Sprint("s", n%10), fmt.Sprintf("%06d/%02d", n, i), string(make([]byte, fullBatchBytes/64))))
	}
	return ops
}

func requireFull(t *testing.T, st shoal.Storage, batches int) {
	t.Helper()
	count := 0
	for i := range 10 {
		require.NoError(t, st.Scan(t.Context(), fmt.Sprint("s", i), nil, func([]byte, []byte) error {
			count++
			return nil
		}))
	}
	require.Contains(t, []int{batches * 64, (batches + 1) * 64}, count, "entries of %d batches", batches)
}
