package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/shoalmq/shoal/internal/codec"
)

// An earlier version kept votes in a bbolt file, and one before that the log, too.
const oldVotesFile = "raft.db"

var (
	oldBucketLog    = []byte("log")
	oldBucketStable = []byte("stable")
)

// takeOver moves what an earlier version has left in dir to where it is kept now. It may be interrupted at any moment, and done again.
func takeOver(dir string, v *votes, to *diskLog) error {
	path := filepath.Join(dir, oldVotesFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("opening %s of an earlier version: %w", path, err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if err := moveOldLog(tx.Bucket(oldBucketLog), to); err != nil {
			return err
		}
		stable := tx.Bucket(oldBucketStable)
		if stable == nil {
			return nil
		}
		return stable.ForEach(func(key, value []byte) error { return v.Set(key, value) })
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("moving what is in %s of an earlier version: %w", path, err)
	}
	return os.Remove(path)
}

func moveOldLog(b *bbolt.Bucket, to *diskLog) error {
	if b == nil {
		return nil
	}
	last, err := to.LastIndex()
	if err != nil {
		return err
	}
	if err := to.DeleteRange(0, last); err != nil { // it was interrupted
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
		return err
	}
	return to.Sync()
}
