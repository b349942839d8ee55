package storagetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

func testConcurrent(t *testing.T, s suite) {
	st := s.new(t)
	const writers, batches, each = 8, 10, 5
	ctx := t.Context()
	errs := make(chan error, 2*writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				ops := []shoal.Op{put("all", fmt.Sprintf("%d/%02d", w, i), "v")}
				for j := range each {
					ops = append(ops, put(fmt.Sprint("own", w), fmt.Sprintf("%02d/%d", i, j), "v"))
				}
				if err := st.Commit(ctx, ops); err != nil {
					errs <- fmt.Errorf("writer %d, batch %d: %w", w, i, err)
					return
				}
			}
		})
		wg.Go(func() {
			for range batches {
				last := ""
				err := st.Scan(ctx, "all", nil, func(key, _ []byte) error {
					if string(key) <= last {
						return fmt.Errorf("%q after %q", key, last)
					}
					last = string(key)
					return nil
				})
				if err != nil {
					errs <- fmt.Errorf("scan while others write: %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	require.Len(t, scan(t, st, "all", nil), writers*batches)
	for w := range writers {
		require.Len(t, scan(t, st, fmt.Sprint("own", w), nil), batches*each)
	}
}

func testClosed(t *testing.T, s suite) {
	st := s.reopen(t, t.TempDir())
	commit(t, st, put("s", "a", "1"))
	require.NoError(t, st.Close())
	require.ErrorIs(t, st.Commit(t.Context(), []shoal.Op{put("s", "b", "1")}), shoal.ErrStorageClosed, "Commit after Close")
	require.ErrorIs(t, st.Commit(t.Context(), nil), shoal.ErrStorageClosed, "Commit of nothing after Close")
	for _, space := range []string{"s", "unknown"} {
		err := st.Scan(t.Context(), space, nil, func([]byte, []byte) error { return errors.New("called") })
		require.ErrorIs(t, err, shoal.ErrStorageClosed, "Scan after Close")
	}
}

func testReopen(t *testing.T, s suite) {
	if !s.persistent {
		t.Skip("needs storagetest.Persistent()")
	}
	dir := t.TempDir()
	var want []pair
	for round := range 4 {
		st := s.reopen(t, dir)
		requirePairs(t, want, scan(t, st, "s", nil), fmt.Sprint("after reopening ", round))
		require.Empty(t, scan(t, st, "dropped", nil))
		if round > 0 {
			requirePairs(t, []pair{{"\x00\xff", ""}}, scan(t, st, "binary", nil), "binary key, empty value")
		}
		commit(t, st, put("dropped", "a", "1"), put("binary", "\x00\xff", ""))
		for i := range 3 { // three Commits, the last of which deletes
			p := pair{fmt.Sprintf("%d/%d", round, i), fmt.Sprint("value ", i)}
			want = append(want, p)
			commit(t, st, put("s", p.key, p.value), put("s", "gone", "v"))
		}
		commit(t, st, del("s", "gone"), drop("dropped"))
		require.NoError(t, st.Close())
	}
}
