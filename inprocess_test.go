package shoal_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// next returns the next message of a subscription, which must come soon.
func next(t testing.TB, s *shoal.Subscription) shoal.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	m, err := s.Next(ctx)
	require.NoError(t, err)
	return m
}

// none holds that a subscription has nothing waiting.
func none(t testing.TB, s *shoal.Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func subscribe(t testing.TB, b *shoal.Broker, o shoal.SubscribeOptions, filters ...string) *shoal.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), filters, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestSubscriptionOfTheProgramIsOneOfItsOwn holds that a subscription of the program is one of its own: clients that come and go do not take it along, and two of them on one
// filter, or one on two, get what is theirs.
func TestSubscriptionOfTheProgramIsOneOfItsOwn(t *testing.T) {
	b := start(t)
	one, two := subscribe(t, b, shoal.SubscribeOptions{QoS: 1}, "t"), subscribe(t, b, shoal.SubscribeOptions{QoS: 1}, "t", "u")
	c := connect(t, b, "c")
	c.Subscribe(1, "t")
	c.Unsubscribe("t")
	c.Subscribe(1, "t", "u")
	c.Disconnect()
	pub := connect(t, b, "pub")
	require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
	require.Equal(t, packets.Success, pub.Publish(1, "u", "n"))
	m := next(t, one)
	require.Equal(t, "t m pub", m.TopicName+" "+string(m.Payload)+" "+m.Publisher)
	require.Equal(t, "t", next(t, two).TopicName)
	require.Equal(t, "u", next(t, two).TopicName)
	none(t, one)
	require.NoError(t, one.Close())
	pub.Publish(1, "t", "m")
	require.Equal(t, "t", next(t, two).TopicName)
	require.NoError(t, two.Close())
	require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "t", "m"))
}

func TestPublish(t *testing.T) {
	b := start(t)
	sub := connect(t, b, "sub")
	sub.Subscribe(2, "t")
	own := subscribe(t, b, shoal.SubscribeOptions{QoS: 2}, "#")
	for qos := range packets.QoS(3) {
		m := shoal.Message{TopicName: "t", Payload: []byte("m"), QoS: qos, Publisher: "ignored", Properties: packets.Properties{
			ContentType: packets.Some("x"), UserProperties: []packets.UserProperty{{Key: "a", Value: "b"}}, MessageExpiryInterval: packets.Some(uint32(60)),
		}}
		require.NoError(t, b.Publish(t.Context(), m))
		m.Payload[0] = 'x' // the broker keeps nothing of it
		m.Properties.UserProperties[0].Key = "x"
		p := sub.ExpectPublish("t", "m")
		require.Equal(t, qos, p.QoS)
		require.Equal(t, "a", p.Properties.UserProperties[0].Key)
		got := next(t, own)
		require.Equal(t, "m", string(got.Payload))
		require.Equal(t, qos, got.QoS)
		require.Empty(t, got.Publisher)
		require.EqualValues(t, 60, got.Properties.MessageExpiryInterval.Value)
	}
	for _, m := range []shoal.Message{{}, {TopicName: "a/#"}, {TopicName: "a\x00"}, {TopicName: "t", QoS: 3}} {
		err := b.Publish(t.Context(), m)
		require.Error(t, err)
		require.True(t, shoal.ReasonCodeOf(err, 0).IsError())
	}
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "kept", Payload: []byte("r"), Retain: true}))
	kept, err := b.Retained("+")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	_, err = b.Retained("a/#/b")
	require.Error(t, err)
}

func TestSubscribe(t *testing.T) {
	b := start(t, shoal.WithLimits(shoal.Limits{WhenFull: shoal.QueueDropNewest}))
	pub := connect(t, b, "pub")
	pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "r", Payload: []byte("retained")})
	s := subscribe(t, b, shoal.SubscribeOptions{QoS: 1, Buffer: 3}, "#")
	require.True(t, next(t, s).Retain)
	for i := range 5 {
		pub.Publish(1, "t", strconv.Itoa(i))
	}
	for i := range 3 { // the others found it full
		require.Equal(t, strconv.Itoa(i), string(next(t, s).Payload))
	}
	none(t, s)
	require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropQueueFull])
	pub.Publish(1, "t", "left")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.Equal(t, "left", string(next(t, s).Payload))
	_, err := s.Next(t.Context())
	require.ErrorIs(t, err, shoal.ErrClosed)
	none(t, subscribe(t, b, shoal.SubscribeOptions{RetainHandling: 2}, "#"))

	a, z := subscribe(t, b, shoal.SubscribeOptions{QoS: 1}, "$share/g/t"), subscribe(t, b, shoal.SubscribeOptions{QoS: 1}, "$share/g/t")
	c := connect(t, b, "c")
	c.Subscribe(1, "$share/g/t")
	for range 9 {
		pub.Publish(1, "t", "m")
	}
	for range 3 {
		next(t, a)
		next(t, z)
		c.ExpectPublish("t", "m")
	}
	none(t, a)
	none(t, z)
	c.ExpectQuiet()

	for _, f := range [][]string{nil, {"a/#/b"}, {"ok", ""}} {
		_, err := b.Subscribe(t.Context(), f, shoal.SubscribeOptions{})
		require.Error(t, err)
	}
	_, err = b.Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{QoS: 3})
	require.Error(t, err)
}

// TestNextWakes holds that a waiting Next sees a message, Close and the end of its context.
func TestNextWakes(t *testing.T) {
	b := start(t)
	s := subscribe(t, b, shoal.SubscribeOptions{}, "t")
	got := make(chan error, 1)
	wait := func(ctx context.Context) {
		go func() {
			_, err := s.Next(ctx)
			got <- err
		}()
	}
	wait(t.Context())
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t"}))
	require.NoError(t, <-got)
	ctx, cancel := context.WithCancel(t.Context())
	wait(ctx)
	cancel()
	require.ErrorIs(t, <-got, context.Canceled)
	wait(t.Context())
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-got, shoal.ErrClosed)
}
