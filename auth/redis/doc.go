// Package redis authenticates clients by users and rules in Redis: standalone, behind Sentinel, or in
// a Redis Cluster, with or without TLS.
//
//	a, err := redis.New(redis.Config{URL: "redis://127.0.0.1:6379/0"})
//	b, err := shoal.New(shoal.WithAuthenticator(a), …)
//
// # The layout
//
// It is comqtt's, so that its data can be used as they are. Users are the fields of one hash, rules
// those of a hash for each user; its fields are topic filters, with the placeholders of package
// auth/acl.
//
//	HSET comqtt:auth ann '{"password":"$argon2id$…","allow":true}'
//	HSET comqtt:acl:ann a/ann/# 3 a/ann/secret 0 news/+ 1
//	HSET comqtt:acl:ann up/+ '{"allow":"publish","qos":[0,1]}'
//
// A user may also have "salt", "superuser" and "attributes", an object of texts. Without
// "allow": true it is disabled. A rule is an access number (0 nothing, 1 subscribing, 2 publishing, 3
// both; see acl.FromNumber), or an object as acl.Spec, without a topic. What cannot be understood
// denies.
//
// For comqtt's meaning set Source.Order to acl.LongestWins, Source.Passwords to password.Comqtt of its
// password-hash, and Source.Login and ACL to source.ComqttMode of its modes.
//
// # Connecting
//
// New does no I/O. The connection is made when the first client asks, and again after it broke. The
// URL is that of rueidis: redis://user:password@host:6379/0, rediss:// for TLS,
// redis://host1:26379/0?addr=host2:26379&master_set=main for Sentinel. With several addresses, or
// cluster mode on, it is a Redis Cluster.
package redis
