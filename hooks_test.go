package shoal_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// door is an Authenticator and Authorizer made of functions.
type door struct {
	enter func(*shoal.Credentials) (*shoal.Principal, error)
	allow func(*shoal.AccessRequest) error
}

func (d door) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	if d.enter == nil {
		return &shoal.Principal{Name: c.UserName}, nil
	}
	return d.enter(c)
}

func (d door) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if d.allow == nil {
		return nil
	}
	return d.allow(r)
}

// Each hook is a type of one method.
type (
	onConnect      func(*shoal.ConnectEvent) error
	onSubscribe    func(*shoal.SubscribeEvent) error
	onPublish      func(*shoal.PublishEvent) error
	onDeliver      func(*shoal.DeliverEvent) error
	onWill         func(*shoal.PublishEvent) error
	onConnected    func(shoal.ConnectedEvent)
	onDisconnected func(shoal.DisconnectedEvent)
	onEnded        func(string)
	onDrop         func(shoal.DroppedEvent)
)

func (f onConnect) InterceptConnect(_ context.Context, e *shoal.ConnectEvent) error { return f(e) }

func (f onSubscribe) InterceptSubscribe(_ context.Context, e *shoal.SubscribeEvent) error {
	return f(e)
}

func (f onPublish) InterceptPublish(_ context.Context, e *shoal.PublishEvent) error { return f(e) }

func (f onDeliver) InterceptDeliver(_ context.Context, e *shoal.DeliverEvent) error { return f(e) }

func (f onWill) InterceptWill(_ context.Context, e *shoal.PublishEvent) error { return f(e) }
func (f onConnected) Connected(e shoal.ConnectedEvent)                        { f(e) }
func (f onDisconnected) Disconnected(e shoal.DisconnectedEvent)               { f(e) }
func (f onEnded) SessionEnded(id string)                                      { f(id) }
func (f onDrop) MessageDropped(e shoal.DroppedEvent)                          { f(e) }

func refuse(code packets.ReasonCode) error {
	return fmt.Errorf("wrapped twice: %w", fmt.Errorf("wrapped: %w", &shoal.Error{ReasonCode: code, Reason: "because"}))
}

// TestAuthenticator holds that the code of a refusal arrives, whatever is allowed in a CONNACK, in all versions.
func TestAuthenticator(t *testing.T) {
	for _, c := range []struct {
		err         error
		want, want3 packets.ReasonCode
	}{
		{errRefused, packets.NotAuthorized, packets.NotAuthorized},
		{refuse(packets.BadUserNameOrPassword), packets.BadUserNameOrPassword, packets.BadUserNameOrPassword},
		{refuse(packets.Banned), packets.Banned, packets.NotAuthorized},
		{refuse(packets.Success), packets.NotAuthorized, packets.NotAuthorized},                    // is no refusal
		{refuse(packets.ServerShuttingDown), packets.ServerUnavailable, packets.ServerUnavailable}, // not allowed in CONNACK
		{refuse(packets.TopicFilterInvalid), packets.TopicNameInvalid, packets.ServerUnavailable},
		{refuse(packets.MessageRateTooHigh), packets.QuotaExceeded, packets.ServerUnavailable},
		{refuse(packets.KeepAliveTimeout), packets.ImplementationSpecificError, packets.ServerUnavailable},
	} {
		b := startWith(t, shoal.WithAuthenticator(door{enter: func(*shoal.Credentials) (*shoal.Principal, error) { return nil, c.err }}))
		cl := dial(t, b, packets.V5)
		require.Equal(t, c.want, cl.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true}).ReasonCode)
		cl.ExpectClosed()
		cl = dial(t, b, packets.V311)
		require.Equal(t, c.want3, cl.TryConnect(&packets.Connect{ClientID: "c", CleanStart: true}).ReasonCode)
		cl.ExpectClosed()
		require.Zero(t, b.Metrics().Sessions)
	}
}

func TestCredentials(t *testing.T) {
	var got *shoal.Credentials
	b := startWith(t, shoal.WithAuthenticator(door{enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
		got = c
		return nil, nil
	}}))
	connectWith(t, b, &packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("u"), Password: []byte("p"), Properties: packets.Properties{
		UserProperties: []packets.UserProperty{{Key: "k", Value: "v"}},
	}})
	require.Equal(t, "c u p inprocess true true", fmt.Sprintf("%s %s %s %s %v %v", got.ClientID, got.UserName, got.Password, got.Listener, got.HasUserName, got.HasPassword))
	require.Equal(t, []packets.UserProperty{{Key: "k", Value: "v"}}, got.UserProperties)
	connectWith(t, b, &packets.Connect{CleanStart: true})
	require.False(t, got.HasUserName || got.HasPassword)
	require.Empty(t, got.ClientID)
}

func TestAuthorizer(t *testing.T) {
	var codes sync.Map // topic → error
	b := startWith(t, shoal.WithAuthenticator(door{allow: func(r *shoal.AccessRequest) error {
		if err, ok := codes.Load(r.Topic); ok {
			return err.(error)
		}
		return nil
	}}))
	codes.Store("denied", errRefused)
	codes.Store("quota", refuse(packets.QuotaExceeded))
	codes.Store("banned", refuse(packets.Banned)) // not allowed in PUBACK, PUBREC and SUBACK
	codes.Store("#", errRefused)
	sub := connect(t, b, "sub")
	ack := sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{
		{TopicFilter: "ok", QoS: 1}, {TopicFilter: "denied"}, {TopicFilter: "quota"}, {TopicFilter: "banned"}, {TopicFilter: "$share/g/denied"}, {TopicFilter: "#"}, {TopicFilter: "+", QoS: 2},
	}})
	require.Equal(t, []packets.ReasonCode{
		1, packets.NotAuthorized, packets.QuotaExceeded, packets.NotAuthorized, packets.NotAuthorized, packets.NotAuthorized, 2,
	}, ack.ReasonCodes)
	pub := connect(t, b, "pub")
	for range 2 { // the second time from the cache
		for qos := packets.QoS(1); qos <= 2; qos++ {
			require.Equal(t, packets.NotAuthorized, pub.Publish(qos, "denied", "m"))
			require.Equal(t, packets.QuotaExceeded, pub.Publish(qos, "quota", "m"))
			require.Equal(t, packets.NotAuthorized, pub.Publish(qos, "banned", "m"))
			require.Equal(t, packets.Success, pub.Publish(qos, "ok", "m"))
			require.Equal(t, qos, sub.ExpectPublish("ok", "m").QoS)
		}
		pub.Publish(0, "denied", "m")
	}
	// MQTT 3 has no way to refuse: what was refused is acknowledged [MQTT-3.3.5-2] and goes nowhere.
	old := dial(t, b, packets.V311)
	old.Connect(&packets.Connect{ClientID: "old", CleanStart: true})
	old.Publish(1, "denied", "m")
	old.Publish(2, "denied", "m")
	old.Publish(2, "ok", "last")
	sub.ExpectPublish("ok", "last")
	sub.ExpectQuiet()
	pub.ExpectQuiet() // its messages of QoS 0 have been dealt with
	require.EqualValues(t, 16, b.Metrics().Dropped[shoal.DropNotAuthorized])
	codes.Delete("denied")
	require.Equal(t, packets.NotAuthorized, pub.Publish(1, "denied", "m"))
	b.InvalidateAuthorization()
	require.Equal(t, packets.Success, pub.Publish(1, "denied", "m"))
}

// TestInterceptPublish holds that an error of any kind keeps a message from being published, and that its code arrives.
func TestInterceptPublish(t *testing.T) {
	b := start(t, shoal.WithHook(onPublish(func(e *shoal.PublishEvent) error {
		switch e.Message.TopicName {
		case "plain":
			return errRefused
		case "code":
			return refuse(packets.PayloadFormatInvalid)
		case "odd code":
			return refuse(packets.ServerBusy)
		case "change":
			e.Message.TopicName, e.Message.Payload = "changed", []byte("by hook")
			e.Message.Properties.ContentType = packets.Some("x")
			e.Message.QoS = 2
		case "invalid":
			e.Message.TopicName = "a/#"
		}
		return nil
	})))
	sub, pub := connect(t, b, "sub"), connect(t, b, "pub")
	sub.Subscribe(2, "#")
	for qos := range packets.QoS(3) {
		for topic, want := range map[string]packets.ReasonCode{
			"plain": packets.ImplementationSpecificError, "code": packets.PayloadFormatInvalid, "odd code": packets.ImplementationSpecificError,
			"invalid": packets.ImplementationSpecificError,
		} {
			code := pub.PublishWith(&packets.Publish{QoS: qos, TopicName: topic, Retain: true, Payload: []byte("m")})
			if qos > 0 {
				require.Equal(t, want, code, topic)
			}
		}
		require.Equal(t, packets.Success, pub.Publish(qos, "change", "m"))
		p := sub.ExpectPublish("changed", "by hook")
		require.EqualValues(t, 2, p.QoS)
		require.Equal(t, "x", p.Properties.ContentType.Value)
		pub.Publish(qos, "as it is", "m")
		require.Equal(t, qos, sub.ExpectPublish("as it is", "m").QoS) // nothing of the change is left
	}
	sub.ExpectQuiet()
	retained, err := b.Retained("#")
	require.NoError(t, err)
	require.Empty(t, retained)
}

func TestInterceptOthers(t *testing.T) {
	b := start(t, shoal.WithHook(
		onConnect(func(e *shoal.ConnectEvent) error {
			if e.Client.ClientID == "refused" {
				return refuse(packets.ServerMoved)
			}
			e.KeepAlive = 7
			e.SessionExpiryInterval = 0
			return nil
		}),
		onSubscribe(func(e *shoal.SubscribeEvent) error {
			switch e.Subscription.TopicFilter {
			case "refused":
				return refuse(packets.ServerUnavailable) // not allowed in SUBACK
			case "lowered":
				e.Subscription.QoS = 0
			}
			return nil
		}),
		onDeliver(func(e *shoal.DeliverEvent) error {
			if e.ClientID == "deaf" {
				return errRefused
			}
			return nil
		}),
		onWill(func(e *shoal.PublishEvent) error {
			if e.Client.ClientID == "silent" {
				return errRefused
			}
			e.Message.Payload = []byte("changed")
			return nil
		}),
	))
	cl := dial(t, b, packets.V5)
	require.Equal(t, packets.ServerMoved, cl.TryConnect(&packets.Connect{ClientID: "refused", CleanStart: true}).ReasonCode)
	cl, ack := connectWith(t, b, lasting("c", true))
	require.EqualValues(t, 7, ack.Properties.ServerKeepAlive.Value)
	require.Equal(t, packets.Some(uint32(0)), ack.Properties.SessionExpiryInterval)
	require.Equal(t, []packets.ReasonCode{packets.ImplementationSpecificError, 0, 1}, cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{
		{TopicFilter: "refused", QoS: 1}, {TopicFilter: "lowered", QoS: 2}, {TopicFilter: "will", QoS: 1},
	}}).ReasonCodes)
	deaf := connect(t, b, "deaf")
	deaf.Subscribe(0, "lowered")
	pub := connect(t, b, "pub")
	pub.Publish(2, "lowered", "m")
	require.Zero(t, cl.ExpectPublish("lowered", "m").QoS)
	deaf.ExpectQuiet()
	for _, id := range []string{"silent", "loud"} {
		w, _ := connectWith(t, b, &packets.Connect{ClientID: id, CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte(id)}})
		w.Close()
	}
	cl.ExpectPublish("will", "changed")
	cl.ExpectQuiet()
}

// TestInterceptorsInOrder holds that the first error ends the chain.
func TestInterceptorsInOrder(t *testing.T) {
	var calls []int
	hook := func(i int, err error) onPublish {
		return func(*shoal.PublishEvent) error {
			calls = append(calls, i)
			return err
		}
	}
	b := start(t, shoal.WithHook(hook(1, nil), hook(2, errRefused)), shoal.WithHook(hook(3, nil)))
	connect(t, b, "c").Publish(1, "t", "m")
	require.Equal(t, []int{1, 2}, calls)
}

// TestPanic holds that a panic in user code costs the connection on whose behalf it ran, and nothing else.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := func(when bool) {
			if when {
				panic("boom")
			}
		}
		b := startWith(t, shoal.WithAuthenticator(door{
			enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
				boom(c.ClientID == "authenticate")
				return nil, nil
			},
			allow: func(r *shoal.AccessRequest) error {
				boom(r.Topic == "authorize")
				return nil
			},
		}), shoal.WithHook(
			onConnect(func(e *shoal.ConnectEvent) error { boom(e.Client.ClientID == "connect"); return nil }),
			onConnected(func(e shoal.ConnectedEvent) { boom(e.Client.ClientID == "connected") }),
			onSubscribe(func(e *shoal.SubscribeEvent) error { boom(e.Subscription.TopicFilter == "subscribe"); return nil }),
			onPublish(func(e *shoal.PublishEvent) error { boom(e.Message.TopicName == "publish"); return nil }),
			onDeliver(func(e *shoal.DeliverEvent) error { boom(e.Message.TopicName == "deliver"); return nil }),
			onWill(func(e *shoal.PublishEvent) error { boom(e.Message.TopicName == "will"); return nil }),
			onDisconnected(func(shoal.DisconnectedEvent) { panic("boom") }),
			onEnded(func(string) { panic("boom") }),
			onDrop(func(shoal.DroppedEvent) { panic("boom") }),
		))
		for _, id := range []string{"authenticate", "connect"} {
			cl := dial(t, b, packets.V5)
			cl.Send(&packets.Connect{ClientID: id, CleanStart: true})
			cl.ExpectClosed()
		}
		witness := connect(t, b, "witness")
		witness.Subscribe(1, "#")
		cl := connect(t, b, "connected")
		cl.ExpectDisconnect(packets.UnspecifiedError)
		for _, filter := range []string{"subscribe", "authorize"} {
			cl := connect(t, b, "c")
			cl.Send(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: filter}}})
			cl.ExpectDisconnect(packets.UnspecifiedError)
		}
		for _, topic := range []string{"publish", "authorize"} {
			for qos := range packets.QoS(3) {
				cl := connect(t, b, "c")
				cl.PublishAsync(&packets.Publish{QoS: qos, TopicName: topic})
				cl.ExpectDisconnect(packets.UnspecifiedError)
			}
		}
		cl = connect(t, b, "c")
		cl.Publish(1, "deliver", "refused for the witness")
		for _, will := range []string{"will", "authorize"} {
			for delay := range uint32(2) {
				p := lasting("w", true)
				p.Properties.SessionExpiryInterval = packets.Some(uint32(3))
				p.Will = &packets.Will{TopicName: will, Properties: packets.Properties{WillDelayInterval: packets.Some(delay)}}
				cl, _ := connectWith(t, b, p)
				cl.Close()
				time.Sleep(10 * time.Second) // of the bubble: the delay and the session end
			}
		}
		cl.Publish(1, "fine", "m")
		witness.ExpectPublish("fine", "m")
		witness.ExpectQuiet()
	})
}

// TestPanicLosesNothing holds that a QoS 2 message whose handling panicked is not taken for a duplicate when it is sent again.
func TestPanicLosesNothing(t *testing.T) {
	first := true
	b := start(t, shoal.WithHook(onPublish(func(*shoal.PublishEvent) error {
		if first {
			first = false
			panic("boom")
		}
		return nil
	})))
	sub := connect(t, b, "sub")
	sub.Subscribe(2, "t")
	p := &packets.Publish{QoS: 2, PacketID: 1, TopicName: "t", Payload: []byte("m")}
	pub, _ := connectWith(t, b, lasting("pub", true))
	pub.Send(p)
	pub.ExpectDisconnect(packets.UnspecifiedError)
	pub, _ = connectWith(t, b, lasting("pub", false))
	p.Dup = true
	pub.Send(p)
	require.Equal(t, packets.Success, mqtttest.Expect[*packets.PubRec](pub).ReasonCode)
	sub.ExpectPublish("t", "m")
}

// TestHookOfNothing holds that a value which is no hook is an error.
func TestHookOfNothing(t *testing.T) {
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithHook(struct{}{}, new(onPublish)))
	require.ErrorContains(t, err, "struct {}")
	require.NotErrorIs(t, err, shoal.ErrClosed)
}
