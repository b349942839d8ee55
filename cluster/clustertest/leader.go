package clustertest

import (
	"context"
	"time"
)

// Leader returns the number of the node that leads the cluster, as a node that leads sees it, or else as most do; -1 if nobody does.
func (c *Cluster) Leader() int {
	votes := make(map[string]int)
	for i, n := range c.nodes {
		leader := n.Status().Leader
		if leader == n.Name {
			return i
		}
		votes[leader]++
	}
	best := -1
	for i, n := range c.nodes {
		if votes[n.Name] > 0 && (best < 0 || votes[n.Name] > votes[c.nodes[best].Name]) {
			best = i
		}
	}
	return best
}

// Remove takes a node that was stopped for good out of the cluster, as an operator does, by way of another one that is up.
func (c *Cluster) Remove(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := context.Cause(ctx)
	for _, n := range c.nodes {
		if cl := n.Cluster(); cl != nil && n.Status().Serving {
			if err = cl.Remove(ctx, c.nodes[i].Name); err == nil {
				return
			}
		}
	}
	c.t.Fatalf("clustertest: no node removes %s: %v", c.nodes[i].Name, err)
}
