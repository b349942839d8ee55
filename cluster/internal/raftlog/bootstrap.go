package raftlog

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// bootstrapWait is how long the first node of a cluster looks for members of one that exists.
	bootstrapWait = time.Second
	bootstrapPoll = 50 * time.Millisecond
)

// bootstrapState answers another node's question.
func (l *Log) bootstrapState() byte {
	switch {
	case l.raft.LastIndex() > 0:
		return stateMember
	case l.cfg.Bootstrap:
		return stateBootstrap
	}
	return stateFresh
}

// bootstrap begins a cluster, unless there is one. Where several nodes are told to begin it, the first by name does.
func (l *Log) bootstrap(ctx context.Context) {
	began := time.Now()
	t := time.NewTicker(bootstrapPoll)
	defer t.Stop()
	for {
		if l.raft.LastIndex() > 0 {
			return // a leader has found this node
		}
		allAsked, yield := l.lookAround(ctx)
		if allAsked && !yield && time.Since(began) >= bootstrapWait {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	addr := l.transport.LocalAddr()
	err := l.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(l.cfg.Self.Name), Address: addr}}}).Error()
	if err != nil && ctx.Err() == nil {
		l.cfg.Logger.Error("cluster not begun", "err", err)
		return
	}
	l.transport.noVotes.Store(false)
	l.cfg.Logger.Info("cluster begun", "node", l.cfg.Self.Name)
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
		answer, err := l.cfg.Peers.Control(ctx, name, []byte{controlVersion, opState})
		switch {
		case err != nil || len(answer) != 1:
			allAsked = false
		case answer[0] == stateMember, answer[0] == stateBootstrap && name < l.cfg.Self.Name:
			yield = true
		}
	}
	return allAsked, yield
}
