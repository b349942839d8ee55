package storagetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

const (
	crashDir = "SHOAL_TEST_CRASH_DIR" // of the process that is killed
	// Kills is the environment variable that says how often Crash kills a process; without it Crash does so 12 times.
	Kills = "SHOAL_TEST_KILLS"
)

// Crash holds a Storage that persists to this: a process that is killed with SIGKILL at any moment loses nothing that Commit has
// returned for, and invents nothing. Small Commits and large ones of several megabytes are under way when it happens.
//
// Crash runs the test that calls it, and only that, once more in another process, which never comes back from Crash.
func Crash(t *testing.T, open func(dir string) shoal.Storage) {
	t.Helper()
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, commitForEver(open(dir)))
		os.Exit(1)
	}
	if testing.Short() {
		t.Skip("processes that are killed")
	}
	kills := 12
	if text := os.Getenv(Kills); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err, Kills)
	}
	dir, last := t.TempDir(), 0
	for range kills {
		printed := killSoon(t, dir, last)
		last = requireBatches(t, open(dir), max(printed, last))
	}
	require.Positive(t, last)
	t.Logf("%d kills, %d commits", kills, last)
}

func openIt(ctx context.Context, st shoal.Storage) error {
	if o, ok := st.(shoal.Opener); ok {
		return o.Open(ctx)
	}
	return nil
}

// commitForEver commits batches numbered from 1 on, or from where an earlier process came to, and prints each number
// when its Commit has returned.
func commitForEver(st shoal.Storage) error {
	ctx := context.Background()
	if err := openIt(ctx, st); err != nil {
		return err
	}
	n := 0
	err := st.Scan(ctx, "state", nil, func(_, value []byte) (err error) {
		n, err = strconv.Atoi(string(value))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("opened")
	for n++; ; n++ {
		if err := st.Commit(ctx, crashBatch(n)); err != nil {
			return err
		}
		if _, err := fmt.Println("batch", n); err != nil {
			return err
		}
	}
}

// crashBatch makes a Space of its own, changes all keys of one that all batches share, and drops that of some before.
func crashBatch(n int) (ops []shoal.Op) {
	for i := range batchKeys(n) {
		size := batchValue
		if i%10 == 0 {
			size = batchBigValue
		}
		value := fmt.Sprint(n, " ", strings.Repeat("v", size))
		ops = append(ops, put(batchSpace(n), fmt.Sprintf("key%05d", i), value))
	}
	for i := range stateKeys {
		ops = append(ops, put("state", fmt.Sprint("key", i), strconv.Itoa(n)))
	}
	return append(ops, drop(batchSpace(n-batchesKept)))
}

const (
	stateKeys   = 50
	batchesKept = 7
	batchValue  = 400
	// Some drivers keep large values apart.
	batchBigValue = 1500
)

// batchKeys is large for every fifth batch: ten megabytes.
func batchKeys(n int) int {
	if n%5 == 0 {
		return 20_000
	}
	return 20
}

func batchSpace(n int) string { return fmt.Sprint("batch", n) }

// killSoon lets a process commit, kills it at some moment, and returns the last number that it printed.
func killSoon(t *testing.T, dir string, last int) (printed int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	killed := make(chan struct{})
	kill := func() {
		defer close(killed)
		_ = cmd.Process.Kill() // Wait tells whether it had ended by itself
	}
	if rand.IntN(4) == 0 { // perhaps while it opens
		time.AfterFunc(rand.N(100*time.Millisecond), kill)
	} else {
		require.True(t, lines.Scan(), "the process ended by itself: %s", &stderr)
		time.AfterFunc(rand.N(400*time.Millisecond), kill)
	}
	printed = last
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "batch "); ok {
			if number, err := strconv.Atoi(n); err == nil { // else a line that was cut off
				printed = number
			}
		}
	}
	<-killed
	exit := new(exec.ExitError)
	require.True(t, errors.As(cmd.Wait(), &exit) && exit.ExitCode() == -1, "the process ended by itself: %s", &stderr)
	return printed
}

// requireBatches looks for everything up to batch printed, and for all or nothing of the next. It returns the last it found.
func requireBatches(t *testing.T, st shoal.Storage, printed int) (last int) {
	t.Helper()
	require.NoError(t, openIt(t.Context(), st))
	defer func() { require.NoError(t, st.Close()) }()
	last = printed
	if len(scan(t, st, batchSpace(printed+1), nil)) > 0 {
		last++ // committed, but killed before it was printed
	}
	for n := max(1, last-2*batchesKept); n <= last+1; n++ {
		entries := scan(t, st, batchSpace(n), nil)
		if n <= last-batchesKept || n > last {
			require.Empty(t, brief(entries), "batch %d of %d", n, last)
			continue
		}
		require.Len(t, brief(entries), batchKeys(n), "batch %d of %d", n, last)
		for _, e := range entries {
			require.True(t, strings.HasPrefix(e.value, fmt.Sprint(n, " v")) && len(e.value) >= batchValue, "batch %d of %d", n, last)
		}
	}
	if last > 0 {
		state := scan(t, st, "state", nil)
		require.Len(t, state, stateKeys)
		for _, e := range state {
			require.Equal(t, strconv.Itoa(last), e.value, "state after batch %d", last)
		}
	}
	return last
}
