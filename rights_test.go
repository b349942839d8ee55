package shoal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// TestNothingIsDeliveredAfterARightIsWithdrawn holds that a subscription ends, with what waits because of it, when its client may not have it any more:
// when rights change, when the session is resumed, and when the client asks for it again and is refused.
func TestNothingIsDeliveredAfterARightIsWithdrawn(t *testing.T) {
	for name, withdraw := range map[string]func(t *testing.T, b *shoal.Broker, again func() packets.ReasonCode, deny func()){
		"rights change": func(_ *testing.T, b *shoal.Broker, _ func() packets.ReasonCode, deny func()) {
			deny()
			b.InvalidateAuthorization()
			synctest.Wait()
		},
		"SUBSCRIBE again": func(t *testing.T, _ *shoal.Broker, again func() packets.ReasonCode, deny func()) {
			deny()
			require.Equal(t, packets.NotAuthorized, again())
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var denied atomic.Bool
				b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
					if denied.Load() && r.Action == shoal.ActionSubscribe && r.Topic == "secret/#" {
						return errRefused
					}
					return nil
				}}), shoal.WithLimits(shoal.Limits{InFlight: 1}))
				sub := connect(t, b, "sub")
				sub.Manual = true
				sub.Subscribe(1, "secret/#", "public")
				pub := connect(t, b, "pub")
				for range 3 { // one of which is under way
					pub.Publish(1, "secret/a", "1")
				}
				pub.Publish(1, "public", "2")
				first := sub.ExpectPublish("secret/a", "1")
				withdraw(t, b, func() packets.ReasonCode {
					return sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "secret/#", QoS: 1}}}).ReasonCodes[0]
				}, func() { denied.Store(true) })
				require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "secret/a", "3"))
				sub.Send(&packets.PubAck{PacketID: first.PacketID})
				sub.ExpectPublish("public", "2")
				sub.ExpectQuiet()
				require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropNotAuthorized])
			})
		})
	}
}

// TestRechecksOfRightsDoNotWaitForEachOther holds that a right which is withdrawn ends what it allowed although the Authorizer does not answer about many other
// clients, whether it looks at its context or not, also when rights change again meanwhile.
func TestRechecksOfRightsDoNotWaitForEachOther(t *testing.T) {
	for name, deaf := range map[string]bool{"it looks at ctx": false, "it does not": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var changed atomic.Bool
				release := make(chan struct{})
				b := startWith(t, shoal.WithAuthenticator(slowDoor{door{}, func(ctx context.Context, r *shoal.AccessRequest) error {
					switch {
					case !changed.Load():
						return nil
					case r.ClientID == "denied":
						return errRefused
					case deaf:
						<-release
					default:
						<-ctx.Done()
					}
					return ctx.Err()
				}}))
				for i := range 300 {
					connect(t, b, fmt.Sprint("stuck", i)).Subscribe(1, "t")
				}
				denied := connect(t, b, "denied")
				denied.Subscribe(1, "secret")
				changed.Store(true)
				began := time.Now()
				for range 3 {
					b.InvalidateAuthorization()
					synctest.Wait()
				}
				stay := 0 // who is not told to be allowed is not
				if deaf {
					stay = 300
				}
				for b.Metrics().SessionSubscriptions > stay {
					time.Sleep(100 * time.Millisecond)
					require.Less(t, time.Since(began), 70*time.Second)
				}
				require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "secret"}))
				denied.ExpectQuiet()
				close(release)
			})
		})
	}
}

// slowDoor is a door whose Authorize is given the context.
type slowDoor struct {
	door
	ask func(context.Context, *shoal.AccessRequest) error
}

func (d slowDoor) Authorize(ctx context.Context, r *shoal.AccessRequest) error { return d.ask(ctx, r) }

// TestRightsAreCheckedWhenASessionIsResumed holds that a client which comes back gets nothing it may not have by now, not even again.
func TestRightsAreCheckedWhenASessionIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var denied atomic.Bool
		b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
			if denied.Load() && r.Action == shoal.ActionSubscribe && r.Topic == "secret" {
				return errRefused
			}
			return nil
		}}))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(1, "secret", "public")
		pub := connect(t, b, "pub")
		pub.Publish(1, "secret", "had")
		sub.ExpectPublish("secret", "had")
		sub.Close()
		synctest.Wait()
		pub.Publish(1, "secret", "waits")
		pub.Publish(1, "public", "waits")
		denied.Store(true)
		b.InvalidateAuthorization()
		time.Sleep(time.Second)
		sub, ack := connectWith(t, b, lasting("sub", false))
		require.True(t, ack.SessionPresent)
		sub.ExpectPublish("public", "waits")
		require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "secret", "more"))
		sub.ExpectQuiet()
		require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropNotAuthorized])
	})
}

// TestRetainedMessagesPassTheDeliverInterceptors holds it for clients and for the program.
func TestRetainedMessagesPassTheDeliverInterceptors(t *testing.T) {
	b := start(t, shoal.WithHook(onDeliver(func(e *shoal.DeliverEvent) error {
		if e.Message.TopicName == "r/hidden" || e.Message.TopicName == "$SYS/broker/version" {
			return errRefused
		}
		return nil
	})))
	pub := connect(t, b, "pub")
	for _, topic := range []string{"r/hidden", "r/shown"} {
		pub.PublishWith(&packets.Publish{TopicName: topic, QoS: 1, Retain: true, Payload: []byte("m")})
	}
	sub := connect(t, b, "sub")
	sub.Subscribe(1, "r/#", "$SYS/broker/version")
	sub.ExpectPublish("r/shown", "m")
	sub.ExpectQuiet()
	own, err := b.Subscribe(t.Context(), []string{"r/#", "r/+", "$SYS/broker/version"}, shoal.SubscribeOptions{QoS: 1})
	require.NoError(t, err)
	m, err := own.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "r/shown", m.TopicName)
	require.NoError(t, own.Close())
	_, err = own.Next(t.Context())
	require.ErrorIs(t, err, shoal.ErrClosed, "by one filter only, and nothing else")
}

// TestDropsOfASharedGroupAreCountedOnce holds that members which have no room count no drop as long as another takes the message, and that a message which
// nobody takes is one drop; and that only what was taken counts as delivered.
func TestDropsOfASharedGroupAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{QueuedMessages: 2}))
		for _, id := range []string{"a", "b", "c"} {
			cl, _ := connectWith(t, b, lasting(id, true))
			cl.Manual = true
			cl.Subscribe(1, "$share/g/t")
		}
		pub := connect(t, b, "pub")
		for range 6 {
			pub.Publish(1, "t", "m")
		}
		require.Zero(t, b.Metrics().Dropped[shoal.DropQueueFull])
		require.EqualValues(t, 6, b.Metrics().MessagesDelivered)
		time.Sleep(3 * time.Second) // now they have stopped
		for range 5 {
			pub.Publish(1, "t", "too many")
		}
		require.EqualValues(t, 5, b.Metrics().Dropped[shoal.DropQueueFull])
		require.EqualValues(t, 6, b.Metrics().MessagesDelivered)
	})
}
