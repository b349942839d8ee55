package raftlog

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// recorder is a StateMachine and Peers that note what they are told.
type recorder struct {
	applied []string
	events  []string
}

func (r *recorder) Apply(_ uint64, node string, cmd []byte) any {
	r.applied = append(r.applied, node+":"+string(cmd))
	return len(r.applied)
}
func (r *recorder) NodeUp(_ uint64, n shoal.Node) { r.events = append(r.events, "up "+n.Name) }
func (r *recorder) NodeDown(_ uint64, n shoal.Node, adopter string) {
	r.events = append(r.events, "down "+n.Name+" "+adopter)
}

func (r *recorder) Snapshot() (func(io.Writer) error, error) {
	applied := r.applied
	return func(w io.Writer) error {
		var b []byte
		for _, s := range applied {
			b = nodecodec.AppendString(b, s)
		}
		_, err := w.Write(b)
		return err
	}, nil
}

func (r *recorder) Restore(rd io.Reader) error {
	b, err := io.ReadAll(rd)
	r.applied = nil
	for err == nil && len(b) > 0 {
		var s string
		s, b, err = nodecodec.String(b)
		r.applied = append(r.applied, s)
	}
	return err
}
func (r *recorder) Receive(string, []byte, func(error))                   {}
func (r *recorder) Serve(context.Context, string, []byte) ([]byte, error) { return nil, nil }
func (r *recorder) Admits(shoal.Node) error                               { return nil }
func (r *recorder) ServingChanged(bool)                                   {}

type noPeers struct{}

func (noPeers) Control(context.Context, string, []byte) ([]byte, error) { return nil, errNotLeader }
func (noPeers) NodeUp(shoal.Node)                                       {}
func (noPeers) NodeDown(string)                                         {}

func newTestFSM() (*fsm, *recorder) {
	r := &recorder{}
	f := newFSM("self", level.Own(), r, noPeers{}, slog.New(slog.DiscardHandler))
	f.onOwnBatch = func(batchHead, []any, bool) {}
	f.onOwnUp, f.onOwnDown = func(uint64) {}, func(uint64) {}
	f.onRestore = func(*member) {}
	f.onStop = func() {}
	f.onApplied = func(uint64, int) {}
	return f, r
}

func batchOf(node string, incarnation, first uint64, cmds ...string) []byte {
	b := appendBatchHead(nil, batchHead{node: node, incarnation: incarnation, first: first, count: uint64(len(cmds))})
	for _, c := range cmds {
		b = appendCommand(b, []byte(c))
	}
	return b
}

// A batch that reaches the log twice is applied once; one of an incarnation that is not up is not applied.
func TestBatchesAreAppliedOnce(t *testing.T) {
	f, r := newTestFSM()
	f.apply(1, batchOf("a", 1, 1, "early"))
	require.Empty(t, r.applied)
	f.apply(2, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 5}))
	f.apply(3, batchOf("a", 5, 1, "x", "y"))
	f.apply(4, batchOf("a", 5, 1, "x", "y"))
	f.apply(5, batchOf("a", 4, 3, "old"))
	f.apply(6, batchOf("a", 5, 3, "z"))
	f.apply(7, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 5}))
	f.apply(8, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 4}))
	f.apply(9, batchOf("a", 5, 3, "z"))
	f.apply(10, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 6}))
	f.apply(11, batchOf("a", 5, 4, "late"))
	f.apply(12, batchOf("a", 6, 1, "new"))
	require.Equal(t, []string{"a:x", "a:y", "a:z", "a:new"}, r.applied)
	f.apply(13, encodeNodeDown(nodeDown{name: "a", incarnation: 5, adopter: "b", left: true}))
	f.apply(14, encodeNodeDown(nodeDown{name: "a", incarnation: 6, adopter: "b", left: true}))
	f.apply(15, encodeNodeDown(nodeDown{name: "a", incarnation: 6, adopter: "b", left: true}))
	f.apply(16, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 6}))
	f.apply(17, batchOf("a", 6, 2, "gone"))
	require.Equal(t, []string{"up a", "up a", "down a b"}, r.events)
	require.Len(t, r.applied, 4)
}

// Exactly once holds over a snapshot.
func TestSnapshotKeepsSequences(t *testing.T) {
	f, _ := newTestFSM()
	f.apply(1, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 5, Attributes: map[string]string{"k": "v"}}))
	f.apply(2, batchOf("a", 5, 1, "x", "y"))
	f.lastApplied = 2
	s, err := f.Snapshot()
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, s.(*snapshot).writeTo(&buf))

	g, r := newTestFSM()
	require.NoError(t, g.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()))))
	require.Equal(t, []string{"a:x", "a:y"}, r.applied)
	require.EqualValues(t, 2, g.watch.applied.Load())
	g.apply(3, batchOf("a", 5, 1, "x", "y"))
	g.apply(4, batchOf("a", 5, 3, "z"))
	g.apply(5, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 5}))
	require.Equal(t, []string{"a:x", "a:y", "a:z"}, r.applied)
	require.Equal(t, f.up["a"].node, g.up["a"].node)

	for cut := range buf.Len() - 4 { // the machine's part begins there
		h, _ := newTestFSM()
		_ = h.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()[:cut])))
	}
	h, _ := newTestFSM()
	require.ErrorContains(t, h.Restore(io.NopCloser(bytes.NewReader([]byte{9, 0}))), "version 9")
}

// An entry of a level that this program does not speak stops it: what came before is applied, nothing after it, and no snapshot is taken.
func TestLaterLevelStops(t *testing.T) {
	up := shoal.Node{Name: "a", Incarnation: 1, Attributes: map[string]string{AttributeLevels: "1-2"}}
	for name, later := range map[string][]byte{
		"level": encodeLevel(2), "batch": appendBatchHead(nil, batchHead{level: 2, node: "a", incarnation: 1, first: 2}), "unknown kind": {2, 99},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := newTestFSM()
			stopped := 0
			f.onStop = func() { stopped++ }
			f.Apply(&raft.Log{Index: 1, Data: encodeNodeUp(up)})
			f.Apply(&raft.Log{Index: 2, Data: batchOf("a", 1, 1, "x")})
			f.Apply(&raft.Log{Index: 3, Data: later})
			f.Apply(&raft.Log{Index: 4, Data: batchOf("a", 1, 2, "y")})
			require.Equal(t, []string{"a:x"}, r.applied)
			require.EqualValues(t, 2, f.watch.applied.Load())
			require.Equal(t, 1, stopped)
			_, err := f.Snapshot()
			require.ErrorIs(t, err, errLevel)
		})
	}
	// One that speaks it goes on, and a snapshot of it says so.
	f, r := newTestFSM()
	f.levels.Newest = 2
	f.apply(1, encodeNodeUp(up))
	f.apply(2, encodeLevel(2))
	f.apply(3, appendCommand(appendBatchHead(nil, batchHead{level: 2, node: "a", incarnation: 1, first: 1, count: 1}), []byte("x")))
	f.apply(4, encodeLevel(1))
	require.Equal(t, 2, f.currentLevel())
	require.Equal(t, []string{"a:x"}, r.applied)
	f.apply(5, encodeNodeUp(shoal.Node{Name: "old", Incarnation: 1}))
	require.Len(t, f.up, 1, "a node that does not speak it does not come up")
	s, err := f.Snapshot()
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, s.(*snapshot).writeTo(&buf))
	old, _ := newTestFSM()
	require.ErrorIs(t, old.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()))), errLevel)
	g, _ := newTestFSM()
	g.levels.Newest = 2
	require.NoError(t, g.Restore(io.NopCloser(bytes.NewReader(buf.Bytes()))))
	require.Equal(t, 2, g.currentLevel())
	require.Equal(t, f.newest, g.newest)
}

func FuzzApply(f *testing.F) {
	f.Add(encodeNodeUp(shoal.Node{Name: "a", Incarnation: 1}))
	f.Add(encodeNodeDown(nodeDown{name: "a", incarnation: 1, adopter: "b", left: true}))
	f.Add(batchOf("a", 1, 1, "x", "y"))
	f.Add([]byte{entryVersion + 1, 0})
	f.Add(appendBatchHead(nil, batchHead{node: "a", incarnation: 1, first: 1, count: 1 << 62}))
	f.Fuzz(func(t *testing.T, entry []byte) {
		m, r := newTestFSM()
		m.apply(1, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 1}))
		m.apply(2, entry)
		n := len(r.applied)
		m.apply(3, entry)
		require.Len(t, r.applied, n, "an entry was applied twice")
	})
}

func FuzzSnapshotHead(f *testing.F) {
	m, _ := newTestFSM()
	m.apply(1, encodeNodeUp(shoal.Node{Name: "a", Incarnation: 1}))
	head := m.appendHead(nil)
	f.Add(append([]byte{snapshotVersion, byte(len(head))}, head...))
	f.Add([]byte{snapshotVersion, 0xff, 0xff, 0xff, 0x1f})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHead(bufio.NewReader(bytes.NewReader(b)))
		if err == nil {
			require.NotNil(t, h.up)
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add([]byte{controlVersion, opRenew, 1, 'a', 1, 1})
	f.Add([]byte{controlVersion, opNodeUp, 1})
	f.Add([]byte{controlVersion, opLeave})
	f.Fuzz(func(t *testing.T, req []byte) {
		if len(req) > 1 && (req[1] == opPropose || req[1] == opState || req[1] == opReached) {
			return // these touch raft, or wait
		}
		m, _ := newTestFSM()
		l := &Log{fsm: m, book: newAddressBook()}
		l.cfg.Logger = slog.New(slog.DiscardHandler)
		_, err := l.Control(t.Context(), "x", req)
		if len(req) < 2 || req[1] != opMisfit {
			require.Error(t, err)
		}
	})
}
