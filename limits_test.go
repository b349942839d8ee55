package shoal_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// TestLimitsAreHeldAgainstEachOther holds that New refuses limits of which one makes another pointless, and names both; and that defaults give way.
func TestLimitsAreHeldAgainstEachOther(t *testing.T) {
	for _, c := range []struct {
		limits shoal.Limits
		names  []string // nil: they are fine
	}{
		{shoal.Limits{QueuedBytes: 1000, MaximumPacketSize: 1001}, []string{"QueuedBytes", "MaximumPacketSize"}},
		{shoal.Limits{QueuedMessages: 9, InFlight: 10}, []string{"QueuedMessages", "InFlight"}},
		{shoal.Limits{QoS0Bytes: 999, OutboxBytes: 1000}, []string{"QoS0Bytes", "OutboxBytes"}},
		{shoal.Limits{QueuedBytes: 1000, QueuedMessages: 10, QoS0Bytes: 1000}, nil},
		{shoal.Limits{MaximumPacketSize: 200 << 20, InFlight: 10}, nil},
	} {
		_, err := shoal.New(shoal.WithAnonymous(), shoal.WithLimits(c.limits))
		if c.names == nil {
			require.NoError(t, err)
			continue
		}
		for _, name := range c.names {
			require.ErrorContains(t, err, name)
		}
	}
}

// TestEveryMessageThatIsLetInCanBeDelivered holds that a message larger than what may wait in bytes is delivered nevertheless when nothing else waits, to
// clients and to the program, with every policy of a full queue.
func TestEveryMessageThatIsLetInCanBeDelivered(t *testing.T) {
	for _, policy := range []shoal.QueuePolicy{shoal.QueueWait, shoal.QueueDropNewest, shoal.QueueDropOldest} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, shoal.WithLimits(shoal.Limits{QueuedBytes: 1000, WhenFull: policy}))
			large := strings.Repeat("x", 100_000)
			sub, _ := connectWith(t, b, lasting("sub", true))
			sub.Subscribe(1, "t")
			own, err := b.Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{QoS: 1, BufferBytes: 1000})
			require.NoError(t, err)
			pub := connect(t, b, "pub")
			require.Equal(t, packets.Success, pub.Publish(1, "t", large))
			sub.ExpectPublish("t", large)
			m, err := own.Next(t.Context())
			require.NoError(t, err)
			require.Len(t, m.Payload, len(large))
			sub.Disconnect()
			pub.Publish(1, "t", large)
			pub.Publish(1, "t", large) // does not fit behind, or takes the place of the other
			sub, _ = connectWith(t, b, lasting("sub", false))
			sub.ExpectPublish("t", large)
			sub.ExpectQuiet()
			require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropQueueFull], "one for each subscriber")
		})
	}
}

// TestExpiredMessagesGiveUpTheirPlace holds that a queue full of messages whose time has passed takes new ones, also while the session goes on behind
// messages in flight, and counts each as expired.
func TestExpiredMessagesGiveUpTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 10}))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(1, "t")
		sub.Disconnect()
		pub := connect(t, b, "pub")
		for i := range 10 {
			p := &packets.Publish{TopicName: "t", QoS: 1, Payload: []byte("old")}
			p.Properties.MessageExpiryInterval = packets.Some(uint32(1 + i))
			pub.PublishWith(p)
		}
		time.Sleep(5500 * time.Millisecond) // five have expired
		for range 6 {
			pub.Publish(1, "t", "new")
		}
		require.EqualValues(t, 1, b.Metrics().Dropped[shoal.DropQueueFull])
		require.EqualValues(t, 5, b.Metrics().Dropped[shoal.DropExpired])
		time.Sleep(time.Minute)
		sub, _ = connectWith(t, b, lasting("sub", false))
		for range 5 {
			sub.ExpectPublish("t", "new")
		}
		sub.ExpectQuiet()
		require.EqualValues(t, 10, b.Metrics().Dropped[shoal.DropExpired])
	})
}
