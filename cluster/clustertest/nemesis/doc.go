// Package nemesis gives a cluster under test a hard time and proves that its clients did not notice more than they have to: random faults, from a
// seed, against random clients, whose records are checked against the guarantees (package cluster/history).
//
//	synctest.Test(t, func(t *testing.T) {
//		c := clustertest.New(t, 3, clustertest.WithSeed(seed))
//		h := nemesis.Run(t, c, nemesis.Options{Seed: seed, Kinds: nemesis.Kinds()})
//		nemesis.Verify(t, h, fmt.Sprint("seed ", seed), history.Options{})
//	})
//
// # The clients
//
// The same for every seed: publishers and subscribers of all QoS, of MQTT 3.1.1 and 5.0, with sessions that last and that end with
// their connections, a shared group, clients that come back every moment, on a random node, that let their queue grow, acknowledge late, unsubscribe,
// connect anew while the old connection is still there, have wills; and visitors who read the retained messages. They do what a
// correct client does: they go on with their session when the broker has it and send again, with DUP, what was not
// acknowledged. Some do not wait long for an acknowledgement before they connect elsewhere, and one acknowledges nothing at all. What they do and when
// follows from the seed.
//
// # The faults
//
// NewSchedule makes a Schedule from a seed: one fault after another (Kind). Afterwards the cluster is made well, and must be well: all clients
// must get their acknowledgements, and all messages must arrive.
//
// Faults happen to a Target. Run makes one of a cluster in memory; examples/cluster has one of three processes on real sockets, for RunOn, where the same
// clients and the same checks see kill -9 and SIGSTOP.
//
// # What a seed repeats
//
// In a synctest bubble a seed repeats what is done to the cluster and what the clients do, at the same virtual times. What the
// cluster makes of it depends on the order in which goroutines run, and so does when a client has its answer. A seed
// that failed fails again mostly, not always: run it several times (go test -count). A test that fails prints the seed and the command that runs it
// again, with the same kinds of faults:
//
//	CHAOS_SEED=7 go test ./cluster/clustertest/nemesis -run '^TestChaos$' -count=10 -failfast
//
// CHAOS_KINDS names the kinds of faults, with commas between. Some are not among those that are done else: houses_test.go says which, and what is broken
// under them. CHAOS_NOT_YET adds all of these, and CHAOS_ALL lets TestEachFault do each kind in every house, where it does each in one.
//
// CHAOS_LOG names a file for the nodes' logs, CHAOS_DIR the directory that the clients' history is left in, for cluster/history/check. .ci/run runs seeds
// that are new for half a minute, make chaos for as long as it is told.
//
// # What it cannot do
//
// All nodes' monotonic clocks run at the same pace: in a bubble there is one; Clock sets what a node sees on its wall. A paused node (Pause) stands still where it
// reads or writes, but its timers run: a process under SIGSTOP finds all of them due at once when it goes on.
package nemesis
