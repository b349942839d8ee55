package raftlog

import (
	"context"
	"errors"
	"time"

	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	removeTimeout = 2 * time.Second
	removePause   = 200 * time.Millisecond
)

var errRunning = errors.New("it is running: stop it first")

// Remove takes a node that does not run out of the cluster at once, instead of after RemoveLostAfter. It goes on trying, at whichever node leads, until ctx ends.
func (l *Log) Remove(ctx context.Context, name string) error {
	if name == l.cfg.Self.Name {
		return errRunning
	}
	for {
		changed := l.leaderChanged()
		answer, err := l.askLeaderToRemove(ctx, changed, name)
		switch {
		case err == nil && len(answer) == 0:
			return nil
		case err == nil && l.answers(ctx, name):
			return errRunning
		case err == nil:
			err = errNotGone
		}
		select {
		case <-changed:
		case <-time.After(removePause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), l.lacking(err))
		}
	}
}

var errNotGone = errors.New("it does not answer, and the others have not given it up yet")

// askLeaderToRemove gives up when another node leads: one that stands still does not answer.
func (l *Log) askLeaderToRemove(ctx context.Context, changed <-chan struct{}, name string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return l.toLeader(ctx, removeTimeout, opRemove, nodecodec.AppendString(nil, name))
}

// answers reports whether a node is there, and not about to end.
func (l *Log) answers(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	s, err := l.stateOf(ctx, name)
	return err == nil && !s.leaving
}

// serveRemove answers nothing, or a byte if the node is running, or may be.
func (l *Log) serveRemove(body []byte) ([]byte, error) {
	name, _, err := nodecodec.String(body)
	if err != nil {
		return nil, errRequest
	}
	if l.reign.Load() == nil {
		return nil, errNotLeader
	}
	_, seen := l.book.live()[name]
	if _, isUp, _, _ := l.fsm.member(name); isUp || seen && !l.hasLeft(name) {
		return []byte{1}, nil
	}
	servers, err := l.servers()
	if err != nil {
		return nil, err
	}
	for _, s := range servers {
		if string(s.ID) == name {
			l.cfg.Logger.Info("node is removed from the cluster", "node", name)
			return nil, l.removeServer(s.ID)
		}
	}
	return nil, nil
}
