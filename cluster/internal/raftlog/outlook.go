package raftlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// outlookAfter is for how long a node does not serve before it says why, outlookAgain when it says so again.
	outlookAfter = 5 * time.Second
	outlookAgain = 5 * time.Minute
)

// watchOutlook says why this node does not serve, when that has lasted.
func (l *Log) watchOutlook(ctx context.Context) {
	var watch stopwatch
	var idle, again time.Duration
	said := ""
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		elapsed := watch.tick(2 * time.Second)
		if l.Serving() || l.leaving.Load() {
			idle, said = 0, ""
			l.reason.Store(nil)
			continue
		}
		idle, again = idle+elapsed, again+elapsed
		if idle < outlookAfter {
			continue
		}
		why := l.outlook(ctx)
		l.reason.Store(&why)
		if why == "" || why == said && again < outlookAgain {
			continue
		}
		said, again = why, 0
		v := l.votersNow()
		l.cfg.Logger.Warn("this node does not serve", "node", l.cfg.Self.Name, "reason", why,
			"sees", l.book.others(l.cfg.Self.Name), "voters", v.Names, "missing", v.Missing, "needed", v.Majority)
	}
}

// outlook returns what this node waits for, and what to do if that does not come by itself; "" if it has been said otherwise.
func (l *Log) outlook(ctx context.Context) string {
	_, leader := l.raft.LeaderWithID()
	switch {
	case l.layer.rivalled.Load(), l.fsm.stopped.Load(), l.misfit.Load() != 0, l.stores.fitness.trouble() != nil:
		return ""
	case l.identity.get() == 0 && l.stores.rebuilding:
		return "its data was damaged, and it waits for a cluster to send it everything again: start the other nodes"
	case l.identity.get() == 0:
		return l.outlookOfNone(ctx)
	case leader != "":
		return fmt.Sprintf("node %s leads, and has not let this node in yet: this node has not caught up, or cannot reach it", leader)
	}
	if strange := l.strangersSeen(ctx); strange != "" {
		return strange
	}
	v := l.votersNow()
	switch {
	case len(v.Missing) == 0 && len(v.Names) > 0:
		return "all voters are to be seen, and none leads yet"
	case l.stores.rebuilding:
		return fmt.Sprintf("there is no majority: %s; this node's data was damaged, and it does not vote before the others have sent it everything; the file %s says more", v, rebuildFile)
	}
	return fmt.Sprintf("there is no majority: %s; start them again, with their data", v)
}

// outlookOfNone is outlook while this node knows of no cluster.
func (l *Log) outlookOfNone(ctx context.Context) string {
	states := l.statesOfOthers(ctx)
	names := slices.Sorted(maps.Keys(states))
	of := func(kind byte) string {
		for _, name := range names {
			if states[name].kind == kind {
				return name
			}
		}
		return ""
	}
	missing := l.cfg.ExpectNodes - 1 - len(names)
	switch {
	case of(stateMember) != "":
		return fmt.Sprintf("node %s is part of a cluster, whose leader has not let this node in yet", of(stateMember))
	case missing > 0:
		return fmt.Sprintf("it begins a cluster with ExpectNodes, %d, nodes, and %d of them are missing: start them, or see to it that they reach each other", l.cfg.ExpectNodes, missing)
	case l.cfg.ExpectNodes > 0:
		return fmt.Sprintf("ExpectNodes, %d, nodes are there, and do not begin a cluster: all must have the same ExpectNodes, no Dir with data, and answer each other", l.cfg.ExpectNodes)
	case l.cfg.Bootstrap && len(l.unfound()) > 0:
		return fmt.Sprintf("it begins a cluster if it finds none, and has not found what it is to join: %v", l.unfound())
	case l.cfg.Bootstrap:
		return "it begins a cluster when all nodes that it sees have answered that there is none"
	case of(stateBootstrap) != "":
		return fmt.Sprintf("node %s is about to begin a cluster", of(stateBootstrap))
	case of(stateExpects) != "":
		return fmt.Sprintf("node %s waits for as many nodes with ExpectNodes as it expects, and this one has none: give it the same ExpectNodes, or start the others", of(stateExpects))
	case len(names) == 0:
		return "it sees no other node, and is not told to begin a cluster: name a node that is up in Join, or, at exactly one node, set Bootstrap"
	}
	return "nobody begins a cluster: start exactly one node with Bootstrap, or all with the same ExpectNodes"
}

// unfound returns what this node is to join and has not found.
func (l *Log) unfound() []string {
	if l.cfg.Unfound == nil {
		return nil
	}
	return l.cfg.Unfound()
}

// statesOfOthers asks all live nodes. Those that do not answer are missing.
func (l *Log) statesOfOthers(ctx context.Context) map[string]state {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	states := make(map[string]state)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range l.book.others(l.cfg.Self.Name) {
		wg.Go(func() {
			s, err := l.stateOf(ctx, name)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			states[name] = s
		})
	}
	wg.Wait()
	return states
}
