package storagetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// Entries is the environment variable that says how many retained messages BenchmarkSize stores, and a tenth of it how many
// sessions of ten messages; without it that is 20,000.
const Entries = "SHOAL_TEST_ENTRIES"

// BenchmarkSize reports what a Storage in a directory takes: bytes on the disk, beside the bytes of the entries, with many
// retained messages and sessions, and after all of them were changed three times and half was deleted; and how long it takes to
// open such a store and to read all of it.
func BenchmarkSize(b *testing.B, open func(dir string) shoal.Storage) {
	retained := 20_000
	if text := os.Getenv(Entries); text != "" {
		var err error
		retained, err = strconv.Atoi(text)
		require.NoError(b, err, Entries)
	}
	sessions := retained / 10
	for b.Loop() {
		dir := b.TempDir()
		st := open(dir)
		require.NoError(b, openIt(b.Context(), st))
		began := time.Now()
		for round := range 4 {
			write(b, st, retained, sessions, round)
			if round == 0 {
				b.ReportMetric(float64(retained+10*sessions)/time.Since(began).Seconds(), "entries/s")
				b.ReportMetric(float64(onDisk(b, dir))/1e6, "MB-filled")
			}
		}
		for i := 0; i < sessions; i += 2 {
			commit(b, st, drop(sessionSpace(i)), del("retained", topic(2*i)), del("retained", topic(2*i+1)))
		}
		require.NoError(b, st.Close())
		b.ReportMetric(float64(onDisk(b, dir))/1e6, "MB-churned")

		began = time.Now()
		st = open(dir)
		require.NoError(b, openIt(b.Context(), st))
		b.ReportMetric(time.Since(began).Seconds(), "s-open")
		count := 0
		for _, space := range append([]string{"retained"}, spaces(sessions)...) {
			require.NoError(b, st.Scan(b.Context(), space, nil, func([]byte, []byte) error { count++; return nil }))
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-open-and-read")
		require.Equal(b, retained-2*((sessions+1)/2)+10*(sessions/2), count)
		require.NoError(b, st.Close())
	}
}

// write commits all entries, in Commits of a thousand.
func write(b *testing.B, st shoal.Storage, retained, sessions, round int) {
	var ops []shoal.Op
	add := func(op shoal.Op) {
		if ops = append(ops, op); len(ops) == 1000 {
			commit(b, st, ops...)
			ops = ops[:0]
		}
	}
	value := fmt.Sprintf("%0100d", round)
	for i := range retained {
		add(put("retained", topic(i), value))
	}
	for i := range sessions {
		for j := range 10 {
			add(put(sessionSpace(i), fmt.Sprintf("q%08d", j), value))
		}
	}
	commit(b, st, ops...)
}

func topic(i int) string        { return fmt.Sprintf("building/%05d/sensor/%07d", i%1000, i) }
func sessionSpace(i int) string { return fmt.Sprintf("session/client-%07d", i) }
func spaces(n int) (all []string) {
	for i := range n {
		all = append(all, sessionSpace(i))
	}
	return all
}

// onDisk is how much the files of a directory take, without holes.
func onDisk(b *testing.B, dir string) (size int64) {
	b.Helper()
	require.NoError(b, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			size += stat.Blocks * 512
		}
		return nil
	}))
	return size
}
