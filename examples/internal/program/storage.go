package program

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/config"
	"github.com/shoalmq/shoal/storage/badger"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/redis"
)

// The ways to store of the key storage-way.
const (
	storeMemory = iota
	storeBolt
	storeBadger
	storeRedis
)

// storageWay is what the key says, or 3 with a URL.
func storageWay(l *config.Loaded) int {
	if l.StorageURL != "" {
		return storeRedis
	}
	return l.StorageWay
}

// dataDir is the directory for data, empty for a temporary one: who asks for a store by its number, or by a file, means one that stays.
func dataDir(l *config.Loaded) string {
	if l.DataDir == "" && (l.Given("storage-way") || l.File != "") && storageWay(l) != storeMemory {
		return "data"
	}
	return l.DataDir
}

// redisStore is the store of storage-way 3, and where it is, for people.
func redisStore(l *config.Loaded) (store shoal.Storage, where string) {
	prefix := redis.WithPrefix(l.Redis.Prefix + ":")
	if l.StorageURL != "" {
		where := l.StorageURL
		if u, err := url.Parse(where); err == nil {
			where = u.Redacted()
		}
		if l.Given("redis.prefix") {
			return redis.Open(l.StorageURL, prefix), where
		}
		return redis.Open(l.StorageURL), where
	}
	o := l.Redis.Options
	u := url.URL{Scheme: "redis", Host: o.Addr, Path: "/" + strconv.Itoa(o.DB)}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		u.Host = net.JoinHostPort(o.Addr, "6379")
	}
	if o.Username != "" || o.Password != "" {
		u.User = url.UserPassword(o.Username, o.Password)
	}
	return redis.Open(u.String(), prefix), u.Redacted()
}

// SingleStorage is the store of a broker by itself, with where it is, for people; nil is memory.
func SingleStorage(l *config.Loaded, dir string) (store shoal.Storage, where string) {
	path := func(name string) string {
		if l.StoragePath != "" {
			return l.StoragePath
		}
		return filepath.Join(dir, name)
	}
	switch storageWay(l) {
	case storeBolt:
		p := path("mqtt.db")
		return bolt.Open(p), "bolt, " + p
	case storeBadger:
		p := path("badger")
		return badger.Open(p), "badger, " + p
	case storeRedis:
		return redisStore(l)
	}
	return nil, "memory: sessions and retained messages end with the process"
}

// ClusterStorage is the shared store of a node of a cluster, nil if its sessions are in the replicated log, whose directory is logDir; that is empty
// for memory.
func ClusterStorage(l *config.Loaded, dir string) (store shoal.Storage, logDir, where string) {
	logDir = l.Cluster.RaftDir
	if logDir == "" {
		logDir = filepath.Join(dir, l.Cluster.NodeName, "raft")
	}
	switch storageWay(l) {
	case storeMemory:
		return nil, "", "the replicated log, in memory: a node that restarts gets it from the others"
	case storeRedis:
		store, where = redisStore(l)
		return store, logDir, fmt.Sprintf("%s, which all nodes share; the nodes' own log in %s", where, logDir)
	}
	return nil, logDir, "the replicated log, in " + logDir
}
