package bolt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The file has one bucket per Space and in it one entry per key. bbolt refuses keys over 32,768 bytes, but a TopicName may have 65,535.
// A key of chunk bytes or more is therefore cut: its first chunk bytes name a bucket within the bucket, which holds
// the rest, and so on. The rest has a byte in front, since it may be empty and keys may not. The order of the keys
// stays what it was.
const chunk = 32000

// restMark is the byte in front of the rest of a key.
const restMark = 0

// A Space whose name is longer than maxBucketName has a bucket named by the beginning and the hash of the name; such a
// name is longer than any that is used as it is.
const maxBucketName = 1024

func bucketName(space string) []byte {
	if len(space) <= maxBucketName {
		return []byte(space)
	}
	hash := sha256.Sum256([]byte(space))
	return append([]byte(space[:maxBucketName]), hash[:]...)
}

// put stores value under key, which may be of any length.
func put(space *bbolt.Bucket, key, value []byte) error {
	whole, b := key, space
	for len(key) >= chunk {
		inner, err := b.CreateBucketIfNotExists(key[:chunk])
		if err != nil {
			return err
		}
		b, key = inner, rest(key)
	}
	sum := entrySum(whole, value)
	if old := b.Get(key); old != nil {
		sum -= entrySum(whole, old)
	}
	if err := b.Put(key, value); err != nil {
		return err
	}
	return addSum(space, sum)
}

// remove deletes key.
func remove(space *bbolt.Bucket, key []byte) error {
	old, err := removeBelow(space, key)
	if err != nil || old == nil {
		return err
	}
	return addSum(space, -entrySum(key, old))
}

// removeBelow deletes key, and the buckets it leaves empty. It returns the value, nil if there was none.
func removeBelow(b *bbolt.Bucket, key []byte) (old []byte, err error) {
	if len(key) < chunk {
		if old = bytes.Clone(b.Get(key)); old == nil {
			return nil, nil
		}
		return old, b.Delete(key)
	}
	inner := b.Bucket(key[:chunk])
	if inner == nil {
		return nil, nil
	}
	if old, err = removeBelow(inner, rest(key)); err != nil {
		return nil, err
	}
	if first, _ := inner.Cursor().First(); first != nil {
		return old, nil
	}
	return old, b.DeleteBucket(key[:chunk])
}

// rest is what of a long key goes into the bucket of its first chunk.
func rest(key []byte) []byte {
	return append([]byte{restMark}, key[chunk:]...)
}

func createSpace(tx *bbolt.Tx, space string) (*bbolt.Bucket, error) {
	name := bucketName(space)
	if err := addSpace(tx, name, 1); err != nil {
		return nil, err
	}
	return tx.CreateBucket(name)
}

// deleteSpace deletes the bucket of a Space, if there is one.
func deleteSpace(tx *bbolt.Tx, space string) error {
	name := bucketName(space)
	switch err := tx.DeleteBucket(name); {
	case errors.Is(err, berrors.ErrBucketNotFound):
		return nil
	case err != nil:
		return err
	}
	return addSpace(tx, name, -1)
}

// batch is a part of a Space, copied out of a transaction.
type batch struct {
	data    []byte
	entries []entry
	least   []byte // the next key cannot be less; if it is, the file is damaged, and a Scan might never end
	// full reports that there may be more entries behind these.
	full bool
}

// entry is a key and the value behind it: data[key:value] and data[value:end].
type entry struct{ key, value, end int }

// A batch ends with the entry that reaches one of these.
const (
	batchEntries = 1024
	batchBytes   = 1 << 20
)

// read fills b with the entries of bucket whose keys are not less than from.
func (b *batch) read(bucket *bbolt.Bucket, from []byte) error {
	b.data, b.entries, b.least, b.full = b.data[:0], b.entries[:0], from, false
	return b.readBelow(bucket, nil, from)
}

// readBelow goes on with bucket, in which the keys that begin with prefix have their rest.
func (b *batch) readBelow(bucket *bbolt.Bucket, prefix, from []byte) error {
	skip := min(len(prefix), 1) // restMark
	c := bucket.Cursor()
	for key, value := c.Seek(from[:min(len(from), chunk)]); key != nil && !b.full; key, value = c.Next() {
		if value != nil {
			if err := b.add(prefix, key[skip:], value); err != nil {
				return err
			}
			continue
		}
		inner := bucket.Bucket(key)
		if inner == nil {
			return fmt.Errorf("%w: an entry is neither value nor bucket", ErrDamaged)
		}
		var innerFrom []byte
		if len(from) >= chunk && bytes.Equal(key, from[:chunk]) {
			innerFrom = rest(from)
		}
		if err := b.readBelow(inner, bytes.Join([][]byte{prefix, key[skip:]}, nil), innerFrom); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) add(prefix, key, value []byte) error {
	e := entry{key: len(b.data)}
	b.data = append(append(b.data, prefix...), key...)
	e.value = len(b.data)
	b.data = append(b.data, value...)
	e.end = len(b.data)
	b.entries = append(b.entries, e)
	whole := b.key(e)
	if order := bytes.Compare(whole, b.least); order < 0 || order == 0 && len(b.entries) > 1 {
		return fmt.Errorf("%w: keys are not in order", ErrDamaged)
	}
	b.least = whole
	b.full = len(b.entries) >= batchEntries || len(b.data) >= batchBytes
	return nil
}

func (b *batch) key(e entry) []byte   { return b.data[e.key:e.value:e.value] }
func (b *batch) value(e entry) []byte { return b.data[e.value:e.end:e.end] }
