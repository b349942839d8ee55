// Package redis is a shoal.Storage in Redis, alone, with Sentinel, or as a Redis Cluster, reached with github.com/redis/rueidis.
//
//	b, err := shoal.New(shoal.WithStorage(redis.Open("redis://127.0.0.1:6379/0")), …)
//
// The URL names the way:
//
//	redis://user:password@host:6379/0                       one server; rediss:// with TLS; unix:///path/to/socket
//	redis://host:26379?master_set=mymaster&addr=host2:26379 Sentinel: the servers are the sentinels
//	redis://host:6379?addr=host2:6379&addr=host3:6379       Redis Cluster: any of its servers
//
// A Space is a hash with the entries and a sorted set with their keys in order; a string beside them has its Fence. All have the Space's name in braces, so that
// they are on the same server of a Redis Cluster, and a Commit changes each Space by one script, which nothing comes between. Commits of many Spaces go
// out together.
//
// A Commit is as durable as the server makes what it has answered: set appendonly to yes, and appendfsync to always where a crash of
// the machine must lose nothing. A failover of Sentinel or Redis Cluster may lose what the new primary had not received.
//
// # Settings of the server
//
// Open looks at the settings of the servers. A maxmemory-policy other than noeviction is refused (ErrEvicts), unless WithEviction accepts the loss. The broker
// logs a warning for a server that keeps nothing on disk, or snapshots alone, or whose appendfsync is not always; and for one that tells neither by CONFIG
// nor by INFO what it is set to.
//
// A server may lose its data all the same: it was emptied, or restarted without its files. The nodes of a cluster notice that within a second or two, log it,
// and write again what they have: their sessions, retained messages and bans. A broker that is alone does not; it has its data in memory until it ends.
//
// # One broker
//
// The data belongs to the broker, or the cluster, that has the prefix (WithPrefix); several keep apart by prefixes of their own.
//
// When the server goes away, Commit and Scan return errors until it is back; the client connects again by itself. The broker repeats what it
// could not commit, and acknowledges nothing meanwhile.
//
// # All nodes of a cluster
//
// A Store is a shoal.FencedStorage: give every node of a cluster one with the same URL and prefix, and the sessions that last are in Redis, with their queues,
// what is in flight and their subscriptions; the nodes agree only on who has which session, and on routes. The nodes need no cluster.Config.Dir then: a
// cluster all of whose nodes were lost begins with what is in Redis, retained messages and bans included. (Wills that were waiting are lost with
// all nodes, unless they have a Dir.)
//
// Each node writes with the Fence of its ownership. What a node that was given up has still under way to Redis is refused there, by the script that
// would write it, and so is a commit that reaches the server after a later one of the same node.
//
// While Redis is away, messages for sessions that last wait for five seconds and are refused after that, as long as it is away: with Implementation
// specific error (0x83) on MQTT 5, by the end of the connection on MQTT 3. CONNECTs of such sessions are refused with Server unavailable. Sessions that end
// with their connections, and QoS 0, go on. The node that inherits sessions of a lost node reads them when Redis is back; until then, messages from other
// nodes wait for it.
//
// When a session moves from one node to another, the new one writes it anew. To begin, a cluster looks at all keys of the database: give it a database
// of its own if yours has very many.
package redis
