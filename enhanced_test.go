package shoal_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// turns is an authenticator with the methods "turns" and "other". A client says what it wants: "more" is answered with another step, "I am
// NAME" with the end, "fail" with an error, "coded" with one that has a code. It may publish below its name.
type turns struct {
	door
	mu       sync.Mutex
	begun    []*shoal.Credentials
	contexts []context.Context
	heard    []string
}

func (a *turns) AuthenticationMethods() []string { return []string{"turns", "other"} }

func (a *turns) BeginAuthentication(ctx context.Context, c *shoal.Credentials, method string) (shoal.AuthenticationExchange, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if method == "other" {
		return nil, errRefused
	}
	a.begun, a.contexts = append(a.begun, c), append(a.contexts, ctx)
	return a, nil
}

func (a *turns) Step(_ context.Context, data []byte) (shoal.AuthenticationStep, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := "nothing"
	if data != nil {
		said = string(data)
	}
	a.heard = append(a.heard, said)
	name, done := strings.CutPrefix(said, "I am ")
	switch {
	case said == "fail":
		return shoal.AuthenticationStep{}, errRefused
	case said == "coded":
		return shoal.AuthenticationStep{}, refuse(packets.Banned)
	case said == "move":
		return shoal.AuthenticationStep{}, &shoal.Error{ReasonCode: packets.ServerMoved, Reason: "moved", ServerReference: "other.example:1883"}
	case said == "panic":
		panic("on purpose")
	case said == "long":
		return shoal.AuthenticationStep{Data: make([]byte, 1000)}, nil
	case done && name == "":
		return shoal.AuthenticationStep{Done: true}, nil
	case done:
		return shoal.AuthenticationStep{Data: []byte("hello " + name), Done: true, Principal: &shoal.Principal{Name: name}}, nil
	}
	return shoal.AuthenticationStep{Data: []byte("who? not " + said)}, nil
}

// last returns the last exchange's credentials and context.
func (a *turns) last() (*shoal.Credentials, context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begun[len(a.begun)-1], a.contexts[len(a.contexts)-1]
}

func newTurns() *turns {
	return &turns{door: door{
		enter: func(c *shoal.Credentials) (*shoal.Principal, error) {
			return &shoal.Principal{Name: "plain " + c.UserName}, nil
		},
		allow: func(r *shoal.AccessRequest) error {
			if r.Action == shoal.ActionPublish && !strings.HasPrefix(r.Topic, r.Principal.Name+"/") {
				return errRefused
			}
			return nil
		},
	}}
}

func authData(data string) packets.Properties {
	p := packets.Properties{AuthenticationMethod: packets.Some("turns")}
	if data != "" {
		p.AuthenticationData = []byte(data)
	}
	return p
}

func authConnect(data string) *packets.Connect {
	return &packets.Connect{ClientID: "c", CleanStart: true, Properties: authData(data)}
}

func auth(code packets.ReasonCode, data string) *packets.Auth {
	return &packets.Auth{ReasonCode: code, Properties: authData(data)}
}

// expectAuth expects an AUTH with this code and this data [MQTT-4.12.0-5].
func expectAuth(t *testing.T, cl *mqtttest.Client, code packets.ReasonCode, data string) {
	t.Helper()
	require.Equal(t, auth(code, data), mqtttest.Expect[*packets.Auth](cl))
}

// TestEnhancedAuthentication holds the exchange before CONNACK [MQTT-4.12.0-2, -3, -5].
func TestEnhancedAuthentication(t *testing.T) {
	a := newTurns()
	b := startWith(t, shoal.WithAuthenticator(a))
	cl := dial(t, b, packets.V5)
	cl.Send(authConnect(""))
	expectAuth(t, cl, packets.ContinueAuthentication, "who? not nothing")
	cl.Send(auth(packets.ContinueAuthentication, "bob"))
	expectAuth(t, cl, packets.ContinueAuthentication, "who? not bob")
	_, ctx := a.last()
	require.NoError(t, ctx.Err())
	require.Zero(t, b.Metrics().Sessions)
	cl.Send(auth(packets.ContinueAuthentication, "I am ann"))
	ack := mqtttest.Expect[*packets.ConnAck](cl)
	require.Equal(t, packets.Success, ack.ReasonCode)
	require.Equal(t, "turns", ack.Properties.AuthenticationMethod.Value)
	require.Equal(t, "hello ann", string(ack.Properties.AuthenticationData))
	require.Error(t, ctx.Err(), "the exchange is over")
	require.Equal(t, packets.NoMatchingSubscribers, cl.Publish(1, "ann/t", "m"))
	require.Equal(t, packets.NotAuthorized, cl.Publish(1, "bob/t", "m"))

	// At once, and without a Principal: the User Name is it.
	one := dial(t, b, packets.V5)
	p := authConnect("I am ")
	p.ClientID, p.UserName = "one", packets.Some("cat")
	ack = one.Connect(p)
	require.Equal(t, "turns", ack.Properties.AuthenticationMethod.Value)
	require.Nil(t, ack.Properties.AuthenticationData)
	require.Equal(t, packets.NoMatchingSubscribers, one.Publish(1, "cat/t", "m"))

	// Behind the last AUTH at once.
	eager := dial(t, b, packets.V5)
	p = authConnect("more")
	p.ClientID = "eager"
	var out []byte
	for _, packet := range []packets.Packet{p, auth(packets.ContinueAuthentication, "I am eve"), auth(packets.ReAuthenticate, "more")} {
		var err error
		out, err = packets.Append(out, packet, packets.V5)
		require.NoError(t, err)
	}
	eager.SendRaw(out)
	expectAuth(t, eager, packets.ContinueAuthentication, "who? not more")
	require.Equal(t, packets.Success, mqtttest.Expect[*packets.ConnAck](eager).ReasonCode)
	expectAuth(t, eager, packets.ContinueAuthentication, "who? not more")
}

// TestPlainBesideEnhanced holds that who names no method is asked by Authenticate, gets neither AUTH nor a method, and may not
// send AUTH [MQTT-4.12.0-6, -7].
func TestPlainBesideEnhanced(t *testing.T) {
	b := startWith(t, shoal.WithAuthenticator(newTurns()))
	for _, v := range []packets.Version{packets.V31, packets.V311, packets.V5} {
		cl := dial(t, b, v)
		ack := cl.Connect(&packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("u"), Password: []byte("p")})
		require.False(t, ack.Properties.AuthenticationMethod.Set)
		sub, err := b.Subscribe(t.Context(), []string{"#"}, shoal.SubscribeOptions{})
		require.NoError(t, err)
		cl.Publish(1, "plain u/t", "m")
		m, err := sub.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, "plain u/t", m.TopicName)
		require.NoError(t, sub.Close())
		raw, err := packets.Append(nil, auth(packets.ReAuthenticate, "I am ann"), packets.V5)
		require.NoError(t, err)
		cl.SendRaw(raw)
		cl.ExpectDisconnect(packets.ProtocolError)
	}
}

// TestEnhancedAuthenticationRefused holds the ways to fail before CONNACK: its code, and the connection closed [MQTT-4.12.0-4].
func TestEnhancedAuthenticationRefused(t *testing.T) {
	other := auth(packets.ContinueAuthentication, "I am ann")
	other.Properties.AuthenticationMethod = packets.Some("other")
	for _, tc := range []struct {
		name   string
		send   packets.Packet
		raw    string
		want   packets.ReasonCode
		reason string // part of the Reason String
	}{
		{name: "an error", send: auth(packets.ContinueAuthentication, "fail"), want: packets.NotAuthorized},
		{name: "an error with a code", send: auth(packets.ContinueAuthentication, "coded"), want: packets.Banned, reason: "because"},
		{name: "too large a step", send: auth(packets.ContinueAuthentication, "long"), want: packets.PacketTooLarge, reason: "Maximum Packet Size"},
		{name: "another method", send: other, want: packets.BadAuthenticationMethod, reason: "MQTT-4.12.0-5"},
		{name: "re-authentication", send: auth(packets.ReAuthenticate, "I am ann"), want: packets.ProtocolError, reason: "MQTT-4.12.0-3"},
		{name: "success", send: auth(packets.Success, "I am ann"), want: packets.ProtocolError, reason: "MQTT-4.12.0-3"},
		{name: "a code AUTH has not", raw: "\xf0\x0a\x01\x08\x15\x00\x05turns", want: packets.ProtocolError, reason: "MQTT-3.15.2-1"},
		{name: "no method", raw: "\xf0\x02\x18\x00", want: packets.ProtocolError, reason: "Authentication Method"},
		{name: "flags", raw: "\xf1\x00", want: packets.MalformedPacket, reason: "MQTT-3.15.1-1"},
		{name: "PUBLISH", send: &packets.Publish{TopicName: "ann/t"}, want: packets.ProtocolError, reason: "MQTT-3.1.2-30"},
		{name: "PINGREQ", send: &packets.PingReq{}, want: packets.ProtocolError, reason: "MQTT-3.1.2-30"},
		{name: "CONNECT", send: authConnect("I am ann"), want: packets.ProtocolError, reason: "MQTT-3.1.2-30"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := startWith(t, shoal.WithAuthenticator(newTurns()))
			cl := dial(t, b, packets.V5)
			p := authConnect("more")
			p.Properties.MaximumPacketSize = packets.Some(uint32(900))
			cl.Send(p)
			expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
			if tc.send != nil {
				cl.Send(tc.send)
			} else {
				cl.SendRaw([]byte(tc.raw))
			}
			ack := mqtttest.Expect[*packets.ConnAck](cl)
			require.Equal(t, tc.want, ack.ReasonCode, "%v", ack.ReasonCode)
			require.Contains(t, ack.Properties.ReasonString.Value, tc.reason)
			cl.ExpectClosed()
			require.Zero(t, b.Metrics().Sessions)
		})
	}
	b := startWith(t, shoal.WithAuthenticator(newTurns()))
	for method, want := range map[string]string{"other": "", "third": "turns or other"} {
		cl := dial(t, b, packets.V5)
		p := authConnect("I am ann")
		p.Properties.AuthenticationMethod = packets.Some(method)
		ack := cl.TryConnect(p)
		if want == "" {
			require.Equal(t, packets.NotAuthorized, ack.ReasonCode) // BeginAuthentication's error
		} else {
			require.Equal(t, packets.BadAuthenticationMethod, ack.ReasonCode) // [MQTT-4.12.0-1]
		}
		require.Contains(t, ack.Properties.ReasonString.Value, want)
		cl.ExpectClosed()
	}
	for _, last := range []packets.Packet{&packets.Disconnect{}, auth(packets.ContinueAuthentication, "panic")} { // no CONNACK is due
		cl := dial(t, b, packets.V5)
		cl.Send(authConnect("more"))
		expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
		cl.Send(last)
		cl.ExpectClosed()
	}
}

// TestEnhancedAuthenticationTime holds that ConnectTimeout bounds the whole exchange, and a re-authentication.
func TestEnhancedAuthenticationTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startWith(t, shoal.WithAuthenticator(newTurns()))
		cl := dial(t, b, packets.V5)
		began := time.Now()
		cl.Send(authConnect("more"))
		expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
		time.Sleep(8 * time.Second)
		cl.Send(auth(packets.ContinueAuthentication, "more"))
		expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
		cl.ExpectClosed()
		require.Equal(t, 10*time.Second, time.Since(began))

		cl = dial(t, b, packets.V5)
		p := authConnect("I am ann")
		p.KeepAlive = 40
		cl.Connect(p)
		cl.Send(auth(packets.ReAuthenticate, "more"))
		expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
		time.Sleep(9 * time.Second)
		cl.Send(auth(packets.ContinueAuthentication, "I am eve"))
		expectAuth(t, cl, packets.Success, "hello eve")
		time.Sleep(50 * time.Second)
		cl.ExpectQuiet() // nothing is due but the Keep Alive

		began = time.Now()
		cl.Send(auth(packets.ReAuthenticate, "more"))
		expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
		for range 4 { // other packets do not put it off
			time.Sleep(2 * time.Second)
			cl.ExpectQuiet()
		}
		cl.ExpectDisconnect(packets.NotAuthorized)
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

// TestReauthentication holds section 4.12.1.
func TestReauthentication(t *testing.T) {
	a := newTurns()
	b := startWith(t, shoal.WithAuthenticator(a))
	all, err := b.Subscribe(t.Context(), []string{"#"}, shoal.SubscribeOptions{QoS: 1})
	require.NoError(t, err)
	cl := dial(t, b, packets.V5)
	p := authConnect("I am ann")
	p.Will = &packets.Will{TopicName: "eve/will"}
	cl.Connect(p)
	require.Equal(t, packets.NotAuthorized, cl.Publish(1, "eve/t", "m")) // and cached
	cl.Send(auth(packets.ReAuthenticate, "more"))
	expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
	c, ctx := a.last()
	require.Equal(t, "ann", c.Principal.Name)
	require.Equal(t, "c", c.ClientID)
	require.NoError(t, ctx.Err())
	cl.Subscribe(1, "t") // other packets go on, as who it was
	require.Equal(t, packets.NotAuthorized, cl.Publish(1, "eve/t", "m"))
	require.Equal(t, packets.Success, cl.Publish(1, "ann/t", "m"))
	cl.Send(auth(packets.ContinueAuthentication, "I am eve"))
	expectAuth(t, cl, packets.Success, "hello eve")
	require.Error(t, ctx.Err(), "the exchange is over")
	require.Equal(t, packets.Success, cl.Publish(1, "eve/t", "m"))
	require.Equal(t, packets.NotAuthorized, cl.Publish(1, "ann/t", "m"))
	cl.Send(auth(packets.ReAuthenticate, "I am ")) // again, in one step
	expectAuth(t, cl, packets.Success, "")
	require.Equal(t, packets.Success, cl.Publish(1, "/t", "m"))
	c, _ = a.last()
	require.Equal(t, "eve", c.Principal.Name)
	cl.Send(auth(packets.ReAuthenticate, "I am eve"))
	expectAuth(t, cl, packets.Success, "hello eve")
	cl.Close()
	for _, want := range []string{"ann/t", "eve/t", "/t", "eve/will"} {
		m, err := all.Next(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, m.TopicName)
	}
}

// TestReauthenticationRefused holds that the connection ends with the fitting code [MQTT-4.12.1-1, -2].
func TestReauthenticationRefused(t *testing.T) {
	other := auth(packets.ReAuthenticate, "I am ann")
	other.Properties.AuthenticationMethod = packets.Some("other")
	otherLater := auth(packets.ContinueAuthentication, "I am ann")
	otherLater.Properties.AuthenticationMethod = packets.Some("other")
	again := auth(packets.ReAuthenticate, "more")
	for _, tc := range []struct {
		name   string
		send   []packets.Packet
		want   packets.ReasonCode
		reason string
	}{
		{"an error at once", []packets.Packet{auth(packets.ReAuthenticate, "fail")}, packets.NotAuthorized, ""},
		// DISCONNECT knows no Banned.
		{"an error later", []packets.Packet{again, auth(packets.ContinueAuthentication, "coded")}, packets.AdministrativeAction, "because"},
		{"too large a step", []packets.Packet{auth(packets.ReAuthenticate, "long")}, packets.PacketTooLarge, "Maximum Packet Size"},
		{"a panic", []packets.Packet{again, auth(packets.ContinueAuthentication, "panic")}, packets.UnspecifiedError, ""},
		{"another method", []packets.Packet{other}, packets.BadAuthenticationMethod, "MQTT-4.12.1-1"},
		{"another method later", []packets.Packet{again, otherLater}, packets.BadAuthenticationMethod, "MQTT-4.12.0-5"},
		{"goes on with nothing", []packets.Packet{auth(packets.ContinueAuthentication, "I am ann")}, packets.ProtocolError, "MQTT-4.12.1-1"},
		{"success", []packets.Packet{again, auth(packets.Success, "I am ann")}, packets.ProtocolError, "MQTT-4.12.0-3"},
		{"begins twice", []packets.Packet{again, again}, packets.ProtocolError, "MQTT-4.12.0-3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newTurns()
			b := startWith(t, shoal.WithAuthenticator(a))
			cl := dial(t, b, packets.V5)
			p := authConnect("I am ann")
			p.Properties.MaximumPacketSize = packets.Some(uint32(900))
			cl.Connect(p)
			for i, p := range tc.send {
				cl.Send(p)
				if i < len(tc.send)-1 {
					expectAuth(t, cl, packets.ContinueAuthentication, "who? not more")
				}
			}
			d := cl.ExpectDisconnect(tc.want)
			require.Contains(t, d.Properties.ReasonString.Value, tc.reason)
			for _, ctx := range slices.Clone(a.contexts) {
				<-ctx.Done()
			}
		})
	}
}

// TestAuthenticationMethods holds that New checks the names.
func TestAuthenticationMethods(t *testing.T) {
	for want, methods := range map[string]named{
		"is empty":      {},
		`"" in`:         {"a", ""},
		`"\xff" in`:     {"\xff"},
		`"a" stands tw`: {"a", "b", "a"},
	} {
		_, err := shoal.New(shoal.WithAuthenticator(methods))
		require.ErrorContains(t, err, want)
	}
	_, err := shoal.New(shoal.WithAuthenticator(named{"a", "b"}))
	require.NoError(t, err)
}

// named has methods of these names.
type named []string

func (n named) AuthenticationMethods() []string { return n }

func (named) Authenticate(context.Context, *shoal.Credentials) (*shoal.Principal, error) {
	return nil, errRefused
}

func (named) BeginAuthentication(context.Context, *shoal.Credentials, string) (shoal.AuthenticationExchange, error) {
	return nil, errRefused
}
