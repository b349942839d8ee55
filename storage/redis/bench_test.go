package redis_test

import (
	"testing"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/storage/redis"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func BenchmarkCommit(b *testing.B) {
	url := "redis://" + testservers.Redis(b).Addr()
	storagetest.Benchmark(b, func(_ *testing.B, dir string) shoal.Storage { return redis.Open(url, redis.WithPrefix(dir+":")) })
}
