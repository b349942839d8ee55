package raftlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	leaveTimeout = 2 * time.Second
	// forGoodTimeout is how long a node that leaves for good tries to reach the others.
	forGoodTimeout = 10 * time.Second
)

var (
	errNotLeft = errors.New("this node has not left for good, and is still waited for: remove it, from another node, when a majority is there again")
	errLast    = errors.New("this node is the last one that decides; nobody is there to leave the cluster to")
)

// LeaveOnClose lets Close take this node out of the cluster.
func (l *Log) LeaveOnClose() { l.forGood.Store(true) }

// leave hands over leadership and says that this node leaves, as far as that is possible in time. An error is one of leaving for good.
func (l *Log) leave() error {
	forGood, limit := l.forGood.Load(), leaveTimeout
	if forGood {
		limit = forGoodTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	yielding, stop := context.WithTimeout(ctx, leaveTimeout)
	if err := l.Yield(yielding); err != nil {
		l.cfg.Logger.Debug("leadership not handed over", "err", err)
	}
	stop()
	for {
		err := l.leaveOnce(ctx, forGood)
		switch {
		case err == nil && forGood:
			l.cfg.Logger.Info("node has left for good", "node", l.cfg.Self.Name)
			return nil
		case err == nil, l.identity.get() == 0:
			return nil
		case errors.Is(err, errLast):
			return err
		}
		l.cfg.Logger.Debug("leaving", "err", err)
		select {
		case <-time.After(nodeUpPause):
		case <-ctx.Done():
			if forGood {
				return fmt.Errorf("%w: %w", errNotLeft, l.lacking(err))
			}
			return nil
		}
	}
}

func (l *Log) leaveOnce(ctx context.Context, forGood bool) error {
	incarnation := l.wanted.Load()
	if m, isUp, _, _ := l.fsm.member(l.cfg.Self.Name); isUp {
		incarnation = m.node.Incarnation
	}
	body := appendIncarnation(nil, l.cfg.Self.Name, incarnation)
	if forGood {
		body = append(body, 1)
	}
	_, err := l.toLeader(ctx, time.Second, opLeave, body)
	return err
}

// serveLeave lets a node go. What it answers for first is that the node is down for all.
func (l *Log) serveLeave(ctx context.Context, body []byte) error {
	name, incarnation, rest, err := readIncarnation(body)
	if err != nil {
		return err
	}
	forGood := len(rest) > 0 && rest[0] == 1
	r := l.reign.Load()
	if r == nil {
		return errNotLeader
	}
	d, err := r.condemn(name, incarnation)
	switch {
	case errors.Is(err, errNotUp): // it has gone already
	case err != nil:
		return err
	default:
		d.left = true
		if err := l.applyHere(encodeNodeDown(d)); err != nil {
			return err
		}
	}
	if err := l.alone(ctx, func(servers []raft.Server) error { return l.release(servers, name, forGood) }); err != nil {
		return err
	}
	return r.vote(ctx, "") // its vote lapses before it is gone, if the others can lose one node more then
}

// release takes the place of a node that leaves for good, and the vote of one of two: the other one could decide nothing.
func (l *Log) release(servers []raft.Server, name string, forGood bool) error {
	for _, s := range servers {
		if string(s.ID) != name {
			continue
		}
		voter := s.Suffrage == raft.Voter
		switch voters := countVoters(servers); {
		case forGood && voter && voters == 1:
			return errLast
		case forGood:
			l.cfg.Logger.Info("node leaves for good", "node", name)
			return l.removeServer(s.ID)
		case voter && voters == 2:
			l.cfg.Logger.Info("node stops, and has no vote while it is away, so that the other one can go on", "node", name)
			return l.demoteVoter(s.ID)
		}
	}
	return nil
}

// lacking adds to an error what is missing for a majority, if anything is.
func (l *Log) lacking(err error) error {
	if v := l.votersNow(); len(v.Missing) > 0 {
		return fmt.Errorf("%w; %s", err, v)
	}
	return err
}

// Voters is who decides, as a node sees it.
type Voters struct {
	Names    []string
	Missing  []string // those of Names that are not to be seen
	Majority int      // how many of Names have to agree
}

// String says what is missing.
func (v Voters) String() string {
	return fmt.Sprintf("%d of %d voters decide, and %d are to be seen; missing: %v", v.Majority, len(v.Names), len(v.Names)-len(v.Missing), v.Missing)
}

// votersNow returns who decides, in the order of the names.
func (l *Log) votersNow() (v Voters) {
	servers, _ := l.servers() // none after Close
	live := l.book.live()
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		v.Names = append(v.Names, string(s.ID))
		if _, seen := live[string(s.ID)]; !seen && string(s.ID) != l.cfg.Self.Name {
			v.Missing = append(v.Missing, string(s.ID))
		}
	}
	slices.Sort(v.Names)
	slices.Sort(v.Missing)
	v.Majority = len(v.Names)/2 + 1
	return v
}
