// Package behaviour_test runs the table of behaviours on a cluster. It stands apart from the other tests of clusters, so that neither
// of the two, under the race detector and repeated, comes near the time limit of a package.
package behaviour_test

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/internal/behaviour"
)

// The table of behaviours that one broker has, with each client on another of three nodes: a client must not be able to
// tell a cluster from one broker.
func TestBehaviour(t *testing.T) { behaviour.Run(t, onThree((*clustertest.Cluster).Dial)) }

// The same over WebSocket.
func TestBehaviourWebSocket(t *testing.T) {
	behaviour.Run(t, onThree((*clustertest.Cluster).DialWebSocket, clustertest.WithWebSocket()))
}

func onThree(dial dialer, opts ...clustertest.Option) behaviour.Harness {
	return func(t *testing.T, c *behaviour.Case, body func(t *testing.T, env behaviour.Env)) {
		synctest.Test(t, func(t *testing.T) {
			options := clustertest.WithBroker(func(int) []shoal.Option { return c.BrokerOptions() })
			body(t, nodes{clustertest.New(t, 3, append(opts, options)...), dial})
		})
	}
}

type dialer func(c *clustertest.Cluster, t testing.TB, i int) net.Conn

// nodes puts each client of a case on the next node.
type nodes struct {
	*clustertest.Cluster
	dial dialer
}

func (n nodes) Dial(t testing.TB, i int) net.Conn { return n.dial(n.Cluster, t, i%n.Nodes()) }
