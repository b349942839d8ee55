package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoalmq/shoal"
)

// commit writes ops, in one transaction if that can hold them. The caller has the turn.
func (s *Store) commit(ops []shoal.Op) error {
	db, err := s.use()
	if err != nil {
		return err
	}
	if err := s.checkSpace(ops); err != nil {
		return err
	}
	if s.replay {
		if err := s.applyJournal(db); err != nil {
			return fmt.Errorf("an earlier commit, which is half written: %w", err)
		}
	}
	if len(ops) == 0 {
		return nil
	}
	w := newWriter(db, false)
	defer w.discard()
	err = w.applyAll(ops)
	if err == nil {
		err = w.put(keyCommits, keyCommits, binary.BigEndian.AppendUint64(nil, s.last+1))
	}
	switch {
	case errors.Is(err, badger.ErrTxnTooBig):
		w.discard()
		return s.commitInParts(db, ops)
	case err != nil:
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	return s.noteCommit()
}

// noteCommit remembers, beside the database, that another Commit is going to return.
func (s *Store) noteCommit() error {
	s.last++
	_, err := s.commits.WriteAt(commitsRecord(s.last), 0)
	return err
}

// writer is a transaction, or, with parts set, as many one after another as are needed.
type writer struct {
	db    *badger.DB
	parts bool
	txn   *badger.Txn
	// An iterator of txn would sort what txn has written, each time. Therefore what was there before is read in base, and what was
	// put since is noted, by the prefix of its Space.
	base *badger.Txn
	puts map[string][][]byte
}

func newWriter(db *badger.DB, parts bool) *writer {
	w := &writer{db: db, parts: parts}
	w.begin()
	return w
}

func (w *writer) begin() {
	w.txn, w.base, w.puts = w.db.NewTransaction(true), w.db.NewTransaction(false), make(map[string][][]byte)
}

func (w *writer) discard() {
	w.txn.Discard()
	w.base.Discard()
}

func (w *writer) commit() error {
	w.base.Discard()
	return w.txn.Commit()
}

// try calls change, which changes the transaction, and once more in the next one if this one is full.
func (w *writer) try(change func() error) error {
	err := change()
	if !w.parts || !errors.Is(err, badger.ErrTxnTooBig) {
		return err
	}
	if err := w.commit(); err != nil {
		return err
	}
	w.begin()
	return change()
}

// put puts an entry whose key begins with prefix.
func (w *writer) put(prefix, key, value []byte) error {
	sealed := seal(key, value)
	if err := w.try(func() error { return w.txn.Set(key, sealed) }); err != nil {
		return err
	}
	w.puts[string(prefix)] = append(w.puts[string(prefix)], key)
	return nil
}

func (w *writer) remove(key []byte) error {
	return w.try(func() error { return w.txn.Delete(key) })
}

func (w *writer) applyAll(ops []shoal.Op) error {
	for i := range ops {
		if err := w.apply(&ops[i]); err != nil {
			return fmt.Errorf("space %q: %w", ops[i].Space, err)
		}
	}
	return nil
}

func (w *writer) apply(op *shoal.Op) error {
	prefix := spacePrefix(op.Space)
	switch {
	case op.Key == nil:
		return w.removeAll(prefix)
	case len(op.Key) >= chunk:
		return w.changeLong(prefix, entryKey(prefix, op.Key), op.Key[chunk:], op.Value)
	case op.Value == nil:
		return w.remove(entryKey(prefix, op.Key))
	}
	return w.put(prefix, entryKey(prefix, op.Key), op.Value)
}

// changeLong changes one of the long keys that share an entry.
func (w *writer) changeLong(prefix, key, rest, value []byte) error {
	var list []longEntry
	switch item, err := w.txn.Get(key); {
	case errors.Is(err, badger.ErrKeyNotFound):
	case err != nil:
		return err
	default:
		sealed, err := item.ValueCopy(nil)
		if err != nil {
			return err
		}
		data, err := unseal(key, sealed)
		if err != nil {
			return err
		}
		if list, err = decodeList(data); err != nil {
			return err
		}
	}
	if list = changeList(list, rest, value); len(list) == 0 {
		return w.remove(key)
	}
	return w.put(prefix, key, encodeList(list))
}

// removeAll deletes all entries whose keys begin with prefix.
func (w *writer) removeAll(prefix []byte) error {
	puts := w.puts[string(prefix)]
	delete(w.puts, string(prefix))
	for _, key := range puts {
		if err := w.remove(key); err != nil {
			return err
		}
	}
	return w.each(prefix, w.remove)
}

// each calls fn for all keys that begin with prefix and were there when the transaction began.
func (w *writer) each(prefix []byte, fn func(key []byte) error) error {
	for from := prefix; from != nil; {
		keys := w.keys(prefix, from)
		from = nil
		for _, key := range keys {
			if err := fn(key); err != nil {
				return err
			}
			from = slices.Concat(key, []byte{0})
		}
	}
	return nil
}

// keys returns some of the keys that begin with prefix and are not less than from.
func (w *writer) keys(prefix, from []byte) (keys [][]byte) {
	it := w.base.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.ValidForPrefix(prefix) && len(keys) < batchEntries; it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	return keys
}
