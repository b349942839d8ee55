package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/shoalmq/shoal/internal/codec"
)

// boltLog keeps raft's log and votes in one bbolt file. Each StoreLogs is one transaction, durable when it returns.
//
// raft-wal would be the faster store, but its version 0.4.0 can come back from a restart with a segment that it refuses
// to read ("sealed segment has no index block"), after which the node does not start; a store that raft depends on must not.
type boltLog struct {
	db *bbolt.DB

	mu          sync.RWMutex
	first, last uint64 // 0, 0 while the log is empty
}

var (
	_ raft.LogStore    = (*boltLog)(nil)
	_ raft.StableStore = (*boltLog)(nil)

	bucketLog    = []byte("log")
	bucketStable = []byte("stable")

	// raft knows a key that was never set by this text.
	errKeyNotFound = errors.New("not found")
)

const logRecordVersion = 1

// openBoltLog opens the file at path, or makes it.
func openBoltLog(path string) (*boltLog, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	l := &boltLog{db: db}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(bucketStable); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists(bucketLog)
		if err != nil {
			return err
		}
		l.first, l.last = bounds(b)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}

// bounds returns the first and the last index in the bucket, 0 and 0 if it is empty.
func bounds(b *bbolt.Bucket) (first, last uint64) {
	c := b.Cursor()
	if k, _ := c.First(); k != nil {
		first = binary.BigEndian.Uint64(k)
	}
	if k, _ := c.Last(); k != nil {
		last = binary.BigEndian.Uint64(k)
	}
	return first, last
}

func logKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// Close closes the file.
func (l *boltLog) Close() error { return l.db.Close() }

// FirstIndex implements raft.LogStore.
func (l *boltLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *boltLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, nil
}

// GetLog implements raft.LogStore.
func (l *boltLog) GetLog(index uint64, out *raft.Log) error {
	return l.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketLog).Get(logKey(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		if err := readLogRecord(v, out); err != nil {
			return fmt.Errorf("log entry %d: %w", index, err)
		}
		out.Index = index
		return nil
	})
}

// StoreLog implements raft.LogStore.
func (l *boltLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (l *boltLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last := l.first, l.last
	err := l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 0.95 // indices ascend: pages need no room in the middle
		for _, log := range logs {
			if err := b.Put(logKey(log.Index), appendLogRecord(nil, log)); err != nil {
				return err
			}
			if first == 0 || log.Index < first {
				first = log.Index
			}
			last = max(last, log.Index)
		}
		return nil
	})
	if err == nil {
		l.first, l.last = first, last
	}
	return err
}

// DeleteRange implements raft.LogStore: the log loses its beginning, or its end, or everything.
func (l *boltLog) DeleteRange(from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, last := l.first, l.last
	err := l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		c := b.Cursor()
		for k, _ := c.Seek(logKey(from)); k != nil && binary.BigEndian.Uint64(k) <= to; k, _ = c.Seek(logKey(from)) {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		first, last = bounds(b)
		return nil
	})
	if err == nil {
		l.first, l.last = first, last
	}
	return err
}

// Set implements raft.StableStore.
func (l *boltLog) Set(key, value []byte) error {
	return l.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get implements raft.StableStore.
func (l *boltLog) Get(key []byte) (value []byte, err error) {
	err = l.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketStable).Get(key)
		if v == nil {
			return errKeyNotFound
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (l *boltLog) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (l *boltLog) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("stored value of %q: %w", key, codec.ErrMalformed)
	}
	return binary.BigEndian.Uint64(v), nil
}

func appendLogRecord(b []byte, log *raft.Log) []byte {
	b = append(b, logRecordVersion, byte(log.Type))
	b = codec.AppendUint(b, log.Term)
	var at int64
	if !log.AppendedAt.IsZero() {
		at = log.AppendedAt.UnixNano()
	}
	b = codec.AppendUint(b, uint64(at))
	b = codec.AppendBytes(b, log.Extensions)
	return codec.AppendBytes(b, log.Data)
}

func readLogRecord(b []byte, out *raft.Log) error {
	r := codec.NewReader(b)
	if v := r.Byte(); v != logRecordVersion {
		return fmt.Errorf("version %d: %w", v, codec.ErrMalformed)
	}
	*out = raft.Log{Type: raft.LogType(r.Byte()), Term: r.Uint()}
	if at := r.Uint(); at != 0 {
		out.AppendedAt = time.Unix(0, int64(at))
	}
	out.Extensions = clone(r.Bytes())
	out.Data = clone(r.Bytes())
	return r.Err()
}

// clone copies what is only valid during a transaction; nothing stays nothing.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte{}, b...)
}
