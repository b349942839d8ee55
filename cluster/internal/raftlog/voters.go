package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
)

const (
	reconcileInterval = time.Second
	stateTimeout      = 300 * time.Millisecond
)

var errNotServer = errors.New("raft does not know it yet")

// SetPeers is Replicator.SetPeers.
func (l *Log) SetPeers(live []shoal.Node) {
	for _, addr := range l.book.setLive(live) {
		l.layer.hangUpOn(addr)
	}
	select {
	case l.peersChanged <- struct{}{}:
	default:
	}
}

// reconcileVoters makes raft's configuration follow the live nodes, while this node leads.
func (r *reign) reconcileVoters(ctx context.Context) {
	l := r.log
	t := time.NewTicker(reconcileInterval)
	defer t.Stop()
	for {
		_, _, _, changed := l.fsm.member("")
		if err := r.reconcile(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Debug("changing raft's configuration", "err", err)
		}
		select {
		case <-t.C:
		case <-changed:
		case <-l.peersChanged:
		case <-ctx.Done():
			return
		}
	}
}

// reconcile makes one pass.
func (r *reign) reconcile(ctx context.Context) error {
	l := r.log
	servers, err := l.servers()
	if err != nil {
		return err
	}
	known := make(map[raft.ServerID]bool, len(servers))
	var errs []error
	for _, s := range servers {
		known[s.ID] = true
		if s.Suffrage != raft.Voter && r.standing(string(s.ID)) == released && r.absentFor(string(s.ID), l.cfg.RemoveLostAfter) {
			l.cfg.Logger.Info("node is no longer part of the cluster", "node", string(s.ID), "absent", l.cfg.RemoveLostAfter)
			errs = append(errs, l.removeServer(s.ID))
		}
	}
	for name, addr := range l.book.live() {
		// The address that a node had first stays in the configuration: the address book knows the present one. raft 1.8.0 has a
		// data race between replicating to a server and changing its address.
		if addr == "" || l.hasLeft(name) {
			continue
		}
		if !known[raft.ServerID(name)] {
			errs = append(errs, r.invite(ctx, name, addr))
		} else if _, isUp, _, _ := l.fsm.member(name); !isUp && name != l.cfg.Self.Name {
			errs = append(errs, r.meet(ctx, name))
		}
	}
	errs = append(errs, r.vote(ctx, ""), r.raise(servers))
	return errors.Join(errs...)
}

// alone calls fn with raft's servers while no other node is made a voter: of several that come up together, each would find a place free that they
// cannot all have.
func (l *Log) alone(ctx context.Context, fn func(servers []raft.Server) error) error {
	select {
	case l.voting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.voting }()
	servers, err := l.servers()
	if err != nil {
		return err
	}
	return fn(servers)
}

// vote gives votes to nodes, and takes them away, until everything is as the ballot wants it. A node that is about to come up counts as one that is.
func (r *reign) vote(ctx context.Context, coming string) error {
	return r.log.alone(ctx, func(servers []raft.Server) error {
		for range 2 * len(servers) {
			c := r.ballot(servers, coming).next()
			if c.name == "" {
				return nil
			}
			if err := r.apply(c, servers); err != nil {
				return err
			}
			var err error
			if servers, err = r.log.servers(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *reign) ballot(servers []raft.Server, coming string) ballot {
	b := ballot{most: r.log.cfg.Voters}
	for _, s := range servers {
		how := fit
		if name := string(s.ID); name != coming {
			how = r.standing(name)
		}
		b.seats = append(b.seats, seat{string(s.ID), s.Suffrage == raft.Voter, how})
	}
	return b
}

// apply makes one step.
func (r *reign) apply(c change, servers []raft.Server) error {
	l := r.log
	for _, s := range servers {
		switch {
		case string(s.ID) != c.name:
		case c.promote:
			l.cfg.Logger.Info("node becomes a voter", "node", c.name)
			return l.addVoter(s.ID, s.Address)
		case c.replace:
			l.cfg.Logger.Info("node is away and has no vote any more: another one takes its place", "node", c.name)
			return l.demoteVoter(s.ID)
		default:
			l.cfg.Logger.Info("node has been away for long and has no vote any more, so that fewer nodes are needed to decide", "node", c.name)
			return l.demoteVoter(s.ID)
		}
	}
	return nil
}

func countVoters(servers []raft.Server) (n int) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// invite adds a node that is new here, unless it is part of another cluster.
func (r *reign) invite(ctx context.Context, name, addr string) error {
	if err := r.meet(ctx, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	if err := r.fits(shoal.Node{Name: name, Attributes: r.log.book.attributes(name)}); err != nil {
		level := binary.AppendUvarint([]byte{controlVersion, opMisfit}, uint64(r.log.fsm.currentLevel()))
		_, told := r.log.cfg.Peers.Control(ctx, name, level)
		return errors.Join(err, told)
	}
	return r.log.addNonvoter(raft.ServerID(name), raft.ServerAddress(addr))
}

// admit lets a node come up that has caught up: as a voter, if there are too few.
func (r *reign) admit(ctx context.Context, name string) error {
	servers, err := r.log.servers()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == name }) {
		return errNotServer
	}
	return r.vote(ctx, name)
}

func (l *Log) addVoter(id raft.ServerID, addr raft.ServerAddress) error {
	return l.gate.do(func() error { return l.raft.AddVoter(id, addr, 0, enqueueTimeout).Error() })
}

func (l *Log) addNonvoter(id raft.ServerID, addr raft.ServerAddress) error {
	return l.gate.do(func() error { return l.raft.AddNonvoter(id, addr, 0, enqueueTimeout).Error() })
}

func (l *Log) demoteVoter(id raft.ServerID) error {
	return l.gate.do(func() error { return l.raft.DemoteVoter(id, 0, enqueueTimeout).Error() })
}

func (l *Log) removeServer(id raft.ServerID) error {
	return l.gate.do(func() error { return l.raft.RemoveServer(id, 0, enqueueTimeout).Error() })
}

func (l *Log) servers() ([]raft.Server, error) {
	future := l.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, err
	}
	return future.Configuration().Servers, nil
}

func (l *Log) hasOtherVoters() bool {
	servers, err := l.servers()
	if err != nil {
		return false
	}
	for _, s := range servers {
		if s.Suffrage == raft.Voter && string(s.ID) != l.cfg.Self.Name {
			return true
		}
	}
	return false
}
