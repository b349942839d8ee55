package cluster

import (
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/internal/faults"
)

// Status is what an operator wants to know of a node.
type Status struct {
	// Leader is the leader's name, as this node sees it; empty if there is none.
	Leader string
	// Nodes are up, in the order of their names.
	Nodes []shoal.Node
	// Voters are the nodes that decide, those that are away and not removed yet included, in the order of their names; see Config.Voters.
	Voters []string
	// Missing are those of Voters that this node does not see now. Majority is how many of Voters have to be there, so that the cluster serves.
	Missing  []string
	Majority int
	// Seen are the nodes that gossip sees now, this one included, in the order of their names, whether or not they take part.
	Seen []string
	// Reason says why this node does not serve, and what to do, when it has not for some seconds. It is for people; it is what the node logs then.
	Reason string
	// Serving reports whether this node holds a lease.
	Serving bool
	// Level is that of the formats in which the nodes talk to each other: the latest that all of them speak, those that are away included. See package
	// cluster's documentation.
	Level int
	// AppliedIndex is the last log entry that was applied here.
	AppliedIndex uint64
}

// Status returns the state of the cluster as this node sees it.
func (c *Cluster) Status() Status {
	r := c.running.Load()
	if r == nil {
		return Status{}
	}
	s := r.log.State()
	return Status{
		Leader: s.Leader, Nodes: s.Nodes, Voters: s.Voters.Names, Missing: s.Voters.Missing, Majority: s.Voters.Majority,
		Seen: s.Seen, Reason: s.Reason, Level: s.Level, Serving: r.log.Serving(), AppliedIndex: s.Applied,
	}
}

// Now implements shoal.Timekeeper. Before Start it is the time on this node's wall.
func (c *Cluster) Now() time.Time {
	if r := c.running.Load(); r != nil {
		return r.log.Now()
	}
	return faults.Wall(c.cfg.Network)
}
