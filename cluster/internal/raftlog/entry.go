package raftlog

import (
	"encoding/binary"
	"errors"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// entryVersion is the first byte of log entries about the cluster itself. That of a batch is the level of the cluster when it was proposed: its
// commands may be of that level. A program skips no entry of a level that it does not speak: it stops there; see levels.go.
const entryVersion = 1

// Kinds of entries, the second byte.
const (
	kindBatch = iota + 1
	kindNodeUp
	kindNodeDown
	kindStableBatch // a batch that is committed when a majority has it on disk
	kindLevel
)

var errMalformed = errors.New("raftlog: malformed entry")

// batchHead is the head of a batch entry. Its commands have the sequence numbers first, first+1, ...
type batchHead struct {
	node        string
	incarnation uint64
	first       uint64
	count       uint64
	stable      bool // see kindStableBatch
	level       byte // of the cluster, 0 for the first
}

func appendBatchHead(b []byte, h batchHead) []byte {
	kind := byte(kindBatch)
	if h.stable {
		kind = kindStableBatch
	}
	b = append(b, max(entryVersion, h.level), kind)
	b = nodecodec.AppendString(b, h.node)
	b = binary.AppendUvarint(b, h.incarnation)
	b = binary.AppendUvarint(b, h.first)
	return binary.AppendUvarint(b, h.count)
}

func appendCommand(b, cmd []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(cmd)))
	return append(b, cmd...)
}

// readBatchHead reads the head of a batch from what follows version and kind. rest holds the commands.
func readBatchHead(b []byte) (h batchHead, rest []byte, err error) {
	if h.node, b, err = nodecodec.String(b); err != nil {
		return h, nil, errMalformed
	}
	for _, v := range []*uint64{&h.incarnation, &h.first, &h.count} {
		if *v, b, err = nodecodec.Uvarint(b); err != nil {
			return h, nil, errMalformed
		}
	}
	if h.count > uint64(len(b)) || h.first == 0 {
		return h, nil, errMalformed
	}
	return h, b, nil
}

// needsDisk reports whether an entry counts as stored only once it is on disk: a batch that says so, and what is raft's own.
func needsDisk(l *raft.Log) bool {
	if l.Type != raft.LogCommand {
		return true
	}
	return len(l.Data) > 1 && l.Data[1] == kindStableBatch
}

// checkCommands reports whether b holds exactly count commands, so that a batch is applied wholly or not at all.
func checkCommands(b []byte, count uint64) error {
	for range count {
		_, rest, err := nodecodec.Bytes(b)
		if err != nil {
			return errMalformed
		}
		b = rest
	}
	if len(b) > 0 {
		return errMalformed
	}
	return nil
}

func encodeNodeUp(n shoal.Node) []byte {
	return nodecodec.Append([]byte{entryVersion, kindNodeUp}, n)
}

func decodeNodeUp(b []byte) (shoal.Node, error) {
	n, rest, err := nodecodec.Decode(b)
	if err != nil || len(rest) > 0 || n.Name == "" {
		return n, errMalformed
	}
	return n, nil
}

// nodeDown says that an incarnation of a node is given up, or leaves.
type nodeDown struct {
	name        string
	incarnation uint64
	adopter     string
	left        bool // it says itself that it leaves
}

func encodeNodeDown(d nodeDown) []byte {
	b := nodecodec.AppendString([]byte{entryVersion, kindNodeDown}, d.name)
	b = binary.AppendUvarint(b, d.incarnation)
	b = nodecodec.AppendString(b, d.adopter)
	if d.left {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeNodeDown(b []byte) (d nodeDown, err error) {
	if d.name, b, err = nodecodec.String(b); err != nil {
		return d, errMalformed
	}
	if d.incarnation, b, err = nodecodec.Uvarint(b); err != nil {
		return d, errMalformed
	}
	if d.adopter, b, err = nodecodec.String(b); err != nil || len(b) > 1 {
		return d, errMalformed
	}
	d.left = len(b) == 1 && b[0] == 1 // an earlier version has not said
	return d, nil
}
