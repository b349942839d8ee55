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
// A Space is a hash with the entries and a sorted set with their keys in order. Both have the Space's name in braces, so that they are on the
// same server of a Redis Cluster, and a Commit changes each Space by one script, which nothing comes between. Commits of many Spaces go
// out together.
//
// A Commit is as durable as the server makes what it has answered: set appendonly to yes, and appendfsync to always where a crash of
// the machine must lose nothing. A failover of Sentinel or Redis Cluster may lose what the new primary had not received.
//
// When the server goes away, Commit and Scan return errors until it is back; the client connects again by itself. The broker repeats what it
// could not commit, and acknowledges nothing meanwhile.
//
// The data belongs to one broker at a time. A prefix (WithPrefix) keeps several apart. The nodes of a shoal cluster do not share it yet:
// shoal.New refuses that.
package redis
