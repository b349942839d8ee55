// Package websocket_test runs the table of behaviours on a cluster over WebSocket.
package websocket_test

import (
	"testing"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/three"
	"github.com/shoalmq/shoal/internal/behaviour"
)

func TestBehaviourWebSocket(t *testing.T) {
	behaviour.Run(t, three.Harness((*clustertest.Cluster).DialWebSocket, clustertest.WithWebSocket()))
}
