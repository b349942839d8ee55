package clustertest_test

import (
	"net"
	"testing"
	"testing/synctest"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/internal/behaviour"
)

// The table of behaviours that one broker has, with each client on another of three nodes: a client must not be able to
// tell a cluster from one broker.
func TestBehaviour(t *testing.T) {
	behaviour.Run(t, behaviour.Harness{
		Virtual: true,
		Case: func(t *testing.T, body func(t *testing.T, env behaviour.Env)) {
			synctest.Test(t, func(t *testing.T) { body(t, nodes{clustertest.New(t, 3)}) })
		},
	})
}

// nodes puts each client of a case on the next node.
type nodes struct{ *clustertest.Cluster }

func (n nodes) Dial(t testing.TB, i int) net.Conn { return n.Cluster.Dial(t, i%n.Nodes()) }
