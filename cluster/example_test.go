package cluster_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
)

// Two nodes on this machine, each with free ports, acting as one broker.
func ExampleNew() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	start := func(c *cluster.Cluster) *shoal.Broker {
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithCluster(c))
		if err == nil {
			err = b.Start(ctx)
		}
		if err == nil {
			err = b.Ready(ctx)
		}
		if err != nil {
			panic(err)
		}
		return b
	}
	c01 := cluster.New(cluster.Config{Name: "c01", Bootstrap: true, GossipPort: cluster.AnyPort})
	one := start(c01)
	two := start(cluster.New(cluster.Config{Name: "c02", GossipPort: cluster.AnyPort, Join: []string{c01.Addr()}}))

	sub, err := two.Subscribe(ctx, []string{"hello/#"}, shoal.SubscribeOptions{QoS: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = one.Publish(ctx, shoal.Message{TopicName: "hello/shoal", Payload: []byte("from c01"), QoS: 1})
	m, _ := sub.Next(ctx)
	fmt.Println(m.TopicName, string(m.Payload), err)
	_ = two.Shutdown(ctx)
	_ = one.Shutdown(ctx)
	// Output: hello/shoal from c01 <nil>
}
