// Package three runs the table of behaviours on clusters of three nodes, for the tests that do so over one transport or another.
package three

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/internal/behaviour"
)

// Dialer connects to node i of a cluster.
type Dialer func(c *clustertest.Cluster, t testing.TB, i int) net.Conn

// Harness runs each case in a bubble, on a new cluster, with each client of the case on the next node.
func Harness(dial Dialer, opts ...clustertest.Option) behaviour.Harness {
	return func(t *testing.T, c *behaviour.Case, body func(t *testing.T, env behaviour.Env)) {
		synctest.Test(t, func(t *testing.T) {
			options := append([]clustertest.Option{clustertest.WithBroker(func(int) []shoal.Option { return c.BrokerOptions() })}, opts...)
			if !c.Prompt {
				options = append(options, clustertest.WithConfig(calm))
			}
			body(t, nodes{clustertest.New(t, 3, options...), dial})
		})
	}
}

// calm lets the nodes talk to each other less often than they do by default: no node is lost here, and virtual time is paid for by what
// happens in it.
func calm(_ int, c *cluster.Config) {
	c.LeaseDuration, c.HeartbeatTimeout, c.ElectionTimeout = 8*time.Second, 5*time.Second, 5*time.Second
}

type nodes struct {
	*clustertest.Cluster
	dial Dialer
}

func (n nodes) Dial(t testing.TB, i int) net.Conn { return n.dial(n.Cluster, t, i%n.Nodes()) }
