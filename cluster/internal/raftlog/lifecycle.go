package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	nodeUpTimeout = 2 * time.Second
	nodeUpPause   = 50 * time.Millisecond
	// nearlyLevel is how many entries a node may be behind the leader when it comes up.
	nearlyLevel = 256
	// amnesiaWait is how long a node without its log waits for a leader before it votes.
	amnesiaWait = 10 * time.Second
)

var errCatchingUp = errors.New("it has not caught up yet")

// stayUp proposes this node's NodeUp whenever it is not up.
func (l *Log) stayUp(ctx context.Context) {
	self := l.cfg.Self
	told := false // that the cluster does not admit this node
	for {
		m, isUp, last, changed := l.fsm.member(self.Name)
		if l.fsm.stopped.Load() {
			return
		}
		switch {
		case isUp && m.node.Incarnation == self.Incarnation && !l.outdated.Load():
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		case last >= self.Incarnation:
			// Given up, or the clock went back since this node was here before.
			self.Incarnation = max(last+1, NewIncarnation(l.Now()))
			l.wanted.Store(self.Incarnation)
			l.cfg.Renamed(self)
		}
		if err := l.fsm.sm.Admits(self); err != nil {
			if !told {
				l.cfg.Logger.Error("this node cannot be one of its cluster, and does not serve", "node", self.Name, "error", err)
				told = true
			}
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		body := binary.AppendUvarint(nil, l.fsm.watch.applied.Load())
		body = nodecodec.Append(body, self)
		if !l.knowsTime(ctx) {
			l.cfg.Logger.Debug("not up before the cluster's time is known")
		} else if _, err := l.toLeader(ctx, nodeUpTimeout, opNodeUp, body); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Debug("not up yet", "err", err)
		}
		select {
		case <-changed:
		case <-l.leaderChanged():
		case <-time.After(nodeUpPause):
		case <-ctx.Done():
			return
		}
	}
}

// NewIncarnation returns an incarnation for a node that starts now: its time, in microseconds.
func NewIncarnation(now time.Time) uint64 { return uint64(now.UnixMicro()) }

func (l *Log) serveNodeUp(ctx context.Context, body []byte) error {
	applied, body, err := nodecodec.Uvarint(body)
	if err != nil {
		return errRequest
	}
	n, err := decodeNodeUp(body)
	if err != nil {
		return errRequest
	}
	r := l.reign.Load()
	if r == nil {
		return errNotLeader
	}
	if l.book.mistaken(n.Name, n.Attributes[AttributePeer]) {
		return errNamesake
	}
	if err := r.fits(n); err != nil {
		return err
	}
	if err := l.fsm.sm.Admits(n); err != nil {
		if _, told := r.misfits.LoadOrStore(n.Name, true); !told {
			l.cfg.Logger.Error("node is refused", "node", n.Name, "error", err)
		}
		return err
	}
	if applied+nearlyLevel < l.fsm.watch.applied.Load() {
		return errCatchingUp
	}
	if err := r.admit(ctx, n.Name); err != nil {
		return err
	}
	return l.applyHere(encodeNodeUp(n))
}

// Yield hands over leadership, if this node has it. If it gets it again, it keeps it: were all nodes about to stop, it would go round and round.
func (l *Log) Yield(ctx context.Context) error {
	if l.raft.State() != raft.Leader || !l.hasOtherVoters() {
		return nil
	}
	transferred := make(chan error, 1)
	l.wg.Go(func() {
		transferred <- l.gate.do(func() error { return l.raft.LeadershipTransfer().Error() })
	})
	select {
	case err := <-transferred:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watchAmnesia lets a node without its log vote once it has caught up, or when nobody leads it for amnesiaWait; a node that is being rebuilt only when it has
// caught up. It has everything that was agreed before when it comes to its own NodeUp.
func (l *Log) watchAmnesia(ctx context.Context) {
	var watch stopwatch
	var alone time.Duration
	t := time.NewTicker(nodeUpPause)
	defer t.Stop()
	for {
		if l.incarnation.Load() != 0 {
			break
		}
		alone += watch.tick(2 * nodeUpPause)
		if _, id := l.raft.LeaderWithID(); id != "" {
			alone = 0
		}
		if alone >= amnesiaWait && !l.stores.rebuilding {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	l.transport.noVotes.Store(false)
	if l.stores.rebuilding {
		if err := rebuilt(l.cfg.Dir); err != nil {
			l.cfg.Logger.Error("this node has everything again, and cannot say so for its next start", "file", rebuildFile, "err", err)
			return
		}
		l.cfg.Logger.Info("this node has everything again, and votes", "node", l.cfg.Self.Name)
	}
}
