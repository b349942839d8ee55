package redis_test

import (
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/redis"
)

func ExampleOpen() {
	store := redis.Open("redis://127.0.0.1:6379/0", redis.WithPrefix("mqtt:"))
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:1883"), shoal.WithStorage(store))
	fmt.Println(err) // New does no I/O; Start connects
	// Output: <nil>
}
