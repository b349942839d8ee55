package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/shoalmq/shoal/internal/codec"
)

// votes keeps for whom raft has voted, in a bbolt file. Each change is durable when its call returns.
type votes struct {
	db *bbolt.DB
}

var (
	_ raft.StableStore = (*votes)(nil)

	bucketLog    = []byte("log") // where entries were before they had segments
	bucketStable = []byte("stable")

	// raft knows a key that was never set by this text.
	errKeyNotFound = errors.New("not found")
)

// openVotes opens the file at path, or makes it.
func openVotes(path string) (*votes, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	v := &votes{db}
	if v.has(bucketStable) { // nothing is written where there is nothing to change: a disk may be full
		return v, nil
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketStable)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return v, nil
}

// moveLog moves entries that an earlier version kept here to where they are kept now.
func (l *votes) moveLog(to *diskLog) error {
	if !l.has(bucketLog) {
		return nil
	}
	return l.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		if b == nil {
			return nil
		}
		last, err := to.LastIndex()
		if err != nil {
			return err
		}
		if err := to.DeleteRange(0, last); err != nil { // a crash has come between
			return err
		}
		err = b.ForEach(func(k, v []byte) error {
			log := new(raft.Log)
			if len(k) != 8 {
				return codec.ErrMalformed
			}
			if err := readLogRecord(v, log); err != nil {
				return err
			}
			log.Index = binary.BigEndian.Uint64(k)
			return to.StoreLog(log)
		})
		if err != nil {
			return fmt.Errorf("moving raft's log out of %s: %w", l.db.Path(), err)
		}
		if err := to.Sync(); err != nil {
			return err
		}
		return tx.DeleteBucket(bucketLog)
	})
}

// has reports whether there is a bucket.
func (l *votes) has(bucket []byte) (is bool) {
	_ = l.db.View(func(tx *bbolt.Tx) error { // it fails only when the file is closed
		is = tx.Bucket(bucket) != nil
		return nil
	})
	return is
}

// Close closes the file.
func (l *votes) Close() error { return l.db.Close() }

// Set implements raft.StableStore.
func (l *votes) Set(key, value []byte) error {
	return l.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get implements raft.StableStore.
func (l *votes) Get(key []byte) (value []byte, err error) {
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
func (l *votes) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (l *votes) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("stored value of %q: %w", key, codec.ErrMalformed)
	}
	return binary.BigEndian.Uint64(v), nil
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
