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
//   - bridge/…: drivers of Bridge; bridge/bridgetest is the contract of all of them
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
//   - Wills survive it, too: alone with a Storage, a will is in it before CONNACK, if the store works. After a crash it is published when the broker
//     starts, or after the rest of its delay. It is published before it is removed: a crash in between has it published again.
//   - Every queue is bounded, in messages and bytes (Limits). What does not fit is dropped with a DropReason, counted in
//     Metrics, and told to a DropObserver. A slow client costs only itself.
//   - Nothing a client sends stops the broker. A panic in a hook or an Authenticator costs that client's connection.
//   - While a store fails, what would have to be kept is refused before anybody gets it: a message of QoS 1 or 2 for a session that lasts, one that is
//     retained, one of QoS 2 from a session that lasts. The reason code is Implementation specific error (0x83); in MQTT 3 the connection ends. Everything
//     else flows. A message on which the failure is found out may be with some already: one of QoS 2 is not answered then, the connection ends, and what
//     the client sends again goes to nobody, and is answered when the store works. The failure is logged once, and once more when it is over.
//   - A Subscription with a Name, and a Bridge, has a session like a client's: what was not acknowledged comes again after a restart, and in a cluster on
//     another node. ClientIDs and topics that begin with "$shoal/" are the broker's own; clients can neither have nor use them. Authenticator, Authorizer and
//     the hooks of connections, subscriptions and sessions do not hear of the broker's own sessions; a DeliverInterceptor does.
//   - An error says what to do about it. Those that carry a reason code are an *Error; sentinels match with errors.Is.
//   - A Message that is handed out may be kept and must not be changed. What is handed in is copied before the call returns.
//
// # What the specification leaves open
//
//   - A message that matches several subscriptions of a session comes once, with the highest QoS and all Subscription Identifiers, unless
//     WithDeliveryPerSubscription says otherwise (section 3.3.4).
//   - PUBACK and PUBREC say No matching subscribers (0x10) where nobody is subscribed. A PUBLISH that is not let through is answered with its reason code
//     on 5.0; on 3, which has none, it is acknowledged and dropped, unless the reason is that this node must not acknowledge: then the connection ends.
//   - QoS 0 messages are not kept for sessions without a connection. What becomes of a message that finds
//     a queue full, Limits.WhenFull says: by default its publisher is held back while the subscriber gets on.
//   - Retained messages go to a new subscription behind its SUBACK. One that is published while the subscription is being made may come before, without
//     RETAIN, and does not come twice. A shared subscription gets none.
//   - Clients cannot publish to $SYS; other topics that begin with $ are like all others, except that no wildcard at the beginning matches them.
//   - What a member of a shared subscription has not acknowledged when its session ends goes to another one, but for QoS 2 messages whose delivery has begun.
//   - A session of MQTT 3 without Clean Session lasts for Limits.SessionExpiryMaximum. An empty Client Identifier is assigned, in 3.1 refused.
//   - A PUBACK or PUBCOMP for nothing is ignored; a PUBREC is answered with PUBREL, a PUBREL with PUBCOMP, on 5.0 with Packet Identifier not found (0x92).
//   - A CONNECT that is malformed is answered with CONNACK if it is one of 5.0, and not at all otherwise; a version that is not known is answered in both.
//     Every other error is told in a DISCONNECT on 5.0; on 3 the connection is closed.
//   - Topics may have control characters (U+0001 to U+001F, U+007F to U+009F), which 1.5.4 lets a server refuse. A
//     property that is unknown, or not one of its packet, is malformed (0x81, section 2.2.2.2); one that comes twice, or
//     has a value that is not allowed, is a protocol error (0x82). The reserved flag of a CONNECT of MQTT 3.1 may be set.
//   - A PUBREC for a message of QoS 1, and a PUBACK for one of QoS 2, end nothing: the delivery goes on.
//   - A client of MQTT 3 whose version has the highest bit set (0x83, 0x84) is a bridge of mosquitto's: it gets nothing that it
//     has published itself, and RETAIN as it was published.
//   - A connection that does not send its CONNECT in time is closed without a word. Without Keep Alive there is no such limit for what follows, unless
//     Limits.KeepAliveMaximum sets one.
//   - A will's Message Expiry Interval begins when it is published. A will that waits for its delay is published early when the session ends, and never once
//     the client is back.
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
//   - inprocess.go: the program as a client; websockethandler.go: clients by its HTTP server
//   - totals.go, limits.go: what all clients take together, and each packet; internal/quota and internal/memory count
//   - bans.go, banlist.go, banlog.go, flapping.go, connlimit.go, ratelimit.go, bucket.go: who is kept out, and who is held back
//   - conn.go, connect.go, connack.go, handle.go, writing.go, answers.go, fit.go, hearout.go: one connection
//   - session.go, phase.go, subscribe.go, shared.go, sharedstrategy.go, handon.go, will.go, willstore.go, retained.go: what clients have
//   - publish.go, route.go, routing.go, acceptance.go, scratch.go: the way of a message
//   - sys.go, sysload.go: the $SYS tree
//   - journal.go, durability.go, storelog.go, storehealth.go, refusal.go, compact.go, sessionlog.go, ownstore.go, durable.go, records.go: what is stored, and how, and
//     what is not while the store fails; commonlog.go, commonstore.go, commonsession.go,
//     commonnotes.go where nodes share a store
//   - clusternode.go, which lists the files of a node among others
package shoal
