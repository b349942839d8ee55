package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"strings"

	"go.etcd.io/bbolt"
)

// bbolt keeps checksums of its two first pages only. So the file has sums of its own: the sequence of the bucket of a Space,
// a number that bbolt stores with each bucket and that is not used otherwise, is the sum of the hashes of its entries. That of
// the bucket formatBucket is the sum of the hashes of the Spaces' names. Open compares all of them. A sum does not depend on the order,
// and a change of an entry takes one subtraction and one addition.

// formatBucket is longer than the name of a Space that is used as it is, and shorter than that of one that is hashed.
var formatBucket = []byte("shoal format" + strings.Repeat(" ", maxBucketName+1-len("shoal format")))

// formatKey has the version of the layout of buckets and keys. A file of version 1 has no formatBucket, and no sums.
var formatKey = []byte("version")

const format = 2

// ErrNewerFormat is matched by the error of Store.Open for a file that a newer version of this package has written.
var ErrNewerFormat = errors.New("written by a newer version")

var crcTable = crc64.MakeTable(crc64.ECMA)

// entrySum is the hash of an entry. The checksum alone would be linear: changes could hide each other in a sum.
func entrySum(key, value []byte) uint64 {
	length := binary.BigEndian.AppendUint64(nil, uint64(len(key)))
	x := crc64.Update(crc64.Update(crc64.Checksum(length, crcTable), crcTable, key), crcTable, value)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ErrForeign is matched by the error of Store.Open for a file of comqtt, which is one of bbolt, too.
var ErrForeign = errors.New("the file is comqtt's")

// stormBucket is what comqtt's files have.
const stormBucket = "__storm_db"

func addSum(b *bbolt.Bucket, difference uint64) error {
	if difference == 0 {
		return nil
	}
	return b.SetSequence(b.Sequence() + difference)
}

// addSpace notes that a Space came into being, or, with a negative sign, that it went.
func addSpace(tx *bbolt.Tx, name []byte, sign int64) error {
	return addSum(tx.Bucket(formatBucket), uint64(sign)*entrySum(name, nil)) //nolint:gosec // -1 is meant to wrap
}

// spaceSum computes the sum of a Space.
func spaceSum(bucket *bbolt.Bucket) (sum uint64, err error) {
	b := &batch{full: true}
	var from []byte
	for b.full {
		if err := b.read(bucket, from); err != nil {
			return 0, err
		}
		for _, e := range b.entries {
			sum += entrySum(b.key(e), b.value(e))
		}
		if n := len(b.entries); n > 0 {
			from = append(bytes.Clone(b.key(b.entries[n-1])), 0)
		}
	}
	return sum, nil
}

// checkSums compares all sums with what is there.
func checkSums(tx *bbolt.Tx) error {
	names := uint64(0)
	err := eachSpace(tx, func(name []byte, bucket *bbolt.Bucket) error {
		names += entrySum(name, nil)
		sum, err := spaceSum(bucket)
		if err == nil && sum != bucket.Sequence() {
			err = fmt.Errorf("%w: the entries of the space %.64q are not what was written; %s", ErrDamaged, name, advice)
		}
		return err
	})
	if err == nil && names != tx.Bucket(formatBucket).Sequence() {
		err = fmt.Errorf("%w: spaces are missing; %s", ErrDamaged, advice)
	}
	return err
}

// makeSums writes all sums, and the version.
func makeSums(tx *bbolt.Tx) error {
	type space struct {
		name []byte
		sum  uint64
	}
	var spaces []space
	err := eachSpace(tx, func(name []byte, bucket *bbolt.Bucket) error {
		sum, err := spaceSum(bucket)
		spaces = append(spaces, space{append([]byte(nil), name...), sum})
		return err
	})
	if err != nil {
		return err
	}
	bucket, err := tx.CreateBucketIfNotExists(formatBucket)
	if err != nil {
		return err
	}
	if err := errors.Join(bucket.Put(formatKey, []byte{format}), bucket.SetSequence(0)); err != nil {
		return err
	}
	for _, s := range spaces {
		if err := errors.Join(tx.Bucket(s.name).SetSequence(s.sum), addSpace(tx, s.name, 1)); err != nil {
			return err
		}
	}
	return nil
}

func eachSpace(tx *bbolt.Tx, fn func(name []byte, bucket *bbolt.Bucket) error) error {
	return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		if bucket == nil {
			return fmt.Errorf("%w: %.64q is no space; %s", ErrDamaged, name, advice)
		}
		if bytes.Equal(name, formatBucket) {
			return nil
		}
		return fn(name, bucket)
	})
}

// version is the format of the file.
func version(tx *bbolt.Tx) (int, error) {
	bucket := tx.Bucket(formatBucket)
	if bucket == nil {
		if tx.Bucket([]byte(stormBucket)) != nil {
			return 0, fmt.Errorf("%w; give this broker another path: comqtt's sessions cannot be taken over from a file", ErrForeign)
		}
		return 1, nil
	}
	v := bucket.Get(formatKey)
	if len(v) != 1 || v[0] < 2 {
		return 0, fmt.Errorf("%w: it has no version; %s", ErrDamaged, advice)
	}
	return int(v[0]), nil
}
