package bolt_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestDamagedFilesAreReported(t *testing.T) {
	storagetest.Damage(t, func(dir string) shoal.Storage { return bolt.Open(filepath.Join(dir, "mqtt.db"), bolt.WithNoSync()) })
}

// A damaged file gives errors, never a panic or a hang.
func TestDamagedFile(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "mqtt.db")
	s := opened(t, whole)
	var ops []shoal.Op
	for i := range 5000 {
		ops = append(ops, one(fmt.Sprint("s", i%10), fmt.Sprintf("key %05d", i), fmt.Sprintf("value %0100d", i))...)
	}
	require.NoError(t, s.Commit(t.Context(), ops))
	require.NoError(t, s.Commit(t.Context(), []shoal.Op{{Space: "s0"}}))
	require.NoError(t, s.Close())
	good, err := os.ReadFile(whole)
	require.NoError(t, err)
	const page = 4096

	damages := map[string]func(b []byte) []byte{
		"a byte":         func(b []byte) []byte { return b[:1] },
		"half":           func(b []byte) []byte { return b[:len(b)/2] },
		"two pages":      func(b []byte) []byte { return b[:2*page] },
		"no meta pages":  func(b []byte) []byte { clear(b[:2*page]); return b },
		"zeros":          func(b []byte) []byte { clear(b[2*page:]); return b },
		"page of ones":   func(b []byte) []byte { fill(b[4*page:6*page], 0xff); return b },
		"all ones":       func(b []byte) []byte { fill(b[2*page:], 0xff); return b },
		"shifted a byte": func(b []byte) []byte { copy(b[2*page+1:], b[2*page:]); return b },
	}
	for seed := range uint64(10) {
		damages[fmt.Sprint("random bytes ", seed)] = func(b []byte) []byte {
			r := rand.New(rand.NewPCG(seed, 0))
			for range 2000 {
				b[2*page+r.IntN(len(b)-2*page)] = byte(r.Uint32())
			}
			return b
		}
		damages[fmt.Sprint("page headers ", seed)] = func(b []byte) []byte {
			r := rand.New(rand.NewPCG(seed, 1))
			for at := 2 * page; at+16 <= len(b); at += page {
				b[at+r.IntN(16)] = byte(r.Uint32())
			}
			return b
		}
	}
	failures := 0
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mqtt.db")
			require.NoError(t, os.WriteFile(path, damage(append([]byte(nil), good...)), 0o600))
			if err := useAll(t, path); err != nil {
				failures++
				require.ErrorContains(t, err, path)
			} else if name[0] != 'r' && name[:4] != "page" {
				t.Error("this damage was not noticed")
			}
		})
	}
	require.Greater(t, failures, len(damages)/2)
}

// A file without content is not a new one, and one of the two first pages is not enough.
func TestLossIsReportedWithAdvice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	err := bolt.Open(path).Open(t.Context())
	require.ErrorIs(t, err, bolt.ErrDamaged)
	require.ErrorContains(t, err, "it has 0 bytes")
	require.ErrorContains(t, err, "restore a copy of the file, or move it away")
	require.NoError(t, os.Remove(path))

	for page := range 2 {
		s := opened(t, path)
		for i := range 10 {
			require.NoError(t, s.Commit(t.Context(), one("s", fmt.Sprint(i), "v")))
		}
		require.NoError(t, s.Close())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		clear(content[page*4096 : (page+1)*4096])
		require.NoError(t, os.WriteFile(path, content, 0o600))
		err = bolt.Open(path).Open(t.Context())
		require.ErrorIs(t, err, bolt.ErrDamaged)
		require.ErrorContains(t, err, "the last commit may be missing")
		require.NoError(t, opened(t, path, bolt.WithAcceptLoss()).Close())
		require.NoError(t, opened(t, path).Close(), "opened once, it is whole again")
	}
}

// A file of the format before this one, which had no sums, is read and gets them.
func TestOlderFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("s"))
		require.NoError(t, err)
		return bucket.Put([]byte("k"), []byte("value"))
	}))
	require.NoError(t, db.Close())
	s := opened(t, path)
	require.Equal(t, map[string]int{"value": 1}, values(t, s, "s"))
	require.NoError(t, s.Commit(t.Context(), one("s", "k2", "value")))
	require.NoError(t, s.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte("value"), []byte("VALUE")), 0o600))
	require.ErrorIs(t, bolt.Open(path).Open(t.Context()), bolt.ErrDamaged)
}

// comqtt's programs keep their sessions in a file of bbolt, too, and their configuration files name it.
func TestFileOfComqttIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comqtt.db")
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("__storm_db"))
		return err
	}))
	require.NoError(t, db.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.ErrorIs(t, bolt.Open(path).Open(t.Context()), bolt.ErrForeign)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestNewerFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	require.NoError(t, opened(t, path).Close())
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return b.Put([]byte("version"), []byte{9}) })
	}))
	require.NoError(t, db.Close())
	err = bolt.Open(path).Open(t.Context())
	require.ErrorIs(t, err, bolt.ErrNewerFormat)
	require.ErrorContains(t, err, "has format 9, and this program knows 2")
}

// After a panic of bbolt nothing but Close is tried again.
func TestDamagedStoreStaysFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	s := opened(t, path)
	for i := range 100 {
		require.NoError(t, s.Commit(t.Context(), one("s", fmt.Sprint(i), fmt.Sprintf("%01000d", i))))
	}
	require.NoError(t, s.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	fill(content[2*4096:], 0xff)
	require.NoError(t, os.WriteFile(path, content, 0o600))

	s = bolt.Open(path, bolt.WithNoSync())
	require.ErrorIs(t, s.Open(t.Context()), bolt.ErrDamaged)
	require.ErrorIs(t, s.Open(t.Context()), bolt.ErrDamaged)
	require.ErrorIs(t, s.Commit(t.Context(), one("s", "k", "v")), bolt.ErrDamaged)
	require.ErrorIs(t, s.Scan(t.Context(), "s", nil, none), bolt.ErrDamaged)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Commit(t.Context(), nil), shoal.ErrStorageClosed)
}

// The file is cut off while it is open: reading behind its end is a memory fault.
func TestFileTruncatedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.db")
	s := opened(t, path)
	for i := range 100 {
		require.NoError(t, s.Commit(t.Context(), one("s", fmt.Sprint(i), fmt.Sprintf("%01000d", i))))
	}
	require.NoError(t, os.Truncate(path, 2*4096))
	require.ErrorIs(t, s.Scan(t.Context(), "s", nil, none), bolt.ErrDamaged)
	require.ErrorIs(t, s.Commit(t.Context(), one("s", "k", "v")), bolt.ErrDamaged)
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// useAll opens the file and reads and writes all over it. It returns the first error.
func useAll(t *testing.T, path string) (first error) {
	s := bolt.Open(path, bolt.WithNoSync())
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	note(s.Open(t.Context()))
	for range 2 {
		for i := range 10 {
			space := fmt.Sprint("s", i)
			note(s.Scan(t.Context(), space, nil, none))
			note(s.Commit(t.Context(), one(space, "key 00011", "new")))
			note(s.Commit(t.Context(), []shoal.Op{{Space: space, Key: []byte("key 04000")}, {Space: space}}))
		}
	}
	note(s.Close())
	return first
}
