package bolt_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
)

// The test binary is also the process that is killed: with this variable set it writes to that file until it ends.
const crashFile = "SHOAL_TEST_BOLT_CRASH_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		if err := commitForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const crashKeys = 50

// commitForEver commits batches numbered from 1 on, or from where an earlier process came to, and prints each number
// when its Commit has returned.
func commitForEver(path string) error {
	ctx := context.Background()
	s := bolt.Open(path)
	if err := s.Open(ctx); err != nil {
		return err
	}
	n := 0
	err := s.Scan(ctx, "state", nil, func(_, value []byte) (err error) {
		n, err = strconv.Atoi(string(value))
		return err
	})
	if err != nil {
		return err
	}
	for n++; ; n++ {
		if err := s.Commit(ctx, crashBatch(n)); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// crashBatch makes a Space of its own, changes all keys of one that all batches share, and drops that of ten before.
func crashBatch(n int) []shoal.Op {
	var ops []shoal.Op
	for i := range crashKeys {
		ops = append(ops, one(batchSpace(n), fmt.Sprint("key", i), strconv.Itoa(n))...)
		ops = append(ops, one("state", fmt.Sprint("key", i), strconv.Itoa(n))...)
	}
	return append(ops, shoal.Op{Space: batchSpace(n - 10)})
}

func batchSpace(n int) string { return fmt.Sprint("batch", n) }

func TestKilledProcessLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	last := 0
	for round := range 5 {
		printed := killAfter(t, path, last+10+7*round)
		require.Greater(t, printed, last)
		last = requireBatches(t, path, printed)
	}
}

// killAfter lets a process commit until it has printed at least the given number, kills it, and returns the last number it printed.
func killAfter(t *testing.T, path string, number int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			break // a line that was cut off
		}
		last = n
		if n >= number && !killed { // and read on: it may have printed more before it dies
			killed = true
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait())
	require.True(t, killed, "the process ended by itself: %s", stderr.String())
	return last
}

// requireBatches looks for everything up to batch printed, and for all or nothing of the next. It returns the last it found.
func requireBatches(t *testing.T, path string, printed int) (last int) {
	t.Helper()
	s := bolt.Open(path)
	require.NoError(t, s.Open(t.Context()))
	last = printed
	if len(values(t, s, batchSpace(printed+1))) > 0 {
		last++ // committed, but killed before it was printed
	}
	for n := 1; n <= last+1; n++ {
		want := map[string]int{strconv.Itoa(n): crashKeys}
		if n <= last-10 || n > last {
			want = map[string]int{}
		}
		require.Equal(t, want, values(t, s, batchSpace(n)), "batch %d of %d", n, last)
	}
	require.Equal(t, map[string]int{strconv.Itoa(last): crashKeys}, values(t, s, "state"), "state after batch %d", last)
	require.NoError(t, s.Close())
	return last
}

// values counts the values of a Space.
func values(t *testing.T, s *bolt.Store, space string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	require.NoError(t, s.Scan(t.Context(), space, nil, func(_, value []byte) error {
		counts[string(value)]++
		return nil
	}))
	return counts
}
