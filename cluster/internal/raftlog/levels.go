package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/level"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

// The level of the cluster is part of the agreed order: it changes by an entry, which the leader proposes when all servers that raft knows spoke a
// later level when they were up last, those that are away at the moment included. So a node that was stopped for its upgrade, or comes back without one,
// finds a cluster that it can be part of. A node that does not speak the level is not let in. Should it have been a server before, it comes to the
// entry that it does not understand, and stops there: it applies nothing any more, takes no snapshot and does not serve, but
// it goes on voting, since it need not understand entries for that.

var errLevel = errors.New("raftlog: the node does not speak the level of the cluster")

// Level returns the level of the cluster, as this node knows it.
func (l *Log) Level() int { return l.fsm.currentLevel() }

func (f *fsm) currentLevel() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.level
}

// stop makes this node apply nothing any more. It is called on Apply's goroutine.
func (f *fsm) stop(index uint64, at int) {
	f.stopped.Store(true)
	f.log.Error("this program is too old, or too new, for its cluster: it takes no part until it is replaced by one that speaks the cluster's level",
		"node", f.self, "index", index, "level", at, "speaks", f.levels.String())
	f.onStop()
}

func encodeLevel(l int) []byte {
	return binary.AppendUvarint([]byte{entryVersion, kindLevel}, uint64(l))
}

func (f *fsm) applyLevel(index uint64, data []byte) error {
	l, rest, err := nodecodec.Uvarint(data)
	if err != nil || len(rest) > 0 || l == 0 || l > level.Max {
		return errMalformed
	}
	at := int(l)
	if at <= f.level {
		return nil // it never goes down
	}
	if !f.levels.Speaks(at) {
		f.stop(index, at)
		return nil
	}
	f.change(func() { f.level = at })
	f.log.Info("all nodes speak a later level of the cluster's formats, which is in use from here on", "level", at)
	return nil
}

// stopped is called on Apply's goroutine when the state machine has stopped.
func (l *Log) stopped() {
	l.incarnation.Store(0)
	l.lease.drop()
	l.batcher.down()
}

// raise goes to a later level if all servers speak it.
func (r *reign) raise(servers []raft.Server) error {
	f := r.log.fsm
	f.mu.Lock()
	lowest, now := f.levels.Newest, f.level
	for _, s := range servers {
		lowest = min(lowest, f.newest[string(s.ID)]) // 0 for one that has not been up yet
	}
	f.mu.Unlock()
	r.mu.Lock()
	ready := r.ready
	r.mu.Unlock()
	if !ready || lowest <= now {
		return nil
	}
	return r.log.applyHere(encodeLevel(lowest))
}

// fits checks whether a node can be part of the cluster, and says so once if it cannot.
func (r *reign) fits(n shoal.Node) error {
	announced := n.Attributes[AttributeLevels]
	speaks, err := level.Parse(announced)
	now := r.log.fsm.currentLevel()
	if err == nil && speaks.Speaks(now) {
		return nil
	}
	if _, told := r.misfits.LoadOrStore(n.Name, true); !told {
		r.log.cfg.Logger.Error("node is refused: it does not speak the level of the cluster's formats; start a version of the program that does",
			"node", n.Name, "level", now, "speaks", announced)
	}
	return fmt.Errorf("%w, %d: it speaks %s", errLevel, now, announced)
}

// serveMisfit is told by a leader that this node cannot be part of the cluster.
func (l *Log) serveMisfit(body []byte) error {
	at, _, err := nodecodec.Uvarint(body)
	if err != nil {
		return errRequest
	}
	if l.misfit.CompareAndSwap(0, at) {
		l.cfg.Logger.Error("this node is refused by the cluster: it does not speak the level of the cluster's formats; start a version of the program that does",
			"node", l.cfg.Self.Name, "level", at, "speaks", l.fsm.levels.String())
	}
	return nil
}
