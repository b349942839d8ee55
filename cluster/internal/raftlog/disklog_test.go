package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/cluster/internal/faults"
	"github.com/shoalmq/shoal/internal/codec"
)

// testMedium does not wait for the disk.
func testMedium() medium {
	m := newMedium(faults.SoundDisk{})
	m.flush = func(*os.File) error { return nil }
	return m
}

func openTestLog(t require.TestingT, dir string) (*diskLog, error) {
	l, end, err := openDiskLog(dir, testMedium(), nil)
	require.NoError(t, err)
	l.full = 200
	return l, end
}

func entryAt(index, term uint64, data string) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: []byte(data), AppendedAt: time.Unix(1, 2)}
}

func entriesAt(index, n uint64) (logs []*raft.Log) {
	for i := range n {
		logs = append(logs, entryAt(index+i, 1, fmt.Sprint("entry ", index+i)))
	}
	return logs
}

// requireLog requires that l has exactly these entries, or, at its beginning, more of those that there once were.
func requireLog(t require.TestingT, l *diskLog, want []*raft.Log, once map[uint64]*raft.Log) {
	first, err := l.FirstIndex()
	require.NoError(t, err)
	last, err := l.LastIndex()
	require.NoError(t, err)
	if len(want) == 0 {
		require.True(t, first == 0 && last == 0 || once[last] != nil)
		return
	}
	require.Equal(t, want[len(want)-1].Index, last)
	require.LessOrEqual(t, first, want[0].Index)
	for i := first; i <= last; i++ {
		expect := once[i]
		if i >= want[0].Index {
			expect = want[i-want[0].Index]
		}
		got := new(raft.Log)
		require.NoError(t, l.GetLog(i, got))
		if got.Index != i || got.Term != expect.Term || got.Type != expect.Type || !bytes.Equal(got.Data, expect.Data) || !got.AppendedAt.Equal(expect.AppendedAt) {
			require.Equal(t, expect, got)
		}
	}
	for _, i := range []uint64{0, first - 1, last + 1} {
		require.ErrorIs(t, l.GetLog(i, new(raft.Log)), raft.ErrLogNotFound)
	}
}

// TestDiskLogModel holds that the log does what a slice of entries does, over restarts, too.
func TestDiskLogModel(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		l, _ := openTestLog(t, dir)
		defer func() { require.NoError(t, l.Close()) }()
		var model []*raft.Log
		once := make(map[uint64]*raft.Log) // what was trimmed off
		next, term := uint64(1), uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { requireLog(t, l, model, once) },
			"store": func(t *rapid.T) {
				var logs []*raft.Log
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					e := entryAt(next, term, strings.Repeat("x", rapid.IntRange(0, 60).Draw(t, "size")))
					logs = append(logs, e)
					next++
				}
				require.NoError(t, l.StoreLogs(logs))
				model = append(model, logs...)
			},
			"trim": func(t *rapid.T) {
				if len(model) < 2 {
					t.Skip("too short")
				}
				n := rapid.IntRange(1, len(model)-1).Draw(t, "n")
				for _, e := range model[:n] {
					once[e.Index] = e
				}
				first, err := l.FirstIndex() // as raft does
				require.NoError(t, err)
				require.NoError(t, l.DeleteRange(first, model[n-1].Index))
				model = model[n:]
			},
			"cut": func(t *rapid.T) {
				if len(model) < 2 {
					t.Skip("too short")
				}
				n := rapid.IntRange(1, len(model)-1).Draw(t, "n")
				require.NoError(t, l.DeleteRange(model[n].Index, model[len(model)-1].Index))
				model = model[:n:n]
				next, term = model[n-1].Index+1, term+1
			},
			"gap": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				next += 1000
				e := entryAt(next, term, "after a snapshot")
				require.NoError(t, l.StoreLog(e))
				model, once = []*raft.Log{e}, make(map[uint64]*raft.Log)
				next++
			},
			"empty": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				first, err := l.FirstIndex()
				require.NoError(t, err)
				require.NoError(t, l.DeleteRange(first, next))
				model, once = nil, make(map[uint64]*raft.Log)
				last, err := l.LastIndex()
				require.NoError(t, err)
				require.Zero(t, last)
			},
			"reopen": func(t *rapid.T) {
				require.NoError(t, l.Close())
				var end error
				l, end = openTestLog(t, dir)
				require.NoError(t, end)
			},
			"kill": func(t *rapid.T) { // what another process finds while this one's files are open
				other, end := openTestLog(t, dir)
				require.NoError(t, end)
				requireLog(t, other, model, once)
				for _, s := range other.segments {
					require.NoError(t, s.file.Close())
				}
			},
		})
	})
}

// TestDiskLogTornEnd holds that an entry that was not written to its end, or not as it should be, is cut off, at whatever byte, and that the
// log goes on from there.
func TestDiskLogTornEnd(t *testing.T) {
	dir := t.TempDir()
	l, _ := openTestLog(t, dir)
	l.full = segmentBytes
	require.NoError(t, l.StoreLogs(entriesAt(1, 3)))
	from, to := l.tail().bounds(3)
	path := l.tail().path
	require.NoError(t, l.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, whole, int(to))
	damaged := make(map[string][]byte)
	for n := from + 1; n < to; n++ {
		damaged[fmt.Sprint("cut at ", n)] = whole[:n]
	}
	spoilt := make(map[string]bool) // those that have their whole length
	for n := from; n < to; n++ {
		b := bytes.Clone(whole)
		b[n] ^= 0x40
		name := fmt.Sprint("changed at ", n)
		damaged[name] = b
		spoilt[name] = n == from || n >= from+4 // a length that is too large for any entry, or is right
	}
	damaged["zeros"] = append(bytes.Clone(whole[:from]), make([]byte, to-from+500)...)
	for name, b := range damaged {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		l, end := openTestLog(t, dir)
		require.True(t, isEnd(end), name)
		require.Equal(t, spoilt[name], errors.Is(end, errSpoilt), name)
		requireLog(t, l, entriesAt(1, 2), nil)
		again := entryAt(3, 2, "another third")
		require.NoError(t, l.StoreLog(again))
		require.NoError(t, l.Close())
		l, end = openTestLog(t, dir)
		require.NoError(t, end, name)
		requireLog(t, l, append(entriesAt(1, 2), again), nil)
		require.NoError(t, l.Close())
	}
	// A new segment whose first bytes are missing was not there yet.
	next := filepath.Join(dir, fmt.Sprintf("%020d%s", 4, segmentSuffix))
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	require.NoError(t, os.WriteFile(next, []byte(segmentMagic[:3]), 0o600))
	l, end := openTestLog(t, dir)
	require.ErrorIs(t, end, errTorn)
	requireLog(t, l, entriesAt(1, 3), nil)
	require.NoError(t, l.StoreLogs(entriesAt(4, 1)))
	requireLog(t, l, entriesAt(1, 4), nil)
	require.NoError(t, l.Close())
}

// TestDiskLogDamage holds that a log that has lost what was on the disk is not taken for a shorter one.
func TestDiskLogDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, segments []string){
		"an entry in the middle": func(t *testing.T, segments []string) {
			b, err := os.ReadFile(segments[1])
			require.NoError(t, err)
			b[segmentHeader+recordHeader] ^= 1
			require.NoError(t, os.WriteFile(segments[1], b, 0o600))
		},
		"a segment cut off": func(t *testing.T, segments []string) { require.NoError(t, os.Truncate(segments[1], segmentHeader)) },
		"a segment missing": func(t *testing.T, segments []string) { require.NoError(t, os.Remove(segments[1])) },
		"a wrong name": func(t *testing.T, segments []string) {
			require.NoError(t, os.Rename(segments[2], segments[2][:len(segments[2])-5]+"9"+segmentSuffix))
		},
		"another file": func(t *testing.T, segments []string) {
			require.NoError(t, os.WriteFile(segments[0], make([]byte, 300), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, _ := openTestLog(t, dir)
			for i := range uint64(40) {
				require.NoError(t, l.StoreLogs(entriesAt(i+1, 1)))
			}
			var paths []string
			for _, s := range l.segments {
				paths = append(paths, s.path)
			}
			require.Greater(t, len(paths), 3)
			require.NoError(t, l.Close())
			damage(t, paths)
			_, _, err := openDiskLog(dir, newMedium(faults.SoundDisk{}), nil)
			require.NotNil(t, asDamage(err))
			require.Contains(t, asDamage(err).file, segmentSuffix, "which file it is")
		})
	}
}

// TestDiskLogWaitsForDisk holds that what asks for the disk is there when StoreLogs returns, with everything before it, and the rest soon.
func TestDiskLogWaitsForDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := openTestLog(t, t.TempDir())
		var mu sync.Mutex
		flushed := int64(0) // the size of the file when the disk was last waited for
		l.on.flush = func(f *os.File) error {
			mu.Lock()
			defer mu.Unlock()
			info, err := f.Stat()
			if !info.IsDir() {
				flushed = info.Size()
			}
			return err
		}
		behind := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return flushed < l.tail().size()
		}
		plain := func(index uint64) *raft.Log {
			return entryAt(index, 1, string(appendBatchHead(nil, batchHead{node: "a", first: 1, count: 1})))
		}
		require.NoError(t, l.StoreLog(plain(1)))
		require.True(t, behind())
		time.Sleep(2 * syncDelay)
		require.False(t, behind(), "the disk has it soon")
		stable := entryAt(3, 1, string(appendBatchHead(nil, batchHead{node: "a", first: 1, count: 1, stable: true})))
		require.NoError(t, l.StoreLogs([]*raft.Log{plain(2), stable}))
		require.False(t, behind())
		require.NoError(t, l.StoreLog(plain(4)))
		require.NoError(t, l.StoreLog(&raft.Log{Index: 5, Type: raft.LogConfiguration, Data: []byte("x")}))
		require.False(t, behind(), "who is in the cluster must be known again")
		require.NoError(t, l.StoreLog(plain(6)))
		require.NoError(t, l.Close())
		require.False(t, behind())
	})
}

// TestDiskLogFails holds that a log whose disk has failed takes nothing more, rather than forget what it was given.
func TestDiskLogFails(t *testing.T) {
	l, _ := openTestLog(t, t.TempDir())
	require.NoError(t, l.StoreLogs(entriesAt(1, 2)))
	s := l.tail()
	readOnly, err := os.Open(s.path)
	require.NoError(t, err)
	file := s.file
	s.file = readOnly
	require.ErrorIs(t, l.StoreLogs(entriesAt(3, 1)), errBroken)
	s.file = file
	require.ErrorIs(t, l.StoreLogs(entriesAt(3, 1)), errBroken)
	requireLog(t, l, entriesAt(1, 2), nil)
	require.NoError(t, l.Close())
	require.NoError(t, readOnly.Close())
	require.ErrorIs(t, l.StoreLogs(entriesAt(3, 1)), os.ErrClosed)
}

// TestDiskLogFlushFails holds that after an error of the disk's nothing counts as stored any more: nobody knows what it has.
func TestDiskLogFlushFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, wait := range map[string]bool{"waited for": true, "later": false} {
			l, _ := openTestLog(t, t.TempDir())
			broken := errors.New("broken disk")
			l.on.flush = func(f *os.File) error {
				if filepath.Ext(f.Name()) == segmentSuffix {
					return broken
				}
				return nil
			}
			e := entryAt(1, 1, string(appendBatchHead(nil, batchHead{node: "a", first: 1, count: 1, stable: wait})))
			err := l.StoreLog(e)
			if wait {
				require.ErrorIs(t, err, broken, name)
			} else {
				require.NoError(t, err, name)
				time.Sleep(2 * syncDelay)
			}
			err = l.StoreLogs(entriesAt(2, 1))
			require.ErrorIs(t, err, errBroken, name)
			require.ErrorIs(t, err, broken, name)
			require.ErrorIs(t, l.DeleteRange(1, 1), errBroken, name)
			require.NoError(t, l.Close())
		}
	})
}

// TestTakeOver holds that votes and log of an earlier version are moved, once, also if that was interrupted.
func TestTakeOver(t *testing.T) {
	for name, already := range map[string]uint64{"at once": 0, "interrupted": 2} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db, err := bbolt.Open(filepath.Join(dir, oldVotesFile), 0o600, nil)
			require.NoError(t, err)
			require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucket(oldBucketLog)
				require.NoError(t, err)
				for _, e := range entriesAt(1, 3) {
					require.NoError(t, b.Put(codec.AppendFixed64(nil, e.Index), appendLogRecord(nil, e)))
				}
				b, err = tx.CreateBucket(oldBucketStable)
				require.NoError(t, err)
				return b.Put([]byte(keyCurrentTerm), codec.AppendFixed64(nil, 17))
			}))
			require.NoError(t, db.Close())
			l, _ := openTestLog(t, filepath.Join(dir, logDir))
			require.NoError(t, l.StoreLogs(entriesAt(1, already)))
			require.NoError(t, l.Close())
			for range 2 {
				s, err := openStores(dir, faults.SoundDisk{}, slog.New(slog.DiscardHandler))
				require.NoError(t, err)
				require.False(t, s.rebuilding || s.forgetful)
				for _, want := range entriesAt(1, 3) {
					got := new(raft.Log)
					require.NoError(t, s.logs.GetLog(want.Index, got))
					require.Equal(t, want.Data, got.Data)
				}
				term, err := s.stable.GetUint64([]byte(keyCurrentTerm))
				require.NoError(t, err)
				require.Equal(t, uint64(17), term)
				require.NoError(t, s.close())
				require.NoFileExists(t, filepath.Join(dir, oldVotesFile))
			}
		})
	}
}

// FuzzSegment holds that no bytes on a disk make a segment panic, and that what it takes from them is what was written.
func FuzzSegment(f *testing.F) {
	head := codec.AppendFixed64([]byte(segmentMagic), 1)
	whole := slices.Clone(head)
	for _, e := range entriesAt(1, 3) {
		whole = appendRecord(whole, e)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(head[:5])
	f.Add(append(slices.Clone(head), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &segment{first: 1}
		_ = s.scan(data)
		for i := range s.ends {
			from, to := s.bounds(uint64(i) + 1)
			require.LessOrEqual(t, to, int64(len(data)))
			body, err := readRecord(io.NewSectionReader(bytes.NewReader(data), from, to-from), nil)
			require.NoError(t, err)
			log := new(raft.Log)
			if readLogRecord(body, log) == nil {
				again := new(raft.Log)
				require.NoError(t, readLogRecord(appendLogRecord(nil, log), again))
				require.Equal(t, log, again)
			}
		}
	})
}

func BenchmarkStoreLogs(b *testing.B) {
	for name, stable := range map[string]bool{"quorum": false, "fsync": true} {
		b.Run(name, func(b *testing.B) {
			l, _, err := openDiskLog(b.TempDir(), newMedium(faults.SoundDisk{}), nil)
			require.NoError(b, err)
			data := appendBatchHead(nil, batchHead{node: "a", first: 1, count: 1, stable: stable})
			data = append(data, make([]byte, 15<<10)...)
			b.SetBytes(int64(len(data)))
			for i := uint64(1); b.Loop(); i++ {
				require.NoError(b, l.StoreLog(&raft.Log{Index: i, Type: raft.LogCommand, Data: data}))
			}
			require.NoError(b, l.Close())
		})
	}
}
