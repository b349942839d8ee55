package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/internal/codec"
)

// votes keeps in a small file what raft must never forget: for whom it has voted, and in which term; and the identity of the cluster. The file begins with
// votesMagic and the CRC-32C of what follows, in 4 bytes; that is how many values there are, and each key and value behind its length. It is written anew
// for each change, beside the old one, and takes its place when the disk has it. So what is read is what was written last, or is known not to be.
type votes struct {
	dir string

	mu     sync.Mutex
	values map[string][]byte
}

const (
	votesFile  = "votes"
	votesNew   = "votes.new"
	votesMagic = "shoalvt1"
	// keyLogEnd is an entry up to which the log is on the disk for certain.
	keyLogEnd = "shoal-log-end"
)

var (
	_ raft.StableStore = (*votes)(nil)
	_ logBound         = (*votes)(nil)

	// raft knows a key that was never set by this text.
	errKeyNotFound = errors.New("not found")
)

// openVotes reads the file in dir. found is false if there is none.
func openVotes(dir string) (v *votes, found bool, err error) {
	v = &votes{dir: dir, values: make(map[string][]byte)}
	b, err := os.ReadFile(v.path())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return v, false, nil
	case err != nil:
		return nil, false, err
	}
	if v.values, err = decodeVotes(b); err != nil {
		return nil, true, &damage{v.path(), err.Error()}
	}
	return v, true, nil
}

func (v *votes) path() string { return filepath.Join(v.dir, votesFile) }

func encodeVotes(values map[string][]byte) []byte {
	body := codec.AppendUint(nil, uint64(len(values)))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		body = codec.AppendBytes(codec.AppendString(body, key), values[key])
	}
	return append(binary.BigEndian.AppendUint32([]byte(votesMagic), crc32.Checksum(body, castagnoli())), body...)
}

func decodeVotes(b []byte) (map[string][]byte, error) {
	const head = len(votesMagic) + 4
	if len(b) < head || string(b[:len(votesMagic)]) != votesMagic {
		return nil, fmt.Errorf("it does not begin with %q", votesMagic)
	}
	body := b[head:]
	if crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(b[len(votesMagic):]) {
		return nil, errors.New("its checksum is wrong")
	}
	r := codec.NewReader(body)
	values := make(map[string][]byte)
	for n := r.Uint(); n > 0 && r.Err() == nil; n-- {
		key := string(r.Bytes())
		values[key] = bytes.Clone(r.Bytes())
	}
	if r.Err() != nil || r.More() {
		return nil, codec.ErrMalformed
	}
	return values, nil
}

// Set implements raft.StableStore. The value is on the disk when it returns.
func (v *votes) Set(key, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.set(string(key), value)
}

// set is called with mu held.
func (v *votes) set(key string, value []byte) error {
	values := maps.Clone(v.values)
	values[key] = bytes.Clone(value)
	if err := v.replace(encodeVotes(values)); err != nil {
		return err
	}
	v.values = values
	return nil
}

// replace puts a new file in the place of the old one.
func (v *votes) replace(b []byte) error {
	path := filepath.Join(v.dir, votesNew)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := os.Rename(path, v.path()); err != nil {
		return err
	}
	return syncDir(v.dir)
}

// syncDir waits until the disk has the names in a directory.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Get implements raft.StableStore.
func (v *votes) Get(key []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	value, ok := v.values[string(key)]
	if !ok {
		return nil, errKeyNotFound
	}
	return bytes.Clone(value), nil
}

// SetUint64 implements raft.StableStore.
func (v *votes) SetUint64(key []byte, value uint64) error {
	return v.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	b, err := v.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("stored value of %q: %w", key, codec.ErrMalformed)
	}
	return binary.BigEndian.Uint64(b), nil
}

// number returns a stored number, 0 if there is none.
func (v *votes) number(key string) uint64 {
	n, err := v.GetUint64([]byte(key))
	if err != nil {
		return 0
	}
	return n
}

// raise implements logBound.
func (v *votes) raise(index uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.values[keyLogEnd]; len(old) == 8 && binary.BigEndian.Uint64(old) >= index {
		return nil
	}
	return v.set(keyLogEnd, binary.BigEndian.AppendUint64(nil, index))
}

// lower implements logBound.
func (v *votes) lower(index uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.values[keyLogEnd]; len(old) != 8 || binary.BigEndian.Uint64(old) <= index {
		return nil
	}
	return v.set(keyLogEnd, binary.BigEndian.AppendUint64(nil, index))
}
