package badger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// The first byte of a key of badger says what the entry is.
const (
	kindEntry   = 'e' // then the Space, then the key: an entry of a Space
	kindCommits = 'c' // the number of the last Commit
	kindJournal = 'j' // then a number of eight bytes: an operation of a Commit that is written in parts
	kindMarker  = 'm' // there while the journal is complete and has to be applied
)

var (
	keyCommits    = []byte{kindCommits}
	keyMarker     = []byte{kindMarker}
	prefixJournal = []byte{kindJournal}
)

// badger refuses keys over 65,000 bytes, but a TopicName may have 65,535. Keys of chunk bytes or more that begin alike share
// one entry, whose value is a list of their rests and values in order. The order of the keys stays what it was.
const chunk = 64000

// maxSpaceName is the longest name of a Space that is used as it is; a longer one is hashed.
const maxSpaceName = 255

// spacePrefix is what the keys of a Space begin with. None is the beginning of another's.
func spacePrefix(space string) []byte {
	if len(space) <= maxSpaceName {
		return append([]byte{kindEntry, byte(len(space))}, space...)
	}
	hash := sha256.Sum256([]byte(space))
	return append([]byte{kindEntry, 0}, hash[:]...)
}

// entryKey is the key of badger for a key of the Space with this prefix.
func entryKey(prefix, key []byte) []byte {
	return slices.Concat(prefix, key[:min(len(key), chunk)])
}

// seal puts a checksum of both in front of a value: badger hands out an empty value for one that it cannot read.
func seal(key, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, sealSize+len(value)), sealSum(key, value)), value...)
}

const sealSize = 4

func sealSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unseal returns the value in sealed, a part of it.
func unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < sealSize || binary.BigEndian.Uint32(sealed) != sealSum(key, sealed[sealSize:]) {
		return nil, fmt.Errorf("%w: the value of %q is not what was written; %s", ErrDamaged, key[:min(len(key), 64)], advice)
	}
	return sealed[sealSize:], nil
}

func journalKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kindJournal}, n) }

// longEntry is one of those that share an entry of badger.
type longEntry struct{ rest, value []byte }

// decodeList reads a list; its slices are parts of data.
func decodeList(data []byte) (list []longEntry, err error) {
	next := func() (field []byte) {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size) {
			err = fmt.Errorf("%w: a list of long keys is cut off", ErrDamaged)
			return nil
		}
		field, data = data[size:size+int(n)], data[size+int(n):]
		return field
	}
	for len(data) > 0 && err == nil {
		list = append(list, longEntry{next(), next()})
	}
	return list, err
}

func encodeList(list []longEntry) (data []byte) {
	for _, e := range list {
		for _, field := range [][]byte{e.rest, e.value} {
			data = append(binary.AppendUvarint(data, uint64(len(field))), field...)
		}
	}
	return data
}

// changeList puts or, with a nil value, removes an entry of a list.
func changeList(list []longEntry, rest, value []byte) []longEntry {
	at, found := slices.BinarySearchFunc(list, rest, func(e longEntry, rest []byte) int { return bytes.Compare(e.rest, rest) })
	switch {
	case value == nil && found:
		return slices.Delete(list, at, at+1)
	case value == nil:
		return list
	case found:
		list[at].value = value
		return list
	}
	return slices.Insert(list, at, longEntry{rest, value})
}
