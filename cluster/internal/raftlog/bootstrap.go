package raftlog

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	// bootstrapWait is how long the first node of a cluster looks for members of one that exists.
	// The nodes of one that exists ask for those they have lost every half second.
	bootstrapWait = 1500 * time.Millisecond
	// bootstrapPatience is how long it looks for those that it was told to join. They may be a cluster that it is cut off from.
	bootstrapPatience = 10 * time.Second
	bootstrapPoll     = 50 * time.Millisecond
)

// state is what a node answers about itself.
type state struct {
	kind    byte
	cluster uint64 // the identity of its cluster, or 0
	expects uint64 // how many nodes are to begin a cluster, with stateExpects
	leaving bool   // it is about to end
	size    size   // of its cluster; nothing if an earlier version answers
}

// serveState answers another node's question.
func (l *Log) serveState() []byte {
	kind := byte(stateFresh)
	id := l.identity.get()
	switch {
	case id != 0:
		kind = stateMember
	case l.stores.rebuilding:
	case l.cfg.Bootstrap:
		kind = stateBootstrap
	case l.cfg.ExpectNodes > 0:
		kind = stateExpects
	}
	answer := binary.BigEndian.AppendUint64([]byte{kind}, id)
	answer = binary.AppendUvarint(answer, uint64(l.cfg.ExpectNodes))
	leaving := byte(0)
	if l.leaving.Load() {
		leaving = 1
	}
	own := l.size()
	return binary.AppendUvarint(binary.AppendUvarint(append(answer, leaving), own.voters), own.entries)
}

// stateOf asks a node.
func (l *Log) stateOf(ctx context.Context, name string) (state, error) {
	answer, err := l.cfg.Peers.Control(ctx, name, []byte{controlVersion, opState})
	if err != nil {
		return state{}, err
	}
	if len(answer) < 9 {
		return state{}, errRequest
	}
	expects, rest, err := nodecodec.Uvarint(answer[9:])
	if err != nil {
		return state{}, errRequest
	}
	s := state{kind: answer[0], cluster: binary.BigEndian.Uint64(answer[1:]), expects: expects}
	if len(rest) == 0 {
		return s, nil
	}
	s.leaving = rest[0] == 1
	if s.size.voters, rest, err = nodecodec.Uvarint(rest[1:]); err != nil {
		return state{}, errRequest
	}
	if s.size.entries, _, err = nodecodec.Uvarint(rest); err != nil {
		return state{}, errRequest
	}
	return s, nil
}

// bootstrap begins a cluster, unless there is one. Where several nodes are told to begin it, the first by name does.
func (l *Log) bootstrap(ctx context.Context) {
	var watch stopwatch
	var looked time.Duration
	t := time.NewTicker(bootstrapPoll)
	defer t.Stop()
	for {
		if l.identity.get() != 0 {
			return // a leader has found this node
		}
		looked += watch.tick(2 * bootstrapPoll)
		enough := looked >= bootstrapPatience || looked >= bootstrapWait && len(l.unfound()) == 0
		allAsked, yield := l.lookAround(ctx)
		if allAsked && !yield && !l.layer.rivalled.Load() && enough {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	l.begin(ctx, newIdentity(), []string{l.cfg.Self.Name})
}

func newIdentity() uint64 { return rand.Uint64() | 1 }

// begin begins a cluster of the given nodes, this one among them.
func (l *Log) begin(ctx context.Context, id uint64, names []string) {
	if err := l.identity.meet(id); err != nil {
		return // a leader has found this node just now
	}
	live := l.book.live()
	servers := make([]raft.Server, len(names))
	for i, name := range names {
		servers[i] = raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(live[name])}
		if name == l.cfg.Self.Name {
			servers[i].Address = l.transport.LocalAddr()
		}
		if i >= l.cfg.Voters {
			servers[i].Suffrage = raft.Nonvoter
		}
	}
	err := l.gate.do(func() error { return l.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error() })
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Error("cluster not begun", "err", err)
		return
	}
	l.transport.noVotes.Store(false)
	l.cfg.Logger.Info("cluster begun", "node", l.cfg.Self.Name, "nodes", names)
}

// lookAround asks the live nodes whether they have a cluster, or are to begin one before this node.
func (l *Log) lookAround(ctx context.Context) (allAsked, yield bool) {
	ctx, cancel := context.WithTimeout(ctx, bootstrapWait)
	defer cancel()
	allAsked = true
	for name := range l.book.live() {
		if name == l.cfg.Self.Name {
			continue
		}
		s, err := l.stateOf(ctx, name)
		switch {
		case err != nil:
			allAsked = false
		case s.kind == stateMember, s.kind == stateBootstrap && name < l.cfg.Self.Name:
			yield = true
		}
	}
	return allAsked, yield
}
