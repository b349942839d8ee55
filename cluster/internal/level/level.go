// Package level says which levels of the cluster's formats a program speaks, so that nodes of two versions can be one cluster.
//
// A level is a number that stands for everything that nodes say to each other and keep together: entries of raft's log and the commands in them,
// snapshots, requests, frames. A change that an older program would misread makes a new level. Each node announces the levels that it
// speaks; the cluster is at one that all its nodes speak, and goes up when the last one has been upgraded, never down. What belongs to
// a later level is not sent before. A node that does not speak the cluster's level is refused.
//
// What is added in a place where older programs pass over it, such as attributes of a node, fields of a protobuf message, or the end of the
// preamble of raft's connections, needs no new level.
package level

import "fmt"

// Range is what a program speaks: all levels from Oldest to Newest.
type Range struct{ Oldest, Newest int }

// Max is the last level there can be: it is a byte in raft's log.
const Max = 255

// Own is what this program speaks.
func Own() Range { return Range{Oldest: 1, Newest: 1} }

// Speaker is an optional interface of a cluster's Network: a program that pretends to speak something else, for tests of upgrades. Only this module can
// name it.
type Speaker interface{ Levels() Range }

// Of returns what a node with a Network speaks.
func Of(network any) Range {
	if s, ok := network.(Speaker); ok {
		return s.Levels()
	}
	return Own()
}

// Speaks reports whether l is in the range.
func (r Range) Speaks(l int) bool { return r.Oldest <= l && l <= r.Newest }

// String returns what Parse reads.
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.Oldest, r.Newest) }

// Parse reads what a node announces. Without an announcement it is the first level alone.
func Parse(s string) (Range, error) {
	if s == "" {
		return Range{1, 1}, nil
	}
	var r Range
	if n, err := fmt.Sscanf(s, "%d-%d", &r.Oldest, &r.Newest); n != 2 || err != nil || r.Oldest < 1 || r.Newest < r.Oldest || r.Newest > Max || r.String() != s {
		return Range{}, fmt.Errorf("levels %q are not such as \"1-2\"", s)
	}
	return r, nil
}
