package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// Damage holds a Storage that persists to this: with files that are cut off, that are missing or empty, or in which bits have
// changed, Open, or the Scan of a whole Space, returns an error, or everything that was committed is there. Nothing else is ever
// passed off as what was committed. It is tried with a store that was closed, and with one whose process was killed.
//
// Damage runs the test that calls it in another process, as Crash does.
func Damage(t *testing.T, open func(dir string) shoal.Storage) {
	t.Helper()
	if dir := os.Getenv(crashDir); dir != "" {
		Crash(t, open)
	}
	if testing.Short() {
		t.Skip("hundreds of copies of a store")
	}
	closed := t.TempDir()
	st := open(closed)
	require.NoError(t, openIt(t.Context(), st))
	for n := 1; n <= 12; n++ {
		commit(t, st, crashBatch(n)...)
	}
	require.NoError(t, st.Close())
	t.Run("closed", func(t *testing.T) { damageAll(t, open, closed, 12) })

	killed, last := killedStore(t, open)
	t.Run("killed", func(t *testing.T) { damageAll(t, open, killed, last) })
}

// killedStore returns the files of a process that was killed after Commit had returned for the last
// batch in them. A batch that is there although its Commit had not returned may vanish with damage.
func killedStore(t *testing.T, open func(dir string) shoal.Storage) (dir string, last int) {
	t.Helper()
	dir = t.TempDir()
	for {
		printed := killSoon(t, dir, 0)
		copied := t.TempDir()
		save(t, copied, load(t, dir))
		last = requireBatches(t, open(copied), max(printed, last))
		if last > 0 && last == printed {
			return dir, last
		}
	}
}

// damageAll damages each file of dir, which holds the batches up to last, in each way.
func damageAll(t *testing.T, open func(dir string) shoal.Storage, dir string, last int) {
	noticed, harmless := 0, 0
	whole := load(t, dir)
	for name, f := range whole {
		for _, way := range damages {
			if way.do == nil && len(whole) == 1 {
				continue // without its only file it is a new store
			}
			for seed := range way.times {
				about := fmt.Sprintf("%s, %s, %d", name, way.name, seed)
				broken := t.TempDir()
				save(t, broken, whole)
				require.NoError(t, os.Remove(filepath.Join(broken, name)))
				changed := file{bytes.Clone(f.data), f.size}
				if way.do != nil {
					way.do(&changed, rand.New(rand.NewPCG(uint64(seed), uint64(len(name)))))
					save(t, broken, map[string]file{name: changed})
				}
				if err := useDamaged(t.Context(), open(broken), last); err != nil {
					require.NotErrorIs(t, err, errServed, "%s: damage was passed off as what was committed", about)
					noticed++
				} else {
					harmless++
				}
				require.NoError(t, os.RemoveAll(broken))
			}
		}
	}
	t.Logf("%d kinds of damage noticed, %d without effect", noticed, harmless)
	require.Positive(t, noticed)
}

// file is a file that has zeros behind data, up to its size.
type file struct {
	data []byte
	size int64
}

const page = 4096

// damages change a file; that without a function removes it.
var damages = []struct {
	name  string
	times int
	do    func(f *file, r *rand.Rand)
}{
	{"missing", 1, nil},
	{"empty", 1, func(f *file, _ *rand.Rand) { f.cut(0) }},
	{"cut off", 2, func(f *file, r *rand.Rand) { f.cut(r.Int64N(int64(len(f.data)) + 1)) }},
	{"a byte cut off", 1, func(f *file, _ *rand.Rand) { f.cut(max(0, f.size-1)) }},
	{"a bit flipped", 4, func(f *file, r *rand.Rand) { f.flip(len(f.data), r) }},
	{"a bit at the beginning flipped", 2, func(f *file, r *rand.Rand) { f.flip(page, r) }},
	{"zeros", 2, func(f *file, r *rand.Rand) {
		at := r.IntN(len(f.data) + 1)
		f.clear(at, at+1+r.IntN(5000))
	}},
	{"the first page zeroed", 1, func(f *file, _ *rand.Rand) { f.clear(0, page) }},
	{"the second page zeroed", 1, func(f *file, _ *rand.Rand) { f.clear(page, 2*page) }},
}

func (f *file) cut(size int64) { f.size, f.data = size, f.data[:min(size, int64(len(f.data)))] }

func (f *file) flip(among int, r *rand.Rand) {
	if among = min(among, len(f.data)); among > 0 {
		f.data[r.IntN(among)] ^= 1 << r.IntN(8)
	}
}

func (f *file) clear(from, to int) { clear(f.data[min(from, len(f.data)):min(to, len(f.data))]) }

// load reads the files of a directory.
func load(t *testing.T, dir string) map[string]file {
	t.Helper()
	all := make(map[string]file)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		all[name] = file{bytes.Clone(bytes.TrimRight(content, "\x00")), int64(len(content))}
		return err
	}))
	return all
}

// save writes files to a directory, with holes for their zeros.
func save(t *testing.T, dir string, all map[string]file) {
	t.Helper()
	for name, f := range all {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, f.data, 0o600))
		require.NoError(t, os.Truncate(path, f.size))
	}
}

// errServed is matched by the error for entries that are not what was committed.
var errServed = fmt.Errorf("not what was committed")

// useDamaged opens the Storage and reads all of it. The first error of the Storage is what it returns, or errServed.
func useDamaged(ctx context.Context, st shoal.Storage, last int) error {
	defer func() { _ = st.Close() }()
	if err := openIt(ctx, st); err != nil {
		return err
	}
	served := error(nil)
	for n := last - batchesKept; n <= last+1; n++ {
		count := 0
		err := st.Scan(ctx, batchSpace(n), nil, func(_, value []byte) error {
			count++
			if !strings.HasPrefix(string(value), fmt.Sprint(n, " v")) {
				served = fmt.Errorf("%w: batch %d has %.20q", errServed, n, value)
			}
			return nil
		})
		if err != nil {
			return err
		}
		want := 0
		if n > max(0, last-batchesKept) && n <= last {
			want = batchKeys(n)
		}
		if count != want && served == nil {
			served = fmt.Errorf("%w: batch %d has %d entries in place of %d", errServed, n, count, want)
		}
	}
	count := 0
	err := st.Scan(ctx, "state", nil, func(_, value []byte) error {
		count++
		if string(value) != fmt.Sprint(last) {
			served = fmt.Errorf("%w: state is %.20q after batch %d", errServed, value, last)
		}
		return nil
	})
	if err == nil && count != stateKeys && served == nil {
		served = fmt.Errorf("%w: %d states", errServed, count)
	}
	if err != nil {
		return err
	}
	return served
}
