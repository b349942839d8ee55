package raftlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Two clusters that were begun by mistake never mix: each connection of raft's begins with the identity of its cluster. When their nodes see each other, one of the
// clusters has to go, and both say which, and for the same reason: the one with fewer voters, or with less in its log.

// size is how much a cluster is.
type size struct{ voters, entries uint64 }

// than says which of two clusters is to be kept. It is 0 if they are alike.
func (s size) than(other size) int {
	switch {
	case s.voters != other.voters:
		return compare(s.voters, other.voters)
	default:
		return compare(s.entries, other.entries)
	}
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// size returns how much this node's cluster is, as far as it knows.
func (l *Log) size() size {
	return size{uint64(len(l.votersNow().Names)), l.raft.LastIndex()}
}

// strange returns what to do about a node that belongs to another cluster, "" if it does not.
func (l *Log) strange(name string, s state) string {
	own := l.identity.get()
	if s.cluster == 0 || own == 0 || s.cluster == own {
		return ""
	}
	const start = "without Bootstrap and with an empty Dir"
	mine := l.size()
	sizes := fmt.Sprintf("%d voters and %d entries against %d and %d", mine.voters, mine.entries, s.size.voters, s.size.entries)
	switch mine.than(s.size) {
	case 1:
		return fmt.Sprintf("keep this cluster, which has more (%s): stop node %s and the nodes of its cluster, and start them again %s", sizes, name, start)
	case -1:
		return fmt.Sprintf("keep the cluster of node %s, since this one has less (%s): stop the nodes of this cluster, %v, and start them again %s", name, sizes, l.votersNow().Names, start)
	}
	return fmt.Sprintf("neither has more (%s), so choose one: stop the nodes of the other one, and start them again %s", sizes, start)
}

// strangersSeen returns what to do about a node of another cluster that is to be seen.
func (l *Log) strangersSeen(ctx context.Context) string {
	states := l.statesOfOthers(ctx)
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if what := l.strange(name, states[name]); what != "" {
			return "node " + name + " belongs to another cluster; " + what
		}
	}
	return ""
}

var errStranger = errors.New("the node belongs to another cluster")

// meet asks a node that takes no part which cluster it belongs to, and says once if that is another one.
func (r *reign) meet(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	s, err := r.log.stateOf(ctx, name)
	if err != nil {
		return err
	}
	what := r.log.strange(name, s)
	if what == "" {
		delete(r.strangers, name)
		return nil
	}
	if !r.strangers[name] {
		r.log.cfg.Logger.Error("two clusters see each other", "node", name, "remedy", what)
	}
	r.strangers[name] = true
	return errStranger
}
