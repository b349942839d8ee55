package shoal_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// byHand is a subscription that lasts, of QoS 2, acknowledged by hand.
func byHand(name string) shoal.SubscribeOptions {
	return shoal.SubscribeOptions{QoS: 2, Name: name, AcknowledgeByHand: true, RetainHandling: 1}
}

func post(t testing.TB, b *shoal.Broker, topic, payload string, qos packets.QoS) {
	t.Helper()
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: topic, Payload: []byte(payload), QoS: qos}))
}

// A subscription with a Name goes on where it was after a restart: with what was not acknowledged, and what came meanwhile, in order.
func TestNamedSubscriptionResumes(t *testing.T) {
	restarts(t, func(t *testing.T, restart func() *shoal.Broker) {
		b := restart()
		s, err := b.Subscribe(t.Context(), []string{"t/#", "$share/g/u"}, byHand("jobs"))
		require.NoError(t, err)
		for i := range 6 {
			post(t, b, "t/1", strconv.Itoa(i), packets.QoS(1+i%2))
		}
		for i := range 6 {
			m := next(t, s)
			require.Equal(t, strconv.Itoa(i), string(m.Payload))
			require.Equal(t, packets.QoS(1+i%2), m.QoS)
			if i < 4 {
				m.Acknowledge()
				m.Acknowledge() // a second time is nothing
			}
		}
		require.NoError(t, s.Close())
		_, err = s.Next(t.Context())
		require.ErrorIs(t, err, shoal.ErrClosed)
		post(t, b, "t/1", "6", 1)
		post(t, b, "t/1", "lost", 0)

		b = restart()
		post(t, b, "t/2", "7", 2)
		s, err = b.Subscribe(t.Context(), []string{"t/#"}, byHand("jobs"))
		require.NoError(t, err)
		for i := 4; i < 8; i++ {
			m := next(t, s)
			require.Equal(t, strconv.Itoa(i), string(m.Payload))
			m.Acknowledge()
		}
		post(t, b, "u", "a filter that was not given again", 1)
		none(t, s)
		require.NoError(t, s.Remove())
		post(t, b, "t/1", "after the end", 1)
		s, err = b.Subscribe(t.Context(), []string{"t/#"}, byHand("jobs"))
		require.NoError(t, err)
		none(t, s)
		require.NoError(t, s.Close())
	})
}

// No more than Buffer messages, and BufferBytes of them, are out at a time; acknowledgements in any order make room.
func TestNamedSubscriptionIsBounded(t *testing.T) {
	for name, o := range map[string]shoal.SubscribeOptions{
		"messages": {QoS: 1, Name: "n", AcknowledgeByHand: true, Buffer: 2},
		"bytes":    {QoS: 1, Name: "n", AcknowledgeByHand: true, BufferBytes: 2500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				s := subscribe(t, b, o, "t")
				for range 6 {
					post(t, b, "t", string(make([]byte, 1000)), 1)
				}
				out := []shoal.Message{next(t, s), next(t, s)}
				for range 4 {
					synctest.Wait()
					none(t, s)
					out[1].Acknowledge()
					out[1] = next(t, s)
				}
				out[0].Acknowledge()
				out[1].Acknowledge()
				synctest.Wait()
				none(t, s)
			})
		})
	}
}

// Messages of QoS 0 have no place but the buffer: what does not fit is dropped with a reason, and holds up nobody.
func TestNamedSubscriptionDropsQoS0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		s := subscribe(t, b, shoal.SubscribeOptions{QoS: 1, Name: "n", Buffer: 3}, "t")
		for i := range 5 {
			post(t, b, "t", strconv.Itoa(i), 0)
		}
		require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropQueueFull])
		for i := range 3 {
			require.Equal(t, strconv.Itoa(i), string(next(t, s).Payload))
		}
		post(t, b, "t", "after", 1)
		require.Equal(t, "after", string(next(t, s).Payload))
	})
}

// What is refused is gone, and counted.
func TestNamedSubscriptionRefuses(t *testing.T) {
	b := start(t)
	s := subscribe(t, b, byHand("n"), "t")
	post(t, b, "t", "1", 1)
	post(t, b, "t", "2", 2)
	for range 2 {
		m := next(t, s)
		m.Refuse()
	}
	require.EqualValues(t, 2, b.Metrics().Dropped[shoal.DropRefused])
	require.NoError(t, s.Close())
	s = subscribe(t, b, byHand("n"), "t")
	none(t, s)
}

// An acknowledgement of a subscription that has ended is void: the message comes again.
func TestLateAcknowledgement(t *testing.T) {
	b := start(t)
	s := subscribe(t, b, byHand("n"), "t")
	post(t, b, "t", "again", 1)
	m := next(t, s)
	require.NoError(t, s.Close())
	m.Acknowledge()
	s = subscribe(t, b, byHand("n"), "t")
	require.Equal(t, "again", string(next(t, s).Payload))
}

// Without AcknowledgeByHand, Next acknowledges.
func TestNextAcknowledges(t *testing.T) {
	b := start(t)
	s := subscribe(t, b, shoal.SubscribeOptions{QoS: 1, Name: "n"}, "t")
	post(t, b, "t", "1", 1)
	post(t, b, "t", "2", 1)
	require.Equal(t, "1", string(next(t, s).Payload))
	require.NoError(t, s.Close())
	s = subscribe(t, b, shoal.SubscribeOptions{QoS: 1, Name: "n"}, "t")
	require.Equal(t, "2", string(next(t, s).Payload))
}

// The broker's own names are not for clients, and clients' rights are not asked for the program.
func TestOwnNamesAreReserved(t *testing.T) {
	var clients []string
	b := start(t, shoal.WithHook(
		onConnected(func(e shoal.ConnectedEvent) { clients = append(clients, e.Client.ClientID) }),
		onDisconnected(func(e shoal.DisconnectedEvent) { clients = append(clients, e.Client.ClientID) }),
		onEnded(func(id string) { clients = append(clients, id) }),
	))
	s := subscribe(t, b, byHand("n"), "t", "$shoal/x")
	require.Zero(t, b.Metrics().ConnectionsOpen)
	ack := dial(t, b, packets.V5).TryConnect(&packets.Connect{ClientID: "$shoal/n", CleanStart: true})
	require.Equal(t, packets.ClientIdentifierNotValid, ack.ReasonCode)
	c := connect(t, b, "c")
	require.Equal(t, packets.NotAuthorized, c.Publish(1, "$shoal/x", "forged"))
	require.Equal(t, []packets.ReasonCode{packets.NotAuthorized}, c.SubscribeWith(&packets.Subscribe{
		PacketID: 9, Subscriptions: []packets.Subscription{{TopicFilter: "$shoal/#", QoS: 1}},
	}).ReasonCodes)
	post(t, b, "$shoal/x", "the program may", 1)
	require.Equal(t, "the program may", string(next(t, s).Payload))
	require.NoError(t, s.Remove())
	require.Equal(t, []string{"c"}, clients)
	require.EqualValues(t, 1, b.Metrics().ClientsAccepted)
}

func TestSubscribeOptionsAreChecked(t *testing.T) {
	b := start(t)
	held := subscribe(t, b, byHand("n"), "t")
	for want, o := range map[string]shoal.SubscribeOptions{
		"contains '/'":   {Name: "a/b"},
		"use 1 to 128":   {Name: string(make([]byte, 129))},
		"in use":         {Name: "n"},
		"need a Name":    {AcknowledgeByHand: true},
		"not be negativ": {Name: "m", Expiry: -1},
		"0, 1 or 2":      {Name: "m", QoS: 3},
	} {
		_, err := b.Subscribe(t.Context(), []string{"t"}, o)
		require.ErrorContains(t, err, want)
	}
	_, err := b.Subscribe(t.Context(), []string{"a#"}, byHand("m"))
	require.ErrorContains(t, err, `"a#"`)
	require.NoError(t, held.Close())
}

// Next of a subscription whose broker is shut down says so.
func TestNamedSubscriptionEndsWithBroker(t *testing.T) {
	b := start(t)
	s, err := b.Subscribe(t.Context(), []string{"t"}, byHand("n"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, b.Shutdown(ctx))
	_, err = s.Next(ctx)
	require.ErrorIs(t, err, shoal.ErrClosed)
	require.NoError(t, s.Close())
}
