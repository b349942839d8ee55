package raftlog

import (
	"bytes"
	"encoding/binary"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// patientVotes are votes that wait for a disk that does not take them. raft panics when it cannot keep the term that it has come to know; a node that does
// not know it does better to stand still until it can.
type patientVotes struct {
	*votes
	disk    faults.Disk
	fitness *fitness
}

var _ raft.StableStore = (*patientVotes)(nil)

// Set implements raft.StableStore.
func (v *patientVotes) Set(key, value []byte) error {
	if old, err := v.Get(key); err == nil && bytes.Equal(old, value) {
		return nil // raft begins with that: a node can be started while its disk is full
	}
	for {
		err := v.fitness.during(len(value), func() error { return v.put(key, value) })
		if err == nil || v.fitness.pause() {
			if err == nil {
				return nil
			}
			continue
		}
		if string(key) == keyCurrentTerm {
			return nil // raft is about to stop, and what it does now no other node hears of
		}
		return err
	}
}

// put keeps a value, if the disk takes it.
func (v *patientVotes) put(key, value []byte) error {
	if _, err := v.disk.Write(len(value)); err != nil {
		return err
	}
	if err := v.disk.Sync(); err != nil {
		return err
	}
	return v.votes.Set(key, value)
}

// SetUint64 implements raft.StableStore.
func (v *patientVotes) SetUint64(key []byte, value uint64) error {
	return v.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// keyCurrentTerm is raft's name for the term in a stable store.
const keyCurrentTerm = "CurrentTerm"
