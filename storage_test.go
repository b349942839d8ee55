package shoal_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/bolt"
	"github.com/shoalmq/shoal/storage/memory"
)

// restarts runs fn with a function that starts a broker on one store, again and again; each stops the one before.
func restarts(t *testing.T, fn func(t *testing.T, restart func() *shoal.Broker)) {
	for name, open := range map[string]func(t *testing.T) func() shoal.Storage{
		"memory": func(*testing.T) func() shoal.Storage {
			s := memory.New()
			return func() shoal.Storage { return s }
		},
		"bolt": func(t *testing.T) func() shoal.Storage {
			path := filepath.Join(t.TempDir(), "mqtt.db")
			return func() shoal.Storage { return bolt.Open(path, bolt.WithNoSync()) }
		},
	} {
		run := func(t *testing.T) {
			store := open(t)
			var b *shoal.Broker
			fn(t, func() *shoal.Broker {
				if b != nil {
					stop(t, b)
				}
				var err error
				b, err = shoal.New(shoal.WithAnonymous(), shoal.WithStorage(store()))
				require.NoError(t, err)
				require.NoError(t, b.Start(t.Context()))
				return b
			})
			stop(t, b)
		}
		t.Run(name, func(t *testing.T) {
			if name == "memory" { // where the broker need not wait for anybody's clock
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

func TestSessionSurvives(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.SubscribeWith(&packets.Subscribe{
			Subscriptions: []packets.Subscription{
				{TopicFilter: "a/+", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}, {TopicFilter: "gone", QoS: 1},
			},
			Properties: packets.Properties{SubscriptionIdentifiers: []uint32{7}},
		})
		sub.Subscribe(1, "$share/g/s")
		sub.Unsubscribe("gone")
		sub.Disconnect()
		pub := connect(t, b, "pub")
		props := packets.Properties{
			ContentType: packets.Some("x"), ResponseTopic: packets.Some("r"), CorrelationData: []byte{}, PayloadFormatIndicator: packets.Some(byte(0)),
			UserProperties: []packets.UserProperty{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}},
		}
		for i := range 50 {
			pub.PublishWith(&packets.Publish{QoS: packets.QoS(1 + i%2), Retain: i%2 == 0, TopicName: "a/b", Payload: []byte(strconv.Itoa(i)), Properties: props})
		}
		pub.Publish(1, "s", "shared")
		connect(t, b, "passing") // a session that ends with its connection
		b = restart()
		require.Equal(t, 1, b.Metrics().Sessions)
		require.Equal(t, 2, b.Metrics().Subscriptions)
		sub, ack := connectWith(t, b, lasting("sub", false))
		require.True(t, ack.SessionPresent)
		for i := range 50 {
			p := sub.ExpectPublish("a/b", strconv.Itoa(i))
			require.Equal(t, packets.QoS(1+i%2), p.QoS)
			require.Equal(t, i%2 == 0, p.Retain)
			require.False(t, p.Dup)
			require.Equal(t, []uint32{7}, p.Properties.SubscriptionIdentifiers)
			p.Properties.SubscriptionIdentifiers = nil
			require.Equal(t, props, p.Properties)
		}
		sub.ExpectPublish("s", "shared")
		sub.ExpectQuiet()
		sub.Publish(1, "a/own", "no local")
		sub.ExpectQuiet()
		pub = connect(t, b, "pub")
		require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "gone", "m"))
		sub.Disconnect()
		b = restart()
		sub, _ = connectWith(t, b, lasting("sub", false))
		sub.ExpectQuiet() // what was acknowledged is gone
		sub.Disconnect()
		connectWith(t, b, lasting("sub", true))
		b = restart()
		_, ack = connectWith(t, b, lasting("sub", false))
		require.True(t, ack.SessionPresent)
		require.Zero(t, b.Metrics().Subscriptions) // a clean start forgot them
	})
}

// TestMessagesInFlightSurviveForTheirSubscriber holds that messages in flight survive, with their identifiers and states, and go to the subscriber, not to the publisher.
func TestMessagesInFlightSurviveForTheirSubscriber(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		p := lasting("sub", true)
		p.Properties.ReceiveMaximum = packets.Some(uint16(4))
		sub, _ := connectWith(t, b, p)
		sub.Manual = true
		sub.Subscribe(2, "t")
		pub, _ := connectWith(t, b, lasting("pub", true))
		for i := range 6 {
			pub.Publish(packets.QoS(1+i%2), "t", strconv.Itoa(i))
		}
		ids := make([]uint16, 6)
		for i := range 4 {
			ids[i] = sub.ExpectPublish("t", strconv.Itoa(i)).PacketID
		}
		sub.Send(&packets.PubRec{PacketID: ids[1]})
		sub.Expect(packets.TypePubRel)
		sub.Send(&packets.PubAck{PacketID: ids[2]})
		ids[4] = sub.ExpectPublish("t", "4").PacketID
		sub.Close()
		for range 2 {
			b = restart()
			pub, ack := connectWith(t, b, lasting("pub", false))
			require.True(t, ack.SessionPresent)
			sub, _ = connectWith(t, b, lasting("sub", false))
			sub.Manual = true
			expect := func(i int, dup bool) {
				m := sub.ExpectPublish("t", strconv.Itoa(i))
				require.Equal(t, dup, m.Dup, i)
				if ids[i] == 0 {
					ids[i] = m.PacketID
				}
				require.Equal(t, ids[i], m.PacketID)
			}
			expect(0, true)
			require.Equal(t, ids[1], mqtttest.Expect[*packets.PubRel](sub).PacketID)
			first := ids[5] == 0
			expect(3, true)
			expect(4, true)
			expect(5, !first)
			sub.ExpectQuiet()
			pub.ExpectQuiet()
		}
		sub.Send(&packets.PubComp{PacketID: ids[1]})
		sub.Quiesce()
		b = restart()
		sub, _ = connectWith(t, b, lasting("sub", false))
		for _, i := range []int{0, 3, 4, 5} {
			sub.ExpectPublish("t", strconv.Itoa(i))
		}
		sub.ExpectQuiet()
	})
}

// TestReceivedSurvives holds that a QoS 2 message is not published twice over a restart.
func TestReceivedSurvives(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "t")
		sub.Disconnect()
		pub, _ := connectWith(t, b, lasting("pub", true))
		p := &packets.Publish{QoS: 2, PacketID: 9, TopicName: "t", Payload: []byte("m")}
		pub.Send(p)
		pub.Expect(packets.TypePubRec)
		pub.Close()
		b = restart()
		pub, _ = connectWith(t, b, lasting("pub", false))
		p.Dup = true
		pub.Send(p)
		pub.Expect(packets.TypePubRec)
		pub.Send(&packets.PubRel{PacketID: 9})
		require.Equal(t, packets.Success, mqtttest.Expect[*packets.PubComp](pub).ReasonCode)
		pub.Disconnect()
		b = restart()
		pub, _ = connectWith(t, b, lasting("pub", false))
		p.Dup = false
		p.Payload = []byte("another")
		pub.Send(p)
		pub.Expect(packets.TypePubRec)
		sub, _ = connectWith(t, b, lasting("sub", false))
		sub.ExpectPublish("t", "m")
		sub.ExpectPublish("t", "another")
		sub.ExpectQuiet()
	})
}

func TestRetainedSurvives(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		pub := connect(t, b, "pub")
		for _, payload := range []string{"1", "2"} {
			pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "a", Payload: []byte(payload)})
			pub.PublishWith(&packets.Publish{QoS: 2, Retain: true, TopicName: "b", Payload: []byte(payload)})
		}
		pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "a"})
		b = restart()
		sub := connect(t, b, "sub")
		sub.Subscribe(2, "#")
		p := sub.ExpectPublish("b", "2")
		require.EqualValues(t, 2, p.QoS)
		require.True(t, p.Retain)
		sub.ExpectQuiet()
	})
}

// TestExpiryOverRestart holds that time goes on while the broker is away.
func TestExpiryOverRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		run := func() *shoal.Broker {
			b, err := shoal.New(shoal.WithAnonymous(), shoal.WithStorage(store))
			require.NoError(t, err)
			require.NoError(t, b.Start(t.Context()))
			return b
		}
		b := run()
		for id, expiry := range map[string]uint32{"short": 100, "long": 1000} {
			c, _ := connectWith(t, b, &packets.Connect{ClientID: id, Properties: packets.Properties{SessionExpiryInterval: packets.Some(expiry)}})
			c.Subscribe(1, id)
			c.Disconnect()
		}
		pub := connect(t, b, "pub")
		pub.PublishWith(&packets.Publish{QoS: 1, Retain: true, TopicName: "long", Payload: []byte("expires"), Properties: packets.Properties{MessageExpiryInterval: packets.Some(uint32(150))}})
		stop(t, b)
		time.Sleep(90 * time.Second) // of the bubble
		b = run()
		require.Equal(t, 2, b.Metrics().Sessions)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, b.Metrics().Sessions)
		require.Equal(t, 1, b.Metrics().RetainedMessages)
		stop(t, b)
		time.Sleep(100 * time.Second)
		b = run()
		require.Zero(t, b.Metrics().RetainedMessages)
		long, ack := connectWith(t, b, &packets.Connect{ClientID: "long"})
		require.True(t, ack.SessionPresent)
		long.ExpectQuiet() // its message has expired
		stop(t, b)
	})
}

// TestClockPutBackOverRestart holds that a session lasts no longer than from the start on if the clock was put back meanwhile.
func TestClockPutBackOverRestart(t *testing.T) {
	store := memory.New()
	run := func(fn func(t *testing.T, b *shoal.Broker)) {
		synctest.Test(t, func(t *testing.T) { // each time from the same moment on
			b, err := shoal.New(shoal.WithAnonymous(), shoal.WithStorage(store))
			require.NoError(t, err)
			require.NoError(t, b.Start(t.Context()))
			fn(t, b)
			stop(t, b)
		})
	}
	run(func(t *testing.T, b *shoal.Broker) {
		time.Sleep(time.Hour)
		c, _ := connectWith(t, b, &packets.Connect{ClientID: "c", Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(100))}})
		c.Disconnect()
	})
	run(func(t *testing.T, b *shoal.Broker) {
		require.Equal(t, 1, b.Metrics().Sessions)
		time.Sleep(99 * time.Second)
		require.Equal(t, 1, b.Metrics().Sessions)
		time.Sleep(2 * time.Second)
		require.Zero(t, b.Metrics().Sessions)
	})
}

// gated is a store whose commits can be held up, or fail.
type gated struct {
	*memory.Store
	mu   sync.Mutex
	gate chan struct{} // commits wait for it; nil: open
	err  error
}

func (g *gated) set(gate chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate, g.err = gate, err
}

func (g *gated) Commit(ctx context.Context, ops []shoal.Op) error {
	g.mu.Lock()
	gate, err := g.gate, g.err
	g.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return err
	}
	return g.Store.Commit(ctx, ops)
}

// TestAckAfterStored holds guarantee 2: nothing is acknowledged before it is stored, and answers keep their order.
func TestAckAfterStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "kept")
		pub := connect(t, b, "pub")
		gate := make(chan struct{})
		store.set(gate, nil)
		ids := make([]uint16, 4)
		for i, topic := range []string{"kept", "nowhere", "kept", "nowhere"} {
			p := &packets.Publish{QoS: packets.QoS(1 + i/2), TopicName: topic, Payload: []byte("m")}
			pub.PublishAsync(p)
			ids[i] = p.PacketID
		}
		// A QoS 2 message sent again while its answer is still to come is answered once.
		pub.Send(&packets.Publish{QoS: 2, Dup: true, PacketID: ids[2], TopicName: "kept", Payload: []byte("m")})
		pub.ExpectNothing(time.Second)
		store.set(nil, nil)
		close(gate)
		for i, id := range ids {
			if i < 2 {
				require.Equal(t, id, mqtttest.Expect[*packets.PubAck](pub).PacketID)
			} else {
				require.Equal(t, id, mqtttest.Expect[*packets.PubRec](pub).PacketID)
			}
		}
		pub.ExpectQuiet()
		sub.ExpectPublish("kept", "m")
		sub.ExpectPublish("kept", "m")
		sub.ExpectQuiet()
	})
}

// TestPubCompAfterStored: the client uses the identifier again once it has PUBCOMP, so it must be free in the store by then; and a QoS 2 message
// leaves for a session that lasts only when it is stored, since its publisher would send it again after a crash.
func TestPubCompAfterStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "t")
		pub, _ := connectWith(t, b, lasting("pub", true))
		pub.Send(&packets.Publish{QoS: 2, PacketID: 9, TopicName: "t", Payload: []byte("m")})
		pub.Expect(packets.TypePubRec)
		sub.ExpectPublish("t", "m")
		synctest.Wait()
		sub.ExpectQuiet() // its exchange is over
		synctest.Wait()
		gate := make(chan struct{})
		store.set(gate, nil)
		pub.Send(&packets.PubRel{PacketID: 9})
		connect(t, b, "other").PublishAsync(&packets.Publish{QoS: 2, TopicName: "t", Payload: []byte("later")})
		pub.ExpectNothing(time.Second)
		sub.ExpectNothing(time.Second)
		store.set(nil, nil)
		close(gate)
		pub.Expect(packets.TypePubComp)
		sub.ExpectPublish("t", "later")
	})
}

// TestPubRelNotStored: what a PUBREC changed cannot be kept. The client hears of it, since it would wait for its PUBREL, and so would those after it; its
// next connection gets it.
func TestPubRelNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(2, "t")
		require.Equal(t, packets.Success, connect(t, b, "pub").Publish(2, "t", "m"))
		id := sub.ExpectPublish("t", "m").PacketID
		store.set(nil, errors.New("disk full"))
		sub.Send(&packets.PubRec{PacketID: id})
		require.Equal(t, packets.ImplementationSpecificError, mqtttest.Expect[*packets.Disconnect](sub).ReasonCode)
		sub.ExpectClosed()
		store.set(nil, nil)
		sub, _ = connectWith(t, b, lasting("sub", false))
		sub.Manual = true
		require.Equal(t, id, mqtttest.Expect[*packets.PubRel](sub).PacketID)
	})
}

// TestPubRelOfTheLastConnectionWaitsForItsPubRec holds [MQTT-4.3.3-4] over a reconnection: what the
// PUBREC changed is not kept yet, and after a crash the PUBLISH would come again to a client that
// has had PUBREL and has forgotten its identifier.
func TestPubRelOfTheLastConnectionWaitsForItsPubRec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(2, "t")
		require.Equal(t, packets.Success, connect(t, b, "pub").Publish(2, "t", "m"))
		id := sub.ExpectPublish("t", "m").PacketID
		gate := make(chan struct{})
		store.set(gate, nil)
		sub.Send(&packets.PubRec{PacketID: id})
		synctest.Wait()
		sub, _ = connectWith(t, b, lasting("sub", false))
		sub.Manual = true
		sub.ExpectNothing(time.Second)
		store.set(nil, nil)
		close(gate)
		require.Equal(t, id, mqtttest.Expect[*packets.PubRel](sub).PacketID)
	})
}

// TestPubRecsThatWaitAreBounded: a client that sends PUBRECs faster than the store takes them is not read from, and gets its PUBRELs in order [MQTT-4.6.0-4].
func TestPubRecsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store), shoal.WithLimits(shoal.Limits{ReceiveMaximum: 2}))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Manual = true
		sub.Subscribe(2, "t")
		require.Equal(t, packets.Success, connect(t, b, "pub").Publish(2, "t", "m"))
		first := sub.ExpectPublish("t", "m").PacketID
		gate := make(chan struct{})
		store.set(gate, nil)
		const more = 5 // that are about nothing
		for id := first; id <= first+more; id++ {
			sub.Send(&packets.PubRec{PacketID: id})
			synctest.Wait()
		}
		sub.Send(&packets.PingReq{})
		sub.ExpectNothing(time.Second)
		store.set(nil, nil)
		close(gate)
		for id := first; id <= first+more; id++ {
			require.Equal(t, id, mqtttest.Expect[*packets.PubRel](sub).PacketID)
		}
		sub.Expect(packets.TypePingResp)
	})
}

// TestNothingUnkeptLeaves: a QoS 2 message that could not be kept waits until it is. Whoever goes on with the session knows nothing of it, and may give its
// packet identifier to another one.
func TestNothingUnkeptLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "t")
		store.set(nil, errors.New("disk full"))
		pub := connect(t, b, "pub")
		pub.PublishAsync(&packets.Publish{QoS: 2, TopicName: "t", Payload: []byte("m")})
		pub.ExpectClosed() // rather than that it is told that nobody has it
		sub.ExpectNothing(5 * time.Second)
		store.set(nil, nil)
		sub.ExpectPublish("t", "m")
		sub.ExpectQuiet()
	})
}

// TestRepeatedWhilePending sends a QoS 2 message again on a new connection, while the store is still busy with the first.
func TestRepeatedWhilePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "t")
		pub, _ := connectWith(t, b, lasting("pub", true))
		gate := make(chan struct{})
		store.set(gate, nil)
		p := &packets.Publish{QoS: 2, PacketID: 5, TopicName: "t", Payload: []byte("m")}
		pub.Send(p)
		pub.ExpectNothing(time.Second)
		pub, ack := connectWith(t, b, lasting("pub", false))
		require.True(t, ack.SessionPresent)
		p.Dup = true
		pub.Send(p)
		pub.ExpectNothing(time.Second)
		store.set(nil, nil)
		close(gate)
		require.EqualValues(t, 5, mqtttest.Expect[*packets.PubRec](pub).PacketID)
		pub.ExpectQuiet()
		pub.Send(&packets.PubRel{PacketID: 5})
		pub.Expect(packets.TypePubComp)
		sub.ExpectPublish("t", "m")
		sub.ExpectQuiet()
	})
}

// TestStorageFails holds that what could not be stored is refused, in MQTT 3 by closing the connection, and that all is well again after.
func TestStorageFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Store: memory.New()}
		b := start(t, shoal.WithStorage(store))
		sub, _ := connectWith(t, b, lasting("sub", true))
		sub.Subscribe(2, "t")
		sub.Disconnect()
		store.set(nil, errors.New("disk full"))
		pub := connect(t, b, "pub")
		require.Equal(t, packets.ImplementationSpecificError, pub.Publish(1, "t", "1"))
		require.Equal(t, packets.ImplementationSpecificError, pub.Publish(2, "t", "2"))
		require.Equal(t, packets.NoMatchingSubscribers, pub.Publish(1, "nowhere", "m")) // nothing to store
		old := dial(t, b, packets.V311)
		old.Connect(&packets.Connect{ClientID: "old", CleanStart: true})
		old.PublishAsync(&packets.Publish{QoS: 1, TopicName: "t"})
		old.ExpectClosed()
		require.Error(t, b.Publish(t.Context(), shoal.Message{TopicName: "t", QoS: 1}))
		kept, _ := connectWith(t, b, lasting("kept", true))
		require.Equal(t, []packets.ReasonCode{packets.ImplementationSpecificError}, kept.SubscribeWith(&packets.Subscribe{
			Subscriptions: []packets.Subscription{{TopicFilter: "t", QoS: 1}},
		}).ReasonCodes)
		store.set(nil, nil)
		time.Sleep(5 * time.Second) // of the bubble
		require.Equal(t, packets.Success, pub.Publish(2, "t", "last"))
		sub, _ = connectWith(t, b, lasting("sub", false))
		for p := mqtttest.Expect[*packets.Publish](sub); string(p.Payload) != "last"; {
			p = mqtttest.Expect[*packets.Publish](sub)
		}
	})
}
