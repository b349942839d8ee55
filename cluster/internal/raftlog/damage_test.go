package raftlog

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

const testTerm = 7

func openTestStores(t testing.TB, dir string, log *bytes.Buffer) (*stores, error) {
	t.Helper()
	w := io.Discard
	if log != nil {
		w = log
	}
	return openStores(dir, faults.SoundDisk{}, slog.New(slog.NewTextHandler(w, nil)))
}

func voters(names ...string) raft.Configuration {
	var c raft.Configuration
	for _, n := range names {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(n), Address: raft.ServerAddress(n)})
	}
	return c
}

// testData makes a Dir with votes, snapshots up to entry 20, and a log of several segments up to 40, and closes it, or leaves it as a killed process does.
func testData(t testing.TB, closed bool, c raft.Configuration) string {
	t.Helper()
	dir := quickDir(t)
	v, _, err := openVotes(dir)
	require.NoError(t, err)
	require.NoError(t, v.SetUint64([]byte(keyCurrentTerm), testTerm))
	require.NoError(t, v.SetUint64([]byte(keyCluster), 99))
	l, _, err := openDiskLog(filepath.Join(dir, logDir), testMedium(), v)
	require.NoError(t, err)
	l.full = 150
	snapshots, err := openSnapshots(dir, faults.SoundDisk{}, hclog.NewNullLogger())
	require.NoError(t, err)
	for i := uint64(1); i <= 40; i++ {
		e := entryAt(i, testTerm, fmt.Sprint("entry ", i))
		if i == 1 || i == 30 {
			e.Type, e.Data = raft.LogConfiguration, raft.EncodeConfiguration(c)
		}
		require.NoError(t, l.StoreLog(e))
		if i%10 == 0 && i <= 20 {
			_, trans := raft.NewInmemTransport("")
			sink, err := snapshots.Create(1, i, testTerm, c, 1, trans)
			require.NoError(t, err)
			_, err = fmt.Fprint(sink, "state at ", i)
			require.NoError(t, err)
			require.NoError(t, sink.Close())
		}
	}
	require.NoError(t, l.DeleteRange(1, 15))
	if closed {
		require.NoError(t, l.Close())
		return dir
	}
	copied := filepath.Join(quickDir(t), "copy")
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	require.NoError(t, l.Close())
	return copied
}

// quickDir is a temporary directory, in memory if there is one there: what the disk keeps is not what is tested.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "raftlog")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// dataFiles returns the files that make up a node's data.
func dataFiles(t testing.TB, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && name != lockFile {
			files = append(files, name)
		}
		return err
	}))
	require.Greater(t, len(files), 4)
	return files
}

// requireWhole requires that a node has what testData has written, up to an entry.
func requireWhole(t testing.TB, s *stores, last uint64, what string) {
	t.Helper()
	term, err := s.stable.GetUint64([]byte(keyCurrentTerm))
	require.NoError(t, err, what)
	require.Equal(t, uint64(testTerm), term, what)
	end, err := s.logs.LastIndex()
	require.NoError(t, err, what)
	require.Equal(t, last, end, what)
	for i := uint64(21); i <= last; i++ {
		var e raft.Log
		require.NoError(t, s.logs.GetLog(i, &e), what)
		if e.Type == raft.LogCommand {
			require.Equal(t, fmt.Sprint("entry ", i), string(e.Data), what)
		}
		require.Equal(t, uint64(testTerm), e.Term, what)
	}
	all, err := s.snapshots.List()
	require.NoError(t, err, what)
	require.Equal(t, uint64(20), all[0].Index, what)
	_, r, err := s.snapshots.Open(all[0].ID)
	require.NoError(t, err, what)
	state, err := io.ReadAll(r)
	require.NoError(t, err, what)
	require.Equal(t, "state at 20", string(state), what)
	require.NoError(t, r.Close())
}

// requireRebuilding requires that a node begins with nothing but what must not be forgotten, and has said which file is damaged.
func requireRebuilding(t testing.TB, dir string, s *stores, said, file, what string) {
	t.Helper()
	require.True(t, s.rebuilding, what)
	last, err := s.logs.LastIndex()
	require.NoError(t, err, what)
	require.Zero(t, last, what)
	all, err := s.snapshots.List()
	require.NoError(t, err, what)
	require.Empty(t, all, what)
	require.Contains(t, said, "is damaged", what)
	require.DirExists(t, filepath.Join(dir, asideDir), what)
	if file != votesFile {
		id, err := s.stable.GetUint64([]byte(keyCluster))
		require.NoError(t, err, what)
		require.Equal(t, uint64(99), id, what)
	}
}

// change is one that is made to a file.
type fileChange struct {
	what string
	do   func(b []byte) []byte
}

// changesOf returns flips of bits everywhere, changed and lost stretches, and a cut at every byte.
func changesOf(rng *rand.Rand, size int) (all []fileChange) {
	for at := range size {
		bit := byte(1) << rng.IntN(8)
		all = append(all, fileChange{fmt.Sprintf("bit %#x at %d", bit, at), func(b []byte) []byte { b[at] ^= bit; return b }},
			fileChange{fmt.Sprint("cut at ", at), func(b []byte) []byte { return b[:at] }})
	}
	for range 20 {
		from := rng.IntN(size)
		to := from + 1 + rng.IntN(size-from)
		all = append(all, fileChange{fmt.Sprintf("zeros from %d to %d", from, to), func(b []byte) []byte { clear(b[from:to]); return b }},
			fileChange{fmt.Sprintf("%d to %d are missing", from, to), func(b []byte) []byte { return append(b[:from], b[to:]...) }})
	}
	return all
}

// Whatever a disk does to any file of a node that was closed is noticed when it is opened: a bit that flips, bytes that are lost, a file that is missing. The node begins
// anew then, and has what must not be forgotten if that is well.
func TestDamageIsNoticed(t *testing.T) {
	dir := testData(t, true, voters("c01", "c02", "c03"))
	segments, err := segmentFiles(filepath.Join(dir, logDir))
	require.NoError(t, err)
	require.Greater(t, len(segments), 2)
	second, _ := segmentIndex(segments[1])
	require.LessOrEqual(t, second, uint64(21))
	oldest := filepath.Join(logDir, segments[0])
	rng := rand.New(rand.NewPCG(1, 2))
	for _, file := range dataFiles(t, dir) {
		t.Run(file, func(t *testing.T) {
			whole, err := os.ReadFile(filepath.Join(dir, file))
			require.NoError(t, err)
			changes := append(changesOf(rng, len(whole)), fileChange{"it is missing", nil})
			base := quickDir(t)
			for i, change := range changes {
				if testing.Short() && i%7 != 0 {
					continue
				}
				damaged := filepath.Join(base, fmt.Sprint(i))
				require.NoError(t, os.CopyFS(damaged, os.DirFS(dir)))
				if change.do == nil {
					require.NoError(t, os.Remove(filepath.Join(damaged, file)))
				} else if b := change.do(bytes.Clone(whole)); bytes.Equal(b, whole) {
					continue // zeros where there were zeros
				} else {
					require.NoError(t, os.WriteFile(filepath.Join(damaged, file), b, 0o600))
				}
				var said bytes.Buffer
				s, err := openTestStores(t, damaged, &said)
				require.NoError(t, err, change.what)
				switch {
				case change.do == nil && filepath.Base(file) == sumFile: // as if the node had been killed before it was written
					requireWhole(t, s, 40, change.what)
				case change.do == nil && file == oldest: // the snapshot has all of it
					requireWhole(t, s, 40, change.what)
				case strings.HasPrefix(file, filepath.Join(snapshotsDir, "7-10-")):
					require.Contains(t, said.String(), "a snapshot is damaged", change.what)
					requireWhole(t, s, 40, change.what)
				case strings.HasPrefix(file, snapshotsDir) && !s.rebuilding:
					require.Fail(t, "the newest snapshot is damaged, and not missed", change.what)
				default:
					requireRebuilding(t, damaged, s, said.String(), file, change.what)
				}
				require.NoError(t, s.close())
				require.NoError(t, os.RemoveAll(damaged))
			}
		})
	}
}

// After a kill nothing says how far the log went. An end that was not written is cut off, and no more than that; one that is there and wrong, too, and then the node
// votes only when it has caught up. Everything before the end is noticed as ever.
func TestDamageAfterKill(t *testing.T) {
	dir := testData(t, false, voters("c01", "c02", "c03"))
	files, err := segmentFiles(filepath.Join(dir, logDir))
	require.NoError(t, err)
	file := filepath.Join(logDir, files[len(files)-1])
	whole, err := os.ReadFile(filepath.Join(dir, file))
	require.NoError(t, err)
	var ends []int
	for at := int(segmentHeader); at < len(whole); {
		n, err := checkRecord(whole[at:])
		require.NoError(t, err)
		at += n
		ends = append(ends, at)
	}
	lastBegins := ends[len(ends)-2]
	rng := rand.New(rand.NewPCG(3, 4))
	base := quickDir(t)
	try := func(what string, b []byte, check func(s *stores, said, dir string)) {
		t.Helper()
		damaged := filepath.Join(base, "one")
		require.NoError(t, os.CopyFS(damaged, os.DirFS(dir)))
		require.NoError(t, os.WriteFile(filepath.Join(damaged, file), b, 0o600))
		var said bytes.Buffer
		s, err := openTestStores(t, damaged, &said)
		require.NoError(t, err, what)
		check(s, said.String(), damaged)
		require.NoError(t, s.close())
		require.NoError(t, os.RemoveAll(damaged))
	}
	for at := int(segmentHeader); at < len(whole); at++ {
		what := fmt.Sprint("cut at ", at)
		last := uint64(40 - len(ends))
		atEnd := at == int(segmentHeader)
		for _, end := range ends {
			if end <= at {
				last++
			}
			atEnd = atEnd || end == at
		}
		try(what, whole[:at:at], func(s *stores, said, _ string) {
			require.False(t, s.rebuilding, what)
			require.Equal(t, !atEnd, strings.Contains(said, "not written completely"), what)
			if last > 20 {
				requireWhole(t, s, last, what)
			}
		})
		b := bytes.Clone(whole)
		b[at] ^= 1 << rng.IntN(8)
		what = fmt.Sprint("flipped at ", at)
		try(what, b, func(s *stores, said, dir string) {
			switch {
			case at < lastBegins:
				requireRebuilding(t, dir, s, said, file, what)
			case at < lastBegins+4: // its length
				require.True(t, s.forgetful || strings.Contains(said, "not written completely"), what)
				requireWhole(t, s, 39, what)
			default:
				require.True(t, s.forgetful, what)
				require.Contains(t, said, "level=ERROR", what)
				requireWhole(t, s, 39, what)
			}
		})
	}
}

// What is missing as a whole is noticed, too.
func TestMissingData(t *testing.T) {
	for _, tt := range []struct {
		what string
		do   func(t *testing.T, dir string)
		said string
	}{
		{"votes", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, votesFile))) }, "for whom this node has voted"},
		{"votes are empty", func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, votesFile), 0)) }, votesFile},
		{"log", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, logDir))) }, "up to 40"},
		{"snapshots", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, snapshotsDir))) }, "neither the log nor a snapshot"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := testData(t, true, voters("c01", "c02", "c03"))
			tt.do(t, dir)
			for range 2 { // over a restart, too
				var said bytes.Buffer
				s, err := openTestStores(t, dir, &said)
				require.NoError(t, err)
				require.True(t, s.rebuilding)
				if tt.said != "" {
					require.Contains(t, said.String(), tt.said)
				}
				tt.said = ""
				require.NoError(t, s.close())
			}
			text, err := os.ReadFile(filepath.Join(dir, rebuildFile))
			require.NoError(t, err)
			require.Contains(t, string(text), dir)
			require.NoError(t, rebuilt(dir))
			s, err := openTestStores(t, dir, nil)
			require.NoError(t, err)
			require.False(t, s.rebuilding)
			require.NoError(t, s.close())
		})
	}
}

// A node that is alone has nobody to get its data from: it does not begin anew, and says what to do.
func TestDamageOfTheOnlyVoter(t *testing.T) {
	dir := testData(t, true, voters("c01"))
	require.NoError(t, os.Truncate(filepath.Join(dir, votesFile), 3))
	for range 2 {
		_, err := openTestStores(t, dir, nil)
		require.ErrorIs(t, err, ErrDamaged)
		require.ErrorContains(t, err, votesFile)
		require.ErrorContains(t, err, "backup")
	}
	require.NoDirExists(t, filepath.Join(dir, asideDir))
}

// The end of the log is known after a cut, too: what another leader has replaced is not missed.
func TestLogEndAfterCut(t *testing.T) {
	dir := testData(t, true, voters("c01", "c02", "c03"))
	s, err := openTestStores(t, dir, nil)
	require.NoError(t, err)
	require.NoError(t, s.logs.DeleteRange(31, 40))
	copied := t.TempDir() // it is killed here
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	require.NoError(t, s.close())
	for _, d := range []string{copied, dir} {
		s, err = openTestStores(t, d, nil)
		require.NoError(t, err)
		require.False(t, s.rebuilding || s.forgetful)
		requireWhole(t, s, 30, d)
		require.NoError(t, s.close())
	}
}

// An entry that cannot be read while raft runs does not end the process: the node stands still.
func TestUnreadableEntry(t *testing.T) {
	l := openGuarded(t, faults.SoundDisk{})
	require.NoError(t, l.StoreLogs(entriesAt(1, 3)))
	f, err := os.OpenFile(l.tail().path, os.O_RDWR, 0)
	require.NoError(t, err)
	from, _ := l.tail().bounds(2)
	_, err = f.WriteAt([]byte{0xff}, from+recordHeader+3)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	read := make(chan error)
	var e raft.Log
	go func() { read <- l.GetLog(2, &e) }()
	for l.fitness.trouble() == nil {
		select {
		case err := <-read:
			t.Fatal("it was read: ", err)
		default:
		}
	}
	l.fitness.retry()
	require.Error(t, l.fitness.trouble(), "it does not get well by itself")
	close(l.fitness.closing)
	require.NoError(t, <-read)
	require.Equal(t, raft.LogNoop, e.Type)
}

// FuzzVotes holds that no bytes on a disk make reading the votes panic, and that what is read is what was written.
func FuzzVotes(f *testing.F) {
	f.Add(encodeVotes(map[string][]byte{"a": {1, 2}, "b": nil}))
	f.Add([]byte(votesMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := decodeVotes(b)
		if err != nil {
			return
		}
		again, err := decodeVotes(encodeVotes(values))
		require.NoError(t, err)
		require.Equal(t, values, again)
	})
}
