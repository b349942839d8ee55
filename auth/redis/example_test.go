package redis_test

import (
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/redis"
	"github.com/shoalmq/shoal/auth/source"
)

func ExampleNew() {
	a, err := redis.New(redis.Config{
		URL: "redis://127.0.0.1:6379/0",
		Source: source.Config{
			Order:     acl.LongestWins,
			Everybody: []acl.Rule{{Effect: acl.Allow, Filter: "home/%u/#"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	_, err = shoal.New(shoal.WithAuthenticator(a), shoal.WithListen("tcp://127.0.0.1:1883"))
	fmt.Println(err)
	// Output: <nil>
}
