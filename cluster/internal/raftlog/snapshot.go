package raftlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// snapshotVersion is the first byte of every snapshot. A head of length-prefixed bytes follows, then what the broker's
// state machine wrote, to the end.
const snapshotVersion = 2

// maxSnapshotHead bounds what a head may claim to be: room for some hundred thousand nodes.
const maxSnapshotHead = 64 << 20

var errSnapshot = errors.New("raftlog: malformed snapshot")

// snapshot is the state as of one index.
type snapshot struct {
	head  []byte
	write func(io.Writer) error
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped.Load() {
		return nil, errLevel // raft counts entries that were not applied
	}
	write, err := f.sm.Snapshot()
	if err != nil {
		return nil, err
	}
	return &snapshot{head: f.appendHead(nil), write: write}, nil
}

func (f *fsm) appendHead(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f.level))
	b = binary.AppendUvarint(b, f.lastApplied)
	b = binary.AppendUvarint(b, uint64(len(f.up)))
	for _, name := range slices.Sorted(maps.Keys(f.up)) {
		m := f.up[name]
		b = nodecodec.Append(b, m.node)
		b = binary.AppendUvarint(b, m.index)
		b = binary.AppendUvarint(b, m.seq)
	}
	b = binary.AppendUvarint(b, uint64(len(f.last)))
	for _, name := range slices.Sorted(maps.Keys(f.last)) {
		b = nodecodec.AppendString(b, name)
		b = binary.AppendUvarint(b, f.last[name])
		b = binary.AppendUvarint(b, uint64(f.newest[name]))
	}
	return b
}

// snapshotHead is the decoded head.
type snapshotHead struct {
	applied uint64
	up      map[string]*member
	last    map[string]uint64
	newest  map[string]int
	level   int
}

func decodeHead(b []byte) (h snapshotHead, err error) {
	h = snapshotHead{up: make(map[string]*member), last: make(map[string]uint64), newest: make(map[string]int)}
	at, b, err := nodecodec.Uvarint(b)
	if err != nil || at == 0 || at > level.Max {
		return h, errSnapshot
	}
	h.level = int(at)
	if h.applied, b, err = nodecodec.Uvarint(b); err != nil {
		return h, errSnapshot
	}
	count, b, err := nodecodec.Uvarint(b)
	if err != nil {
		return h, errSnapshot
	}
	for range count {
		m := &member{}
		if m.node, b, err = nodecodec.Decode(b); err != nil {
			return h, errSnapshot
		}
		if m.index, b, err = nodecodec.Uvarint(b); err != nil {
			return h, errSnapshot
		}
		if m.seq, b, err = nodecodec.Uvarint(b); err != nil {
			return h, errSnapshot
		}
		h.up[m.node.Name] = m
	}
	if count, b, err = nodecodec.Uvarint(b); err != nil {
		return h, errSnapshot
	}
	for range count {
		var name string
		if name, b, err = nodecodec.String(b); err != nil {
			return h, errSnapshot
		}
		if h.last[name], b, err = nodecodec.Uvarint(b); err != nil {
			return h, errSnapshot
		}
		var newest uint64
		if newest, b, err = nodecodec.Uvarint(b); err != nil || newest > level.Max {
			return h, errSnapshot
		}
		h.newest[name] = int(newest)
	}
	if len(b) > 0 {
		return h, errSnapshot
	}
	return h, nil
}

// Persist implements raft.FSMSnapshot. It streams.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	err := s.writeTo(sink)
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s *snapshot) writeTo(w io.Writer) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	head := binary.AppendUvarint([]byte{snapshotVersion}, uint64(len(s.head)))
	if _, err := buf.Write(append(head, s.head...)); err != nil {
		return err
	}
	if err := s.write(buf); err != nil {
		return err
	}
	return buf.Flush()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

// readHead reads version and head, and leaves r where the state machine's part begins.
func readHead(r *bufio.Reader) (h snapshotHead, err error) {
	version, err := r.ReadByte()
	if err != nil {
		return h, fmt.Errorf("reading a snapshot: %w", err)
	}
	if version != snapshotVersion {
		return h, fmt.Errorf("raftlog: snapshot of version %d; this program knows version %d", version, snapshotVersion)
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > maxSnapshotHead {
		return h, errSnapshot
	}
	head, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return h, fmt.Errorf("reading a snapshot: %w", err)
	}
	if uint64(len(head)) != size {
		return h, errSnapshot
	}
	return decodeHead(head)
}

// Restore implements raft.FSM: the live state machine is what is restored.
func (f *fsm) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	r := bufio.NewReaderSize(rc, 64<<10)
	h, err := readHead(r)
	if err == nil && !f.levels.Speaks(h.level) {
		err = fmt.Errorf("%w, %d: it speaks %s; start a version of the program that does", errLevel, h.level, f.levels)
	}
	if err != nil {
		f.unreadable = err // raft says only that there was something
		return err
	}
	f.unreadable = nil
	old := f.up
	f.change(func() { f.up, f.last, f.newest, f.level = h.up, h.last, h.newest, h.level })
	err = f.sm.Restore(r)
	f.onRestore(h.up[f.self]) // after the broker has let go of what it proposes changes of
	if err != nil {
		return fmt.Errorf("restoring a snapshot: %w", err)
	}
	for name, m := range old {
		if now := h.up[name]; now == nil || now.node.Incarnation != m.node.Incarnation {
			f.peers.NodeDown(name)
		}
	}
	for _, m := range h.up {
		f.peers.NodeUp(m.node)
	}
	f.lastApplied = h.applied
	f.watch.reach(h.applied)
	return nil
}
