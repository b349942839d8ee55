package raftlog

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// member is a node that is up, in the agreed order.
type member struct {
	node  shoal.Node
	index uint64 // of its NodeUp
	seq   uint64 // of its last command that was applied
}

// fsm is what raft applies entries to. It keeps the up-set and hands commands to the broker's state machine. The maps are
// written on Apply's goroutine alone, with mu held.
type fsm struct {
	self  string
	sm    shoal.StateMachine
	peers Peers
	log   *slog.Logger
	// On Apply's goroutine: the fate of this node's own batches and incarnations.
	onOwnBatch  func(h batchHead, results []any, applied bool)
	onOwnUp     func(incarnation uint64)
	onOwnDown   func(incarnation uint64)
	onRestore   func(own *member)
	onApplied   func(index uint64, size int)
	watch       indexWatch
	lastApplied uint64
	levels      level.Range
	// stopped is set when an entry came that this program does not understand.
	stopped atomic.Bool
	onStop  func()
	// unreadable is why the last snapshot was not restored.
	unreadable error
	// complete tells this node's proposers of the entry that is being applied; nil if it was another node's.
	complete func()

	mu      sync.Mutex
	up      map[string]*member
	last    map[string]uint64 // the greatest incarnation of every name that was ever up
	left    map[string]uint64 // incarnations that have said that they leave, as far as this node has applied that itself
	newest  map[string]int    // the newest level that every name spoke when it was up last
	level   int               // of the cluster
	changed chan struct{}     // closed and replaced when something of these changes
}

func newFSM(self string, levels level.Range, sm shoal.StateMachine, peers Peers, log *slog.Logger) *fsm {
	return &fsm{
		self: self, levels: levels, sm: sm, peers: peers, log: log, level: 1, newest: make(map[string]int),
		up: make(map[string]*member), last: make(map[string]uint64), left: make(map[string]uint64), changed: make(chan struct{}),
	}
}

// members returns the up-set, in the order of the names.
func (f *fsm) members() []member {
	f.mu.Lock()
	defer f.mu.Unlock()
	ms := make([]member, 0, len(f.up))
	for _, name := range slices.Sorted(maps.Keys(f.up)) {
		ms = append(ms, *f.up[name])
	}
	return ms
}

// member returns a node that is up, the greatest incarnation its name ever had, and a channel that closes on change.
func (f *fsm) member(name string) (m member, isUp bool, last uint64, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.up[name]; p != nil {
		m, isUp = *p, true
	}
	return m, isUp, f.last[name], f.changed
}

// leftAs returns the incarnation in which a node has left, 0 if it has not, or was given up.
func (f *fsm) leftAs(name string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left[name]
}

// change runs fn with mu held and tells whoever waits for a change.
func (f *fsm) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	close(f.changed)
	f.changed = make(chan struct{})
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
	f.apply(l.Index, l.Data)
	if f.stopped.Load() {
		return nil
	}
	f.lastApplied = l.Index
	f.watch.reach(l.Index)
	if f.complete != nil {
		// Whoever proposed this hears of it only now: a Barrier of theirs must cover it.
		f.complete()
		f.complete = nil
	}
	f.onApplied(l.Index, len(l.Data))
	return nil
}

func (f *fsm) apply(index uint64, data []byte) {
	var err error
	switch {
	case f.stopped.Load():
		return
	case len(data) < 2:
		err = errMalformed
	case data[0] != entryVersion && !f.levels.Speaks(int(data[0])):
		f.stop(index, int(data[0]))
		return
	case data[1] == kindBatch, data[1] == kindStableBatch:
		err = f.applyBatch(index, data[0], data[1] == kindStableBatch, data[2:])
	case data[1] == kindNodeUp:
		err = f.applyNodeUp(index, data[2:])
	case data[1] == kindNodeDown:
		err = f.applyNodeDown(index, data[2:])
	case data[1] == kindLevel:
		err = f.applyLevel(index, data[2:])
	default:
		err = errMalformed
	}
	if err != nil {
		f.log.Error("log entry is skipped", "index", index, "err", err)
	}
}

func (f *fsm) applyBatch(index uint64, at byte, stable bool, data []byte) error {
	h, rest, err := readBatchHead(data)
	if err != nil {
		return err
	}
	if err := checkCommands(rest, h.count); err != nil {
		return err
	}
	h.level, h.stable = at, stable
	own := h.node == f.self
	m := f.up[h.node]
	if m == nil || m.node.Incarnation != h.incarnation {
		if own {
			f.complete = func() { f.onOwnBatch(h, nil, false) }
		}
		return nil
	}
	if h.first+h.count-1 <= m.seq {
		return nil // the leader got it twice
	}
	var results []any
	if own {
		results = make([]any, 0, h.count)
	}
	for range h.count {
		var cmd []byte
		cmd, rest, _ = nodecodec.Bytes(rest)
		result := f.sm.Apply(index, h.node, cmd)
		if own {
			results = append(results, result)
		}
	}
	f.mu.Lock() // others copy the member
	m.seq = h.first + h.count - 1
	f.mu.Unlock()
	if own {
		f.complete = func() { f.onOwnBatch(h, results, true) }
	}
	return nil
}

func (f *fsm) applyNodeUp(index uint64, data []byte) error {
	n, err := decodeNodeUp(data)
	if err != nil {
		return err
	}
	speaks, err := level.Parse(n.Attributes[AttributeLevels])
	if err != nil {
		return err
	}
	if !speaks.Speaks(f.level) {
		f.change(func() {}) // the leader that let it in did not know of the present level yet
		return nil
	}
	if n.Incarnation <= f.last[n.Name] {
		// It is a repetition, or the node's clock went back: the node sees from last that it needs a greater one.
		f.change(func() {})
		return nil
	}
	if f.sm.Admits(n) != nil {
		f.change(func() {}) // the leader that let it in did not know yet
		return nil          //nolint:nilerr // the node is refused, and the entry is well
	}
	old := f.up[n.Name]
	f.change(func() {
		f.up[n.Name] = &member{node: n, index: index}
		f.last[n.Name] = n.Incarnation
		f.newest[n.Name] = speaks.Newest
		delete(f.left, n.Name)
	})
	if n.Name == f.self {
		if old != nil {
			f.onOwnDown(old.node.Incarnation)
		}
		f.onOwnUp(n.Incarnation)
	}
	// The broker knows first where the node's sessions are now, and then gets back what was on its way to the earlier incarnation.
	f.sm.NodeUp(index, n)
	if old != nil {
		f.peers.NodeDown(n.Name)
	}
	f.peers.NodeUp(n)
	f.log.Info("node joined", "node", n.Name, "incarnation", n.Incarnation)
	return nil
}

func (f *fsm) applyNodeDown(index uint64, data []byte) error {
	d, err := decodeNodeDown(data)
	if err != nil {
		return err
	}
	m := f.up[d.name]
	if m == nil || m.node.Incarnation != d.incarnation {
		return nil
	}
	f.change(func() {
		delete(f.up, d.name)
		if d.left {
			f.left[d.name] = d.incarnation
		}
	})
	f.sm.NodeDown(index, m.node, d.adopter)
	if d.name == f.self { // after the broker has let go of what it proposes changes of
		f.onOwnDown(d.incarnation)
	}
	f.peers.NodeDown(d.name)
	if d.left {
		f.log.Info("node left", "node", d.name, "incarnation", d.incarnation, "adopter", d.adopter)
	} else {
		f.log.Info("node lost", "node", d.name, "incarnation", d.incarnation, "adopter", d.adopter)
	}
	return nil
}
