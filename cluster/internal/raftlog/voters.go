package raftlog

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/nodecodec"
)

const (
	reconcileInterval = time.Second
	stateTimeout      = 300 * time.Millisecond
	removeTimeout     = 5 * time.Second
)

var (
	errNotServer = errors.New("raft does not know it yet")
	errRunning   = errors.New("it is running: stop it first")
)

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
	absent := make(map[raft.ServerID]time.Time)
	t := time.NewTicker(reconcileInterval)
	defer t.Stop()
	for {
		if err := r.reconcile(ctx, absent); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Debug("changing raft's configuration", "err", err)
		}
		select {
		case <-t.C:
		case <-l.peersChanged:
		case <-ctx.Done():
			return
		}
	}
}

// reconcile makes one pass.
func (r *reign) reconcile(ctx context.Context, absent map[raft.ServerID]time.Time) error {
	l := r.log
	servers, err := l.servers()
	if err != nil {
		return err
	}
	live := l.book.live()
	known := make(map[raft.ServerID]bool, len(servers))
	var errs []error
	for _, s := range servers {
		known[s.ID] = true
		if _, ok := live[string(s.ID)]; ok || string(s.ID) == l.cfg.Self.Name {
			delete(absent, s.ID)
			continue
		}
		since, ok := absent[s.ID]
		if !ok {
			absent[s.ID] = time.Now()
		} else if _, isUp, _, _ := l.fsm.member(string(s.ID)); !isUp && time.Since(since) >= l.cfg.RemoveLostAfter {
			l.cfg.Logger.Info("node is no longer part of the cluster", "node", string(s.ID), "absent", l.cfg.RemoveLostAfter)
			errs = append(errs, l.removeServer(s.ID))
			delete(absent, s.ID)
		}
	}
	for name, addr := range live {
		// The address that a node had first stays in the configuration: the address book knows the present one. raft 1.8.0 has a
		// data race between replicating to a server and changing its address.
		if known[raft.ServerID(name)] || addr == "" {
			continue
		}
		errs = append(errs, r.invite(ctx, name, addr))
	}
	errs = append(errs, r.promote(ctx, live), r.raise(servers))
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

// promote makes a voter of a node that is up and was one too many, when a voter has gone.
func (r *reign) promote(ctx context.Context, live map[string]string) error {
	return r.log.alone(ctx, func(servers []raft.Server) error { return r.promoteOneOf(servers, live) })
}

func (r *reign) promoteOneOf(servers []raft.Server, live map[string]string) error {
	if countVoters(servers) >= r.log.cfg.Voters {
		return nil
	}
	for _, s := range servers {
		_, isUp, _, _ := r.log.fsm.member(string(s.ID))
		if _, ok := live[string(s.ID)]; ok && isUp && s.Suffrage != raft.Voter {
			r.log.cfg.Logger.Info("node becomes a voter", "node", string(s.ID))
			return r.log.addVoter(s.ID, s.Address) // one at a time: each changes what a majority is
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

// Remove takes a node that does not run out of the cluster at once, instead of after RemoveLostAfter.
func (l *Log) Remove(ctx context.Context, name string) error {
	for {
		answer, err := l.toLeader(ctx, removeTimeout, opRemove, nodecodec.AppendString(nil, name))
		switch {
		case err == nil && len(answer) > 0:
			return errRunning
		case err == nil:
			return nil
		}
		select {
		case <-l.leaderChanged():
		case <-time.After(retryMax):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// serveRemove answers nothing, or a byte if the node is running.
func (l *Log) serveRemove(body []byte) ([]byte, error) {
	name, _, err := nodecodec.String(body)
	if err != nil {
		return nil, errRequest
	}
	if l.reign.Load() == nil {
		return nil, errNotLeader
	}
	_, seen := l.book.live()[name]
	if _, isUp, _, _ := l.fsm.member(name); seen || isUp {
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

// invite adds a node that is new here, unless it is part of another cluster.
func (r *reign) invite(ctx context.Context, name, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	s, err := r.log.stateOf(ctx, name)
	if err != nil {
		return err
	}
	if s.cluster != 0 && s.cluster != r.log.identity.get() {
		if !r.strangers[name] {
			r.log.cfg.Logger.Error("node belongs to another cluster; stop it, and start it again without Bootstrap and with an empty Dir", "node", name)
		}
		r.strangers[name] = true
		return errOtherCluster
	}
	delete(r.strangers, name)
	if err := r.fits(shoal.Node{Name: name, Attributes: r.log.book.attributes(name)}); err != nil {
		level := binary.AppendUvarint([]byte{controlVersion, opMisfit}, uint64(r.log.fsm.currentLevel()))
		_, told := r.log.cfg.Peers.Control(ctx, name, level)
		return errors.Join(err, told)
	}
	return r.log.addNonvoter(raft.ServerID(name), raft.ServerAddress(addr))
}

// admit makes a voter of a node that has caught up, unless there are enough.
func (r *reign) admit(ctx context.Context, name string) error {
	return r.log.alone(ctx, func(servers []raft.Server) error { return r.admitOneOf(servers, name) })
}

func (r *reign) admitOneOf(servers []raft.Server, name string) error {
	for _, s := range servers {
		switch {
		case string(s.ID) != name:
		case s.Suffrage == raft.Voter, countVoters(servers) >= r.log.cfg.Voters:
			return nil
		default:
			return r.log.addVoter(s.ID, s.Address)
		}
	}
	return errNotServer
}

func (l *Log) addVoter(id raft.ServerID, addr raft.ServerAddress) error {
	return l.gate.do(func() error { return l.raft.AddVoter(id, addr, 0, enqueueTimeout).Error() })
}

func (l *Log) addNonvoter(id raft.ServerID, addr raft.ServerAddress) error {
	return l.gate.do(func() error { return l.raft.AddNonvoter(id, addr, 0, enqueueTimeout).Error() })
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
