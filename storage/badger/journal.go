package badger

import (
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoalmq/shoal"
)

// A transaction of badger holds no more than a part of a table in memory. A Commit that is larger becomes a journal: first its
// operations are written as entries, then a marker says that the journal is complete, then the operations are applied in as
// many transactions as it takes, and in the end marker and journal are deleted. What is left of an incomplete journal is
// deleted when the store opens; a complete one is applied, from the beginning, which leaves the same state.

func (s *Store) commitInParts(db *badger.DB, ops []shoal.Op) error {
	w := newWriter(db, true)
	defer w.discard()
	if err := w.removeAll(prefixJournal); err != nil { // of one that failed
		return err
	}
	for i := range ops {
		if err := w.put(prefixJournal, journalKey(uint64(i)), encodeOp(&ops[i])); err != nil {
			return err
		}
	}
	if err := w.put(keyMarker, keyMarker, nil); err != nil {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	s.replay = true
	if err := s.applyJournal(db); err != nil {
		return err
	}
	return s.noteCommit()
}

// applyJournal does what a complete journal says, and removes it.
func (s *Store) applyJournal(db *badger.DB) error {
	w := newWriter(db, true)
	defer w.discard()
	err := w.each(prefixJournal, func(key []byte) error {
		op, err := w.journalOp(key)
		if err != nil {
			return err
		}
		if err := w.apply(op); err != nil {
			return fmt.Errorf("space %q: %w", op.Space, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.put(keyCommits, keyCommits, binary.BigEndian.AppendUint64(nil, s.last+1)); err != nil {
		return err
	}
	if err := w.remove(keyMarker); err != nil {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	s.replay = false
	w.begin()
	if err := w.removeAll(prefixJournal); err != nil {
		return err
	}
	return w.commit()
}

func (w *writer) journalOp(key []byte) (*shoal.Op, error) {
	item, err := w.txn.Get(key)
	if err != nil {
		return nil, err
	}
	sealed, err := item.ValueCopy(nil)
	if err != nil {
		return nil, err
	}
	data, err := unseal(key, sealed)
	if err != nil {
		return nil, err
	}
	return decodeOp(data)
}

// encodeOp writes the Space, the key and the value, each with its length in front and 0 in place of it for nil.
func encodeOp(op *shoal.Op) (data []byte) {
	for _, field := range [][]byte{[]byte(op.Space), op.Key, op.Value} {
		if field == nil {
			data = append(data, 0)
			continue
		}
		data = append(binary.AppendUvarint(data, uint64(len(field))+1), field...)
	}
	return data
}

func decodeOp(data []byte) (*shoal.Op, error) {
	var fields [3][]byte
	for i := range fields {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size)+1 {
			return nil, fmt.Errorf("%w: an operation in the journal is cut off; %s", ErrDamaged, advice)
		}
		data = data[size:]
		if n > 0 {
			fields[i], data = data[:n-1:n-1], data[n-1:]
		}
	}
	return &shoal.Op{Space: string(fields[0]), Key: fields[1], Value: fields[2]}, nil
}
