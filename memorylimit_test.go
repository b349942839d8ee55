package shoal

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/memory"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// withMemory starts a broker that may have 1,000 bytes, and of which used says how many it has.
func withMemory(t *testing.T, used *atomic.Uint64, opts ...Option) *Broker {
	b, err := New(append(opts, WithAnonymous(), WithMemoryLimit(1000))...)
	require.NoError(t, err)
	require.NotNil(t, b.memory)
	b.memory = memory.NewOf(1000, used.Load, func() {})
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) })
	return b
}

func connectTo(t *testing.T, b *Broker, v packets.Version, id string) (*mqtttest.Client, packets.ReasonCode) {
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	cl := mqtttest.New(t, conn, v)
	t.Cleanup(cl.Close)
	return cl, cl.TryConnect(&packets.Connect{ProtocolVersion: v, ClientID: id, CleanStart: true}).ReasonCode
}

// Without memory nothing new is taken on, with a reason, and who is there stays; when there is some again, everything goes on.
func TestLoadIsRefusedWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Uint64
		b := withMemory(t, &used)
		sub, _ := connectTo(t, b, packets.V5, "sub")
		sub.Subscribe(1, "t")
		pub, _ := connectTo(t, b, packets.V5, "pub")
		old, _ := connectTo(t, b, packets.V311, "old")
		require.Equal(t, packets.Success, pub.Publish(1, "t", "before"))
		sub.ExpectPublish("t", "before")

		used.Store(950)
		time.Sleep(time.Second)
		_, code := connectTo(t, b, packets.V5, "more")
		require.Equal(t, packets.ServerBusy, code)
		_, code = connectTo(t, b, packets.V311, "more3")
		require.Equal(t, packets.ServerUnavailable, code)
		more := &packets.Subscribe{PacketID: 7, Subscriptions: []packets.Subscription{{TopicFilter: "u"}}}
		require.Equal(t, packets.QuotaExceeded, sub.SubscribeWith(more).ReasonCodes[0])
		began := time.Now()
		require.Equal(t, packets.QuotaExceeded, pub.Publish(2, "t", "too much"))
		require.GreaterOrEqual(t, time.Since(began), memoryPatience, "it is held for a while before it is refused")
		pub.PublishAsync(&packets.Publish{TopicName: "t", Payload: []byte("QoS 0")})
		old.PublishAsync(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: []byte("3.1.1 cannot be told")})
		old.ExpectClosed()
		err := b.Publish(t.Context(), Message{TopicName: "t", QoS: 1})
		require.Equal(t, packets.QuotaExceeded, ReasonCodeOf(err, 0))
		pub.Quiesce()
		sub.ExpectQuiet()
		m := b.Metrics()
		require.EqualValues(t, 4, m.Dropped[DropMemory])
		require.EqualValues(t, 950, m.MemoryUsed)
		require.EqualValues(t, 1000, m.MemoryLimit)
		require.EqualValues(t, 7, m.Refused["memory"])

		pub.PublishAsync(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 9, Payload: []byte("patience")})
		time.Sleep(memoryPatience / 2)
		used.Store(500)
		sub.ExpectPublish("t", "patience")
		_, code = connectTo(t, b, packets.V5, "more")
		require.Equal(t, packets.Success, code)
		require.Equal(t, packets.Success, sub.SubscribeWith(more).ReasonCodes[0])
	})
}
