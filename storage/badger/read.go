package badger

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"
)

// batch is a part of a Space, copied out of the store.
type batch struct {
	data    []byte
	entries []entry
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

// read fills b with the entries of a Space whose keys are not less than from.
func (s *Store) read(space string, from []byte, b *batch) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	db, err := s.use()
	if err != nil {
		return err
	}
	b.data, b.entries, b.full = b.data[:0], b.entries[:0], false
	return db.View(func(txn *badger.Txn) error {
		prefix := spacePrefix(space)
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Seek(entryKey(prefix, from)); it.ValidForPrefix(prefix) && !b.full; it.Next() {
			if err := b.addItem(it.Item(), len(prefix), from); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *batch) addItem(item *badger.Item, prefix int, from []byte) error {
	return item.Value(func(sealed []byte) error {
		value, err := unseal(item.Key(), sealed)
		if err != nil {
			return err
		}
		key := item.Key()[prefix:]
		if len(key) < chunk {
			b.add(key, nil, value)
			return nil
		}
		list, err := decodeList(value)
		if err != nil {
			return err
		}
		for _, e := range list {
			if bytes.Compare(key, from[:min(len(from), chunk)]) > 0 || bytes.Compare(e.rest, from[min(len(from), chunk):]) >= 0 {
				b.add(key, e.rest, e.value)
			}
		}
		return nil
	})
}

func (b *batch) add(key, rest, value []byte) {
	e := entry{key: len(b.data)}
	b.data = append(append(b.data, key...), rest...)
	e.value = len(b.data)
	b.data = append(b.data, value...)
	e.end = len(b.data)
	b.entries = append(b.entries, e)
	b.full = len(b.entries) >= batchEntries || len(b.data) >= batchBytes
}

func (b *batch) key(e entry) []byte   { return b.data[e.key:e.value:e.value] }
func (b *batch) value(e entry) []byte { return b.data[e.value:e.end:e.end] }
