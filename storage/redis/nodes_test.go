package redis_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/redis"
)

// nodes are the nodes of a cluster that share a Redis, and keep nothing else.
type nodes struct {
	t       *testing.T
	redis   *testservers.Server
	brokers []*shoal.Broker
}

func startNodes(t *testing.T, server *testservers.Server, n int) *nodes {
	t.Helper()
	c := &nodes{t: t, redis: server}
	t.Cleanup(c.stop)
	var join []string
	for i := range n {
		cl := cluster.New(cluster.Config{Name: fmt.Sprintf("c%02d", i+1), Bootstrap: i == 0, GossipPort: cluster.AnyPort, Join: join})
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithCluster(cl), shoal.WithStorage(redis.Open("redis://"+server.Addr())))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		c.brokers = append(c.brokers, b)
		join = append(join, cl.Addr())
	}
	for _, b := range c.brokers {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		require.NoError(t, b.Ready(ctx))
		cancel()
	}
	return c
}

func (c *nodes) stop() {
	for _, b := range c.brokers {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 20*time.Second)
		if err := b.Shutdown(ctx); err != nil {
			c.t.Errorf("Shutdown: %v", err)
		}
		cancel()
	}
	c.brokers = nil
}

func (c *nodes) dial(node int) *mqtttest.Client {
	c.t.Helper()
	conn, err := c.brokers[node].Dial(c.t.Context())
	require.NoError(c.t, err)
	cl := mqtttest.New(c.t, conn, packets.V5)
	cl.Timeout = 30 * time.Second
	return cl
}

func lasting(id string, clean bool) *packets.Connect {
	return &packets.Connect{ClientID: id, CleanStart: clean, Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(3600))}}
}

func (c *nodes) connect(node int, id string, clean bool) *mqtttest.Client {
	c.t.Helper()
	cl := c.dial(node)
	require.Equal(c.t, !clean, cl.Connect(lasting(id, clean)).SessionPresent)
	return cl
}

// TestNodesShareRedis holds that a session goes from node to node with what is in it, that Redis may be killed or stand still meanwhile without the loss of
// anything that was acknowledged, and that a cluster that begins anew has all of it.
func TestNodesShareRedis(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	c := startNodes(t, server, 3)
	sub := c.connect(0, "sub", true)
	sub.Subscribe(2, "t/#")
	sub.Disconnect()
	pub := c.dial(1)
	pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
	var accepted []string
	publish := func(topic, payload string) bool {
		code := pub.Publish(packets.QoS(1+len(accepted)%2), topic, payload)
		if !code.IsError() {
			accepted = append(accepted, payload)
		}
		return !code.IsError()
	}
	some := func(what string) {
		for i := range 10 {
			require.True(t, publish("t/1", fmt.Sprint(what, " ", i)))
		}
	}
	some("before")
	for name, trouble := range map[string]func() (undo func()){
		"killed":  func() func() { server.Kill(); return server.Start },
		"stopped": func() func() { server.Signal(syscall.SIGSTOP); return func() { server.Signal(syscall.SIGCONT) } },
	} {
		undo, undone := trouble(), make(chan struct{})
		time.AfterFunc(time.Second, func() { undo(); close(undone) })
		for i := range 5 {
			publish("t/2", fmt.Sprint(name, " ", i)) // waits, mostly
		}
		<-undone
		require.Eventually(t, func() bool { return publish("t/2", name+" is over") }, 30*time.Second, 50*time.Millisecond)
	}
	sub = c.connect(2, "sub", false) // moves
	retained := &packets.Publish{TopicName: "r", QoS: 1, PacketID: 1000, Retain: true, Payload: []byte("kept")}
	pub.Send(retained)
	require.False(t, mqtttest.Expect[*packets.PubAck](pub).ReasonCode.IsError())
	some("after the move")
	for range 5 {
		require.Equal(t, accepted[0], string(mqtttest.Expect[*packets.Publish](sub).Payload))
		accepted = accepted[1:]
	}
	sub.Disconnect()
	c.stop()

	server.Kill()
	server.Start()
	c = startNodes(t, server, 3)
	pub = c.dial(2)
	pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
	some("after the restart")
	sub = c.connect(1, "sub", false)
	for len(accepted) > 0 { // what was refused after a wait may come, too
		if p := mqtttest.Expect[*packets.Publish](sub); string(p.Payload) == accepted[0] {
			accepted = accepted[1:]
		}
	}
	for _, b := range c.brokers {
		list, err := b.Retained("r")
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
}

// TestRedisStaysAway holds what happens when that lasts: messages and CONNECTs of sessions that last are refused with a reason code, all else goes on.
func TestRedisStaysAway(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	c := startNodes(t, server, 2)
	c.connect(0, "sub", true).Subscribe(1, "t")
	plain := c.dial(0)
	plain.Connect(&packets.Connect{ClientID: "plain", CleanStart: true})
	plain.Subscribe(1, "plain")
	pub := c.dial(1)
	pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
	server.Kill()
	began := time.Now()
	require.True(t, pub.Publish(1, "t", "refused").IsError())
	require.Less(t, time.Since(began), 8*time.Second)
	late := c.dial(1)
	late.Send(lasting("late", true))
	require.Equal(t, packets.ServerUnavailable, mqtttest.Expect[*packets.ConnAck](late).ReasonCode)
	require.Equal(t, packets.Success, pub.Publish(1, "plain", "goes on"))
	require.Equal(t, "goes on", string(mqtttest.Expect[*packets.Publish](plain).Payload))
	server.Start()
	require.Eventually(t, func() bool { return pub.Publish(1, "t", "accepted") == packets.Success }, 30*time.Second, 50*time.Millisecond)
	c.connect(1, "late", true)
}

// TestLateCommit holds that a commit that its caller has given up, and that the server has in its buffers, changes nothing after a later one.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	open := func() *redis.Store {
		st := redis.Open("redis://" + server.Addr())
		require.NoError(t, st.Open(t.Context()))
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		return st
	}
	first, second := open(), open() // connections of their own, which the server may read in any order
	commit := func(st *redis.Store, ctx context.Context, fence uint64, value string) error {
		_, err := st.CommitFenced(ctx, []shoal.Op{{Space: "s", Key: []byte("k"), Value: []byte(value)}}, map[string]shoal.Fence{"s": {Epoch: fence}})
		return err
	}
	value := func() (v string) {
		require.NoError(t, second.Scan(t.Context(), "s", nil, func(_, value []byte) error { v = string(value); return nil }))
		return v
	}
	require.NoError(t, commit(first, t.Context(), 1, "before"))
	require.NoError(t, commit(second, t.Context(), 1, "before"))
	for fence := range uint64(4) { // by the same owner, and by the next
		server.Signal(syscall.SIGSTOP)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		require.Error(t, commit(first, ctx, 1+fence/2, "late"))
		cancel()
		time.AfterFunc(50*time.Millisecond, func() { server.Signal(syscall.SIGCONT) })
		require.NoError(t, commit(second, t.Context(), 1+(fence+1)/2, "now"))
		require.NoError(t, commit(second, t.Context(), 1+(fence+1)/2, "last"))
		require.Equal(t, "last", value())
	}
}

// TestRedisIsEmptied holds that the nodes notice that Redis has lost everything, and write again what they have: a cluster that begins anew has all of it.
func TestRedisIsEmptied(t *testing.T) {
	t.Parallel()
	server := testservers.Redis(t)
	c := startNodes(t, server, 3)
	sub := c.connect(0, "sub", true)
	sub.Subscribe(2, "t")
	sub.Disconnect()
	pub := c.dial(1)
	pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
	require.Equal(t, packets.Success, pub.Publish(2, "t", "before"))
	require.False(t, pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "r", Payload: []byte("kept")}).IsError())
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, ForceSingleClient: true, DisableCache: true})
	require.NoError(t, err)
	defer client.Close()
	st := redis.Open("redis://" + server.Addr())
	require.NoError(t, st.Open(t.Context()))
	defer func() { require.NoError(t, st.Close()) }()
	has := func(space string) bool {
		some := false
		err := st.Scan(t.Context(), space, nil, func(_, _ []byte) error { some = true; return nil })
		return err == nil && some
	}
	for _, node := range []string{"c01", "c02", "c03"} {
		require.Eventually(t, func() bool { return has("sign/" + node) }, 30*time.Second, 20*time.Millisecond)
	}
	require.NoError(t, client.Do(t.Context(), client.B().Flushall().Build()).Error())
	require.Equal(t, packets.Success, pub.Publish(1, "t", "after"))
	for _, space := range []string{"session/sub", "retained", "cluster"} {
		require.Eventually(t, func() bool { return has(space) }, 30*time.Second, 20*time.Millisecond, space)
	}
	require.Eventually(t, func() bool { // all of the session, which is written in one step
		some := false
		err := st.Scan(t.Context(), "session/sub", []byte{'s'}, func(_, _ []byte) error { some = true; return nil })
		return err == nil && some
	}, 30*time.Second, 20*time.Millisecond)
	c.stop()
	c = startNodes(t, server, 1)
	sub = c.connect(0, "sub", false)
	sub.ExpectPublish("t", "before")
	sub.ExpectPublish("t", "after")
	list, err := c.brokers[0].Retained("r")
	require.NoError(t, err)
	require.Len(t, list, 1)
}
