package redis_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/redis"
	"github.com/shoalmq/shoal/storage/storagetest"
)

func TestMain(m *testing.M) {
	// A client of a Redis Cluster that is closed sleeps for five seconds before it closes connections that it needs no longer.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

func contract(t *testing.T, url string) {
	t.Helper()
	storagetest.Run(t, func(_ *testing.T, dir string) shoal.Storage {
		return redis.Open(url, redis.WithPrefix(dir+":"))
	}, storagetest.Persistent())
}

func TestContract(t *testing.T) { contract(t, "redis://"+testservers.Redis(t).Addr()) }

// TestContractCluster runs the contract against a Redis Cluster, whose servers refuse commands about keys of several slots.
func TestContractCluster(t *testing.T) {
	one, two := testservers.RedisClusterNode(t), testservers.RedisClusterNode(t)
	do := func(s *testservers.Server, args ...string) string {
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, ForceSingleClient: true, DisableCache: true})
		require.NoError(t, err)
		defer c.Close()
		text, err := c.Do(t.Context(), c.B().Arbitrary(args...).Build()).ToString()
		require.NoError(t, err, args)
		return text
	}
	do(one, "CLUSTER", "ADDSLOTSRANGE", "0", "8191")
	do(two, "CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
	do(one, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(two.Port()), strconv.Itoa(two.Bus()))
	for _, s := range []*testservers.Server{one, two} {
		require.Eventually(t, func() bool {
			return strings.Contains(do(s, "CLUSTER", "INFO"), "cluster_state:ok")
		}, 20*time.Second, 20*time.Millisecond)
	}
	contract(t, "redis://"+one.Addr()+"?addr="+two.Addr())
}

func TestSentinel(t *testing.T) {
	server := testservers.Redis(t)
	sentinel := testservers.Sentinel(t, server)
	st := redis.Open("redis://" + sentinel.Addr() + "?master_set=main")
	require.NoError(t, st.Open(t.Context()))
	require.NoError(t, st.Commit(t.Context(), []shoal.Op{{Space: "s", Key: []byte("k"), Value: []byte("v")}}))
	require.NoError(t, st.Close())
	again := redis.Open("redis://" + server.Addr())
	require.NoError(t, again.Open(t.Context()))
	var got []string
	require.NoError(t, again.Scan(t.Context(), "s", nil, func(key, value []byte) error {
		got = append(got, string(key)+"="+string(value))
		return nil
	}))
	require.Equal(t, []string{"k=v"}, got)
	require.NoError(t, again.Close())
}

func TestOpenErrors(t *testing.T) {
	for url, want := range map[string]string{
		"http://x":            "write it as redis://",
		"redis://127.0.0.1:1": "connect to 127.0.0.1:1",
	} {
		require.ErrorContains(t, redis.Open(url).Open(t.Context()), want)
	}
	st := redis.Open("redis://127.0.0.1:1")
	require.ErrorIs(t, st.Commit(t.Context(), nil), redis.ErrNotOpen)
	require.ErrorIs(t, st.Scan(t.Context(), "s", nil, nil), redis.ErrNotOpen)
	require.NoError(t, st.Close())
	require.NoError(t, st.Close())
}

// TestServerGoesAway holds that while Redis is away nothing is acknowledged for sessions that last, that everything goes on by itself when it is
// back, and that all that was acknowledged is there for the next broker.
func TestServerGoesAway(t *testing.T) {
	server := testservers.Redis(t)
	broker := func() *shoal.Broker {
		b, err := shoal.New(shoal.WithAnonymous(), shoal.WithStorage(redis.Open("redis://"+server.Addr())))
		require.NoError(t, err)
		require.NoError(t, b.Start(t.Context()))
		return b
	}
	stop := func(b *shoal.Broker) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		require.NoError(t, b.Shutdown(ctx))
	}
	client := func(b *shoal.Broker, id string, clean bool) *mqtttest.Client {
		conn, err := b.Dial(t.Context())
		require.NoError(t, err)
		cl := mqtttest.New(t, conn, packets.V5)
		cl.Timeout = 20 * time.Second
		ack := cl.Connect(&packets.Connect{ClientID: id, CleanStart: clean, Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(3600))}})
		require.Equal(t, !clean, ack.SessionPresent)
		return cl
	}
	b := broker()
	sub, pub := client(b, "sub", true), client(b, "pub", true)
	sub.Subscribe(2, "t")
	sub.Disconnect()
	require.Equal(t, packets.Success, pub.Publish(1, "t", "before"))

	server.Kill()
	pub.Send(&packets.Publish{QoS: 1, PacketID: 1000, TopicName: "t", Payload: []byte("meanwhile")})
	answer := func(limit time.Duration) (code packets.ReasonCode, ok bool) {
		require.NoError(t, pub.Conn.SetReadDeadline(time.Now().Add(limit)))
		p, err := packets.Read(pub.Conn, packets.V5, 1<<20)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, false
		}
		require.NoError(t, err)
		return p.(*packets.PubAck).ReasonCode, true
	}
	code, answered := answer(300 * time.Millisecond)
	require.False(t, answered && !code.IsError(), "acknowledged while there is no Redis: %v", code)
	server.Start()
	if !answered {
		code, answered = answer(20 * time.Second)
		require.True(t, answered)
	}
	acknowledged := []string{"before"}
	if !code.IsError() {
		acknowledged = append(acknowledged, "meanwhile")
	}
	require.Eventually(t, func() bool { return !pub.Publish(1, "t", "after").IsError() }, 20*time.Second, 50*time.Millisecond)
	acknowledged = append(acknowledged, "after")
	stop(b)

	server.Kill()
	server.Start()
	b = broker()
	sub = client(b, "sub", false)
	for len(acknowledged) > 0 { // what was refused may come, too
		if p := mqtttest.Expect[*packets.Publish](sub); string(p.Payload) == acknowledged[0] {
			acknowledged = acknowledged[1:]
		}
	}
	stop(b)
}
