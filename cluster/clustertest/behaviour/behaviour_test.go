// Package behaviour_test runs the table of behaviours on a cluster. It stands apart from the other tests of clusters, and the run over
// WebSocket from this one, so that none, under the race detector and repeated, comes near the time limit of a package.
package behaviour_test

import (
	"testing"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/three"
	"github.com/shoalmq/shoal/internal/behaviour"
)

// The table of behaviours that one broker has, with each client on another of three nodes: a client must not be able to
// tell a cluster from one broker.
func TestBehaviour(t *testing.T) { behaviour.Run(t, three.Harness((*clustertest.Cluster).Dial)) }
