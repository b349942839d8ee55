package bubble

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
)

// Roles are the nodes of a test, so that the loss of one is not the loss of the leader.
type Roles struct{ Publisher, Other, Leader int }

// RolesOf returns the roles of a cluster that has a leader.
func RolesOf(t *testing.T, c *clustertest.Cluster) (r Roles) {
	t.Helper()
	r = Roles{-1, -1, -1}
	for i := range c.Nodes() {
		switch {
		case c.Node(i).Name == c.Node(0).Status().Leader:
			r.Leader = i
		case r.Publisher < 0:
			r.Publisher = i
		case r.Other < 0:
			r.Other = i
		}
	}
	require.GreaterOrEqual(t, r.Leader, 0)
	return r
}

// Slow is what the network takes for what comes back to the publisher's node. It is longer than the tests need to kill it.
const Slow = 700 * time.Millisecond

// Delay slows down what goes from some nodes to one, once nothing is on its way.
func Delay(c *clustertest.Cluster, to int, from ...int) {
	time.Sleep(200 * time.Millisecond)
	for _, i := range from {
		c.Network().SetDelay(c.Node(i).Name, c.Node(to).Name, Slow)
	}
}
