// Package clustertest runs whole clusters in one process, for anybody's tests: the brokers, gossip, raft and gRPC are the
// ones that ship; only the network between them, and to their clients, is in memory (package memnet), so that it can be cut, slowed
// down and healed, and nodes can be killed and restarted.
//
// It is made for testing/synctest, where time is virtual: a test that waits ten minutes for something to expire takes
// milliseconds, and a test that waits for something that never happens fails at once.
//
//	func TestMine(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			c := clustertest.New(t, 3)
//			conn := c.Dial(t, 0)     // speaks MQTT to the first node
//			c.Partition([]int{0}, []int{1, 2})
//			…
//			c.Heal()
//		})
//	}
//
// WithSharedStorage gives one storage to all nodes; a SharedStorage can fail, hang, and hold what a node writes.
//
// WithDisk gives each node a disk for raft's log, which SlowDisk and FullDisk make slow or full.
//
// SetClock sets a node's clock.
//
// It also works outside of a bubble, in real time.
package clustertest
