package shoal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// byPrefix makes tenants of the part of a user name before a slash.
func byPrefix(principal string) string {
	tenant, _, ok := strings.Cut(principal, "/")
	if !ok {
		return ""
	}
	return tenant
}

// whoeverTheySay lets everyone in as the user that they say they are.
type whoeverTheySay struct{}

func (whoeverTheySay) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	return &shoal.Principal{Name: c.UserName}, nil
}

// as is a CONNECT of a user, for a session that lasts.
func as(user, id string) *packets.Connect {
	p := lasting(id, false)
	p.UserName = packets.Some(user)
	return p
}

// Sessions are bounded for all and for each tenant; one that ends, or is discarded, makes room, and a client that has one may always come back.
func TestSessionsAreBoundedInTotalAndByTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWith(t, shoal.WithAuthenticator(whoeverTheySay{}), shoal.WithTotalLimits(shoal.TotalLimits{Sessions: 4}),
			shoal.WithTenantLimits(byPrefix, shoal.TotalLimits{Sessions: 2}))
		try := func(user, id string) packets.ReasonCode {
			cl := dial(t, b, packets.V5)
			code := cl.TryConnect(as(user, id)).ReasonCode
			if code == packets.Success {
				cl.Disconnect()
			}
			return code
		}
		require.Equal(t, packets.Success, try("a/1", "a1"))
		require.Equal(t, packets.Success, try("a/2", "a2"))
		require.Equal(t, packets.QuotaExceeded, try("a/3", "a3"))
		require.Equal(t, packets.Success, try("a/1", "a1"), "it has one")
		require.Equal(t, packets.Success, try("b/1", "b1"))
		require.Equal(t, packets.Success, try("nobody's", "n1"))
		require.Equal(t, packets.QuotaExceeded, try("b/2", "b2"), "all together have as many as there may be")
		old := dial(t, b, packets.V311)
		require.Equal(t, packets.ServerUnavailable, old.TryConnect(&packets.Connect{ProtocolVersion: packets.V311, ClientID: "old", CleanStart: true, UserName: packets.Some("c")}).ReasonCode)

		cl := dial(t, b, packets.V5)
		p := as("a/1", "a1")
		p.Properties.SessionExpiryInterval = packets.Optional[uint32]{}
		cl.Connect(p)
		cl.Disconnect()
		synctest.Wait()
		require.Equal(t, packets.Success, try("a/3", "a3"), "one has ended")
		require.Equal(t, 4, b.Metrics().Sessions)
		require.EqualValues(t, 3, b.Metrics().Refused["sessions"])
	})
}

// Subscriptions are bounded in total: another one with the same filter takes the place of the first, and each that ends makes room.
func TestSubscriptionsAreBoundedInTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithTotalLimits(shoal.TotalLimits{Subscriptions: 3}))
		one, two := connect(t, b, "one"), connect(t, b, "two")
		subscribe := func(filters ...string) (codes []packets.ReasonCode) {
			p := &packets.Subscribe{PacketID: two.ID()}
			for _, f := range filters {
				p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: f})
			}
			return two.SubscribeWith(p).ReasonCodes
		}
		one.Subscribe(0, "a", "$share/g/b")
		require.Equal(t, []packets.ReasonCode{0, packets.QuotaExceeded, 0}, subscribe("x", "y", "x"))
		two.Unsubscribe("x")
		require.Equal(t, []packets.ReasonCode{0, packets.QuotaExceeded}, subscribe("y", "z"))
		one.Disconnect()
		synctest.Wait()
		require.Equal(t, []packets.ReasonCode{0, 0, packets.QuotaExceeded}, subscribe("v", "w", "u"))
		require.Equal(t, 3, b.Metrics().SessionSubscriptions)
		require.EqualValues(t, 3, b.Metrics().Refused["subscriptions"])
		two.Disconnect()
		synctest.Wait()
		require.Zero(t, b.Metrics().SessionSubscriptions)
	})
}

// What waits is bounded in total. Who takes what it gets, gets it all the same; the rest is dropped with a reason, and what leaves makes room.
func TestQueuedBytesAreBoundedInTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithTotalLimits(shoal.TotalLimits{QueuedBytes: 50_000}))
		for i := range 3 {
			cl, _ := connectWith(t, b, lasting(fmt.Sprint("away", i), true))
			cl.Subscribe(1, "t")
			cl.Disconnect()
		}
		live, _ := connectWith(t, b, lasting("live", true))
		live.Subscribe(1, "t")
		pub := connect(t, b, "pub")
		for i := range 100 {
			require.Equal(t, packets.Success, pub.Publish(1, "t", fmt.Sprint(i, strings.Repeat("x", 1000))))
			live.ExpectPublish("t", fmt.Sprint(i, strings.Repeat("x", 1000)))
			synctest.Wait() // its acknowledgement
		}
		synctest.Wait()
		m := b.Metrics()
		require.LessOrEqual(t, m.QueuedBytes, int64(50_000))
		require.Greater(t, m.QueuedBytes, int64(45_000))
		require.Greater(t, m.Dropped[shoal.DropBrokerFull], uint64(200))
		require.Equal(t, m.Dropped[shoal.DropBrokerFull], m.Refused["queued_bytes"])
		for i := range 3 {
			cl, _ := connectWith(t, b, lasting(fmt.Sprint("away", i), false))
			cl.Quiesce()
			cl.Disconnect()
		}
		synctest.Wait()
		require.Zero(t, b.Metrics().QueuedBytes)
	})
}

// Retained messages are bounded in number and bytes, for all and for each tenant. Another one for the same topic takes its place, and one that is
// cleared, or expires, makes room.
func TestRetainedMessagesAreBoundedInTotalAndByTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		options := []shoal.Option{
			shoal.WithAuthenticator(whoeverTheySay{}), shoal.WithStorage(store),
			shoal.WithTotalLimits(shoal.TotalLimits{RetainedMessages: 3, RetainedBytes: 1000}),
			shoal.WithTenantLimits(byPrefix, shoal.TotalLimits{RetainedMessages: 2}),
		}
		b := startWith(t, options...)
		a, _ := connectWith(t, b, as("a/1", "a1"))
		retain := func(topic string, size int) packets.ReasonCode {
			return a.PublishWith(&packets.Publish{TopicName: topic, QoS: 1, Retain: true, Payload: []byte(strings.Repeat("x", size))})
		}
		const kept = packets.NoMatchingSubscribers
		require.Equal(t, kept, retain("1", 10))
		require.Equal(t, kept, retain("2", 10))
		require.Equal(t, packets.QuotaExceeded, retain("3", 10), "the tenant has two")
		require.Equal(t, kept, retain("2", 20))
		require.Equal(t, packets.QuotaExceeded, retain("2", 2000), "too many bytes in place of few")
		require.Equal(t, kept, retain("1", 0))
		require.Equal(t, kept, retain("3", 10))
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "own", Retain: true, Payload: []byte("x")}))
		err := b.Publish(t.Context(), shoal.Message{TopicName: "own2", Retain: true, Payload: []byte("x")})
		require.Equal(t, packets.QuotaExceeded, shoal.ReasonCodeOf(err, 0))
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "own2", Payload: []byte("x")}))
		a.PublishWith(&packets.Publish{TopicName: "4", Retain: true, Payload: []byte("QoS 0")})
		a.Quiesce()
		m := b.Metrics()
		require.Equal(t, 3, m.RetainedMessages)
		require.EqualValues(t, len("2")+20+len("3")+10+len("own")+1, m.RetainedBytes)
		require.EqualValues(t, 2, m.Dropped[shoal.DropBrokerFull]-2, "and two of QoS 1")
		require.EqualValues(t, 4, m.Refused["retained_messages"]+m.Refused["retained_bytes"])

		require.Equal(t, kept, retain("3", 0))
		expiring := &packets.Publish{TopicName: "e", QoS: 1, Retain: true, Payload: []byte("x")}
		expiring.Properties.MessageExpiryInterval = packets.Some(uint32(10))
		require.Equal(t, kept, a.PublishWith(expiring))
		require.Equal(t, packets.QuotaExceeded, retain("5", 1))
		time.Sleep(11 * time.Second)
		require.Equal(t, kept, retain("5", 1))
		a.Disconnect()
		stop(t, b)
		b = startWith(t, options...)
		require.EqualValues(t, len("2")+20+len("5")+1+len("own")+1, b.Metrics().RetainedBytes, "what is restored counts")
	})
}

// A will that there is no room for is published without being retained.
func TestWillThatCannotBeRetainedIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithTotalLimits(shoal.TotalLimits{RetainedMessages: 1}))
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "full", Retain: true, Payload: []byte("x")}))
		sub := connect(t, b, "sub")
		sub.Subscribe(1, "w")
		ill := dial(t, b, packets.V5)
		ill.Connect(&packets.Connect{ProtocolVersion: packets.V5, ClientID: "ill", CleanStart: true, Will: &packets.Will{TopicName: "w", Retain: true, Payload: []byte("gone")}})
		ill.Close()
		sub.ExpectPublish("w", "gone")
		require.Equal(t, 1, b.Metrics().RetainedMessages)
	})
}

// Topics and User Properties are held to their limits wherever they come from; a client stays connected.
func TestTopicsAndUserPropertiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithLimits(shoal.Limits{TopicLevels: 3, TopicLength: 20, UserProperties: 2}))
		cl := connect(t, b, "cl")
		const fine, deep, long = "a/b/c", "a/b/c/d", "aaaaaaaaaaaaaaaaaaaaa"
		props := func(n int) (p packets.Properties) {
			for range n {
				p.UserProperties = append(p.UserProperties, packets.UserProperty{})
			}
			return p
		}
		require.Equal(t, packets.NoMatchingSubscribers, cl.PublishWith(&packets.Publish{TopicName: fine, QoS: 1, Properties: props(2)}))
		for _, topic := range []string{deep, long} {
			require.Equal(t, packets.TopicNameInvalid, cl.Publish(1, topic, "m"))
			require.Equal(t, packets.TopicFilterInvalid, cl.SubscribeWith(&packets.Subscribe{PacketID: cl.ID(), Subscriptions: []packets.Subscription{{TopicFilter: topic}}}).ReasonCodes[0])
			err := b.Publish(t.Context(), shoal.Message{TopicName: topic})
			require.Equal(t, packets.TopicNameInvalid, shoal.ReasonCodeOf(err, 0))
			ill := dial(t, b, packets.V5)
			require.Equal(t, packets.TopicNameInvalid, ill.TryConnect(&packets.Connect{ProtocolVersion: packets.V5, ClientID: "ill", CleanStart: true, Will: &packets.Will{TopicName: topic}}).ReasonCode)
		}
		require.Equal(t, packets.QuotaExceeded, cl.PublishWith(&packets.Publish{TopicName: fine, QoS: 1, Properties: props(3)}))
		require.Equal(t, packets.QuotaExceeded, cl.SubscribeWith(&packets.Subscribe{PacketID: cl.ID(), Properties: props(3), Subscriptions: []packets.Subscription{{TopicFilter: fine}}}).ReasonCodes[0])
		for _, p := range []*packets.Connect{
			{ProtocolVersion: packets.V5, ClientID: "x", CleanStart: true, Properties: props(3)},
			{ProtocolVersion: packets.V5, ClientID: "x", CleanStart: true, Will: &packets.Will{TopicName: "w", Properties: props(3)}},
		} {
			require.Equal(t, packets.QuotaExceeded, dial(t, b, packets.V5).TryConnect(p).ReasonCode)
		}
		cl.PublishWith(&packets.Publish{TopicName: deep}) // QoS 0
		old := dial(t, b, packets.V311)
		old.Connect(&packets.Connect{ProtocolVersion: packets.V311, ClientID: "old", CleanStart: true})
		require.Equal(t, packets.Success, old.Publish(1, deep, "m"), "3.1.1 has no way to say no")
		old.Quiesce()
		cl.Quiesce()
		m := b.Metrics()
		require.EqualValues(t, 7, m.Dropped[shoal.DropOverLimit])
		require.EqualValues(t, 10, m.Refused["topic"])
		require.EqualValues(t, 4, m.Refused["user_properties"])
	})
}

// TestTotalLimitsAreChecked holds that New refuses limits that make no sense, by their names.
func TestTotalLimitsAreChecked(t *testing.T) {
	for text, o := range map[string]shoal.Option{
		"limit of retained_bytes is -1": shoal.WithTotalLimits(shoal.TotalLimits{RetainedBytes: -1}),
		"WithTenantLimits: tenantOf":    shoal.WithTenantLimits(nil, shoal.TotalLimits{}),
		"limit of sessions is -3":       shoal.WithTenantLimits(byPrefix, shoal.TotalLimits{Sessions: -3}),
		"WithMemoryLimit: -1":           shoal.WithMemoryLimit(-1),
		"TopicLevels is -1":             shoal.WithLimits(shoal.Limits{TopicLevels: -1}),
	} {
		_, err := shoal.New(shoal.WithAnonymous(), o)
		require.ErrorContains(t, err, text)
	}
}
