// Package history records what the clients of a cluster sent and received while it had a hard time, and checks afterwards that the
// cluster kept its word.
//
// A History is the list of what happened, as the clients saw it. A Recorder writes it: each client tells it a packet before it sends
// it and after it has received it, so that the order of the list is one in which things can have happened: what stands before another
// thing's sending was known to its client before. Histories are kept as JSON lines and read back; the command in check prints what is wrong with one:
//
//	go run github.com/shoalmq/shoal/cluster/history/check file.jsonl
//
// Check looks for violations of what a client may rely on. It is sound: it reports only what is wrong for certain, whatever
// happened inside the cluster and on the way. What clients cannot know is given the benefit of the doubt:
//
//   - A message without a successful acknowledgement may have been accepted or not, at any later time.
//   - A CONNECT without an answer may have taken the session over; with Clean Start it may have ended it.
//   - A SUBSCRIBE or UNSUBSCRIBE without an answer may have changed the session.
//   - A session may be over once its Session Expiry Interval may have passed, counted from the last sign of life of its connection.
//   - An acknowledgement that a client sent may have been lost with the connection: QoS 1 comes again, marked with DUP.
//
// Each Rule says what it holds, and what it leaves open. What must arrive is known only when somebody says that nothing more will: the recorder marks
// a connection as drained, when the cluster is well again, the client is connected and everything had the time to arrive.
//
// # Who the messages are
//
// Each message carries its name, unique in the history, and a checksum in its payload; see Payload. Messages with an empty payload, which clear a
// retained message, have no name on their way to subscribers; only the rules about retained messages look at them.
package history
