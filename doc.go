// Package shoal is an MQTT 3.1, 3.1.1 and 5.0 broker to embed in a program, alone or as a node of a cluster that acts as one
// broker.
//
//	b, err := shoal.New(
//		shoal.WithListen("tcp://:1883"),
//		shoal.WithAuthenticator(users),
//		shoal.WithStorage(bolt.Open("data/mqtt.db")),
//	)
//	…
//	err = b.Run(ctx)
//
// New checks all options and does nothing else. Start binds the listeners and returns; Shutdown drains; Run is both.
// Without an Authenticator or WithAnonymous there is no broker: open ones are chosen, never defaulted.
//
// # Parts
//
//   - packets: the wire format
//   - topics: names, filters, the index of subscriptions
//   - auth: combines authenticators; auth/scram and its neighbours are such
//   - storage/…: drivers of Storage; storagetest is the contract of all of them
//   - cluster: the Cluster that WithCluster takes, made of gossip, raft and gRPC
//   - cluster/clustertest: clusters inside a program's own tests
//   - internal/session: the protocol's state of one client, without I/O and clock
//   - internal/wire, internal/outbox, internal/listen, internal/pipe: connections
//
// This package imports no driver, no raft, no gRPC and no database; a test holds that.
//
// # The way of a message
//
// A connection's reader decodes a PUBLISH from a pooled buffer, resolves its topic alias and asks, in this order, the Authorizer
// (cached), the interceptors and the state of QoS 2, which recognises repetitions. The message is retained, if it asks for that,
// and matched once: the sessions of this node, one member for each shared group, and the nodes that have subscribers. Sessions
// queue a shared message that is encoded once for each version and QoS; each node gets one copy. The acknowledgement waits, while
// the reader goes on, until all of them have accepted the message; it leaves in order, with a true reason code. What a batch of packets
// made ready to be written is written at once.
//
// # What an embedder may rely on
//
//   - What a Storage has committed survives the process. Without one, sessions and retained messages live as long as it does.
//   - Every queue is bounded, in messages and bytes (Limits). What does not fit is dropped with a DropReason, counted in
//     Metrics, and told to a DropObserver. A slow client costs only itself.
//   - Nothing a client sends stops the broker. A panic in a hook or an Authenticator costs that client's connection.
//   - An error says what to do about it. Those that carry a reason code are an *Error; sentinels match with errors.Is.
//   - A Message that is handed out may be kept and must not be changed. What is handed in is copied before the call returns.
//
// # Goroutines and locks
//
// A connection has one goroutine, which reads. Whoever puts something into a connection's outbox writes it, as far as the socket
// takes it at once; only a slow client has a second goroutine, which waits until the rest can be written. Each listener, the journal, the $SYS tree, and in a
// cluster the announcement of subscriptions and the barrier have one each. Shutdown ends all of them and waits for them.
//
// Hooks, Authenticators and Authorizers run on the goroutine on which the thing happened, mostly the connection's; a DropObserver has one of
// its own. No lock is held across I/O, hooks or sleep. A session's lock comes before its connection's.
//
// # Files
//
//   - broker.go, shutdown.go, options.go, errors.go, message.go, metrics.go: the API; auth.go, enhanced.go, hooks.go, storage.go, cluster.go: what embedders implement
//   - inprocess.go: the program as a client
//   - bans.go, banlist.go, banlog.go: who is kept out
//   - conn.go, connect.go, handle.go, writing.go, answers.go, fit.go: one connection
//   - session.go, subscribe.go, shared.go, sharedstrategy.go, will.go, retained.go: what clients have
//   - publish.go, route.go, acceptance.go, scratch.go: the way of a message
//   - sys.go, sysload.go: the $SYS tree
//   - journal.go, storelog.go, sessionlog.go, durable.go, records.go: what is stored, and how
//   - clusternode.go, which lists the files of a node among others
package shoal
