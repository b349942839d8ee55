// Package behaviour is what a client may expect of a Shoal broker, as a table of cases that run against any number of nodes. A
// client must not be able to tell a cluster from one broker: the same cases run against one node and against three, with
// each client of a case on another node.
//
// Cases never count on two clients sharing a node. They wait for acknowledgements, never for time to pass; those that
// are about time run where it is virtual, in a testing/synctest bubble.
package behaviour
