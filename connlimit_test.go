package shoal_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// expectRefused expects CONNECT to be refused with code, or in MQTT 3 with Server unavailable.
func expectRefused(t testing.TB, cl *mqtttest.Client, p *packets.Connect, code packets.ReasonCode, reason string) {
	t.Helper()
	ack := cl.TryConnect(p)
	if cl.Version == packets.V5 {
		require.Equal(t, code, ack.ReasonCode, "%v", ack.ReasonCode)
		require.Contains(t, ack.Properties.ReasonString.Value, reason)
	} else {
		require.Equal(t, packets.ServerUnavailable, ack.ReasonCode)
	}
	cl.ExpectClosed()
}

// TestConnectionLimitsOpen holds each limit of connections at the same time: one more is told so, others are not concerned, and a place that
// becomes free is taken.
func TestConnectionLimitsOpen(t *testing.T) {
	two := shoal.ConnectionLimit{Open: 2}
	type client struct{ listener, ip, user string }
	for name, tc := range map[string]struct {
		limits shoal.ConnectionLimits
		in     [2]client
		out    client
		other  *client // is not concerned
		code   packets.ReasonCode
		reason string
	}{
		"broker": {
			shoal.ConnectionLimits{Broker: two},
			[2]client{{"a", "192.0.2.1", "u"}, {"b", "192.0.2.2", "v"}},
			client{"a", "192.0.2.3", "w"},
			nil,
			packets.ServerBusy, "this server",
		},
		"listener": {
			shoal.ConnectionLimits{Listener: two},
			[2]client{{"a", "192.0.2.1", "u"}, {"a", "192.0.2.2", "v"}},
			client{"a", "192.0.2.3", "w"},
			&client{"b", "192.0.2.1", "u"}, packets.ServerBusy, "this listener",
		},
		"one listener": {
			shoal.ConnectionLimits{Listener: shoal.ConnectionLimit{Open: 1}, Listeners: map[string]shoal.ConnectionLimit{"a": two}},
			[2]client{{"a", "192.0.2.1", "u"}, {"a", "192.0.2.2", "v"}},
			client{"a", "192.0.2.3", "w"},
			&client{"b", "192.0.2.1", "u"}, packets.ServerBusy, "this listener",
		},
		"address": {
			shoal.ConnectionLimits{Address: two},
			[2]client{{"a", "192.0.2.1", "u"}, {"b", "192.0.2.1", "v"}},
			client{"a", "192.0.2.1", "w"},
			&client{"a", "192.0.2.2", "u"}, packets.QuotaExceeded, "your address",
		},
		"addresses of IPv6": {
			shoal.ConnectionLimits{Address: two},
			[2]client{{"a", "2001:db8::1", "u"}, {"b", "2001:db8::2", "v"}},
			client{"a", "2001:db8::3", "w"},
			&client{"a", "2001:db8:0:1::1", "u"}, packets.QuotaExceeded, "your address",
		},
		"principal": {
			shoal.ConnectionLimits{Principal: two},
			[2]client{{"a", "192.0.2.1", "u"}, {"b", "192.0.2.2", "u"}},
			client{"a", "192.0.2.3", "u"},
			&client{"a", "192.0.2.1", "v"}, packets.QuotaExceeded, "your user",
		},
	} {
		t.Run(name, func(t *testing.T) {
			listeners := map[string]*anywhere{"a": listenAnywhere("a"), "b": listenAnywhere("b")}
			b := start(t, shoal.WithListener(listeners["a"]), shoal.WithListener(listeners["b"]), shoal.WithConnectionLimits(tc.limits))
			dial := func(c client, v packets.Version) (*mqtttest.Client, *packets.Connect) {
				return dialFrom(t, listeners[c.listener], c.ip, v), &packets.Connect{
					ClientID: c.listener + c.ip + c.user, CleanStart: true, UserName: packets.Some(c.user),
				}
			}
			var in [2]*mqtttest.Client
			for i, c := range tc.in {
				cl, p := dial(c, packets.V5)
				cl.Connect(p)
				in[i] = cl
			}
			for _, v := range []packets.Version{packets.V5, packets.V311, packets.V5} {
				cl, p := dial(tc.out, v)
				expectRefused(t, cl, p, tc.code, tc.reason)
			}
			if tc.other != nil {
				cl, p := dial(*tc.other, packets.V5)
				cl.Connect(p)
			}
			in[0].ExpectQuiet()
			in[0].Disconnect()
			cl, p := dial(tc.out, packets.V5)
			cl.Connect(p)
			again, p := dial(tc.in[0], packets.V5)
			expectRefused(t, again, p, tc.code, tc.reason)
			require.GreaterOrEqual(t, b.Metrics().Sessions, 2)
		})
	}
}

// TestConnectionLimitsRate holds that so many come in at once and so many a second after that, whatever becomes of them.
func TestConnectionLimitsRate(t *testing.T) {
	limit := shoal.ConnectionLimit{PerSecond: 0.5, Burst: 3}
	for name, limits := range map[string]shoal.ConnectionLimits{
		"broker": {Broker: limit}, "listener": {Listeners: map[string]shoal.ConnectionLimit{"a": limit}}, "address": {Address: limit}, "principal": {Principal: limit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := listenAnywhere("a")
				start(t, shoal.WithListener(l), shoal.WithConnectionLimits(limits))
				p := &packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("u")}
				come := func() {
					cl := dialFrom(t, l, "192.0.2.1", packets.V5)
					cl.Connect(p)
					cl.Disconnect()
				}
				refused := func() {
					expectRefused(t, dialFrom(t, l, "192.0.2.1", packets.V5), p, packets.ConnectionRateExceeded, "too fast")
				}
				for range 3 {
					come()
				}
				refused()
				time.Sleep(2*time.Second - time.Millisecond)
				refused() // who is refused puts nothing off
				time.Sleep(time.Millisecond)
				come()
				refused()
				time.Sleep(time.Hour)
				for range 3 {
					come()
				}
				refused()
			})
		})
	}
}

// TestConnectionLimitTakeOver holds that a client can take its own session over though its old connection takes the last place, and
// that the count is right afterwards.
func TestConnectionLimitTakeOver(t *testing.T) {
	b := start(t, shoal.WithConnectionLimits(shoal.ConnectionLimits{Principal: shoal.ConnectionLimit{Open: 1}}))
	p := &packets.Connect{ClientID: "c", CleanStart: true, UserName: packets.Some("u")}
	old := dial(t, b, packets.V5)
	old.Connect(p)
	for range 3 {
		fresh := dial(t, b, packets.V5)
		fresh.Connect(p)
		old.ExpectDisconnect(packets.SessionTakenOver)
		expectRefused(t, dial(t, b, packets.V5), &packets.Connect{ClientID: "d", CleanStart: true, UserName: packets.Some("u")}, packets.QuotaExceeded, "your user")
		old = fresh
	}
	for range 3 { // nobody
		connectWith(t, b, &packets.Connect{CleanStart: true})
	}
}

// TestConnectionLimitReauthentication holds that a client that becomes somebody else counts for whom it has become.
func TestConnectionLimitReauthentication(t *testing.T) {
	b := startWith(t, shoal.WithAuthenticator(newTurns()), shoal.WithConnectionLimits(shoal.ConnectionLimits{Principal: shoal.ConnectionLimit{Open: 1}}))
	as := func(id, name string) (*mqtttest.Client, *packets.Connect) {
		p := authConnect("I am " + name)
		p.ClientID = id
		return dial(t, b, packets.V5), p
	}
	one, p := as("one", "ann")
	one.Connect(p)
	one.Send(auth(packets.ReAuthenticate, "I am eve"))
	expectAuth(t, one, packets.Success, "hello eve")
	two, p := as("two", "ann")
	two.Connect(p)
	three, p := as("three", "eve")
	expectRefused(t, three, p, packets.QuotaExceeded, "your user")
	two.Send(auth(packets.ReAuthenticate, "I am eve"))
	two.ExpectDisconnect(packets.QuotaExceeded)
	four, p := as("four", "ann")
	four.Connect(p)
}

// TestConnectionLimitCloses holds that not more than 256 connections beyond a limit are held to be told; further ones are closed at once.
func TestConnectionLimitCloses(t *testing.T) {
	b := start(t, shoal.WithConnectionLimits(shoal.ConnectionLimits{Broker: shoal.ConnectionLimit{Open: 1}}))
	in := connect(t, b, "in")
	var waiting []*mqtttest.Client
	for range 256 {
		waiting = append(waiting, dial(t, b, packets.V5))
	}
	dial(t, b, packets.V5).ExpectClosed()
	p := &packets.Connect{ClientID: "c", CleanStart: true}
	expectRefused(t, waiting[0], p, packets.ServerBusy, "this server")
	expectRefused(t, dial(t, b, packets.V5), p, packets.ServerBusy, "this server")
	in.Disconnect()
	for _, cl := range waiting[1:] {
		expectRefused(t, cl, p, packets.ServerBusy, "this server")
	}
	dial(t, b, packets.V5).Connect(p)
}

// TestLimitsAreChecked holds that New says what is wrong with them.
func TestLimitsAreChecked(t *testing.T) {
	type limit = shoal.ConnectionLimit
	connections := shoal.WithConnectionLimits
	rate := func(l shoal.RateLimit) shoal.Option {
		return shoal.WithRateLimits(shoal.RateLimits{Client: l})
	}
	for want, option := range map[string]shoal.Option{
		"Broker: Open is -1":                     connections(shoal.ConnectionLimits{Broker: limit{Open: -1}}),
		"Address: PerSecond is NaN":              connections(shoal.ConnectionLimits{Address: limit{PerSecond: math.NaN()}}),
		"Principal: Burst without PerSecond":     connections(shoal.ConnectionLimits{Principal: limit{Burst: 1}}),
		"Listeners[inprocess]: Open is -1":       connections(shoal.ConnectionLimits{Listeners: map[string]limit{"inprocess": {Open: -1}}}),
		`names "x", which is no listener`:        connections(shoal.ConnectionLimits{Listeners: map[string]limit{"x": {}}}),
		"there are: tcp://127.0.0.1:0, inproces": shoal.WithRateLimits(shoal.RateLimits{Listeners: map[string]shoal.RateLimit{"y": {}}}),
		"MessagesPerSecond is -1":                rate(shoal.RateLimit{MessagesPerSecond: -1}),
		"BytesPerSecond +Inf":                    rate(shoal.RateLimit{BytesPerSecond: math.Inf(1)}),
		"BytesBurst -1":                          rate(shoal.RateLimit{BytesPerSecond: 1, BytesBurst: -1}),
		"a burst without a rate":                 rate(shoal.RateLimit{MessagesBurst: 1, BytesPerSecond: 1}),
		"Action is 3":                            rate(shoal.RateLimit{Action: 3}),
		"Connections is 0, Window 1s":            shoal.WithFlapping(shoal.Flapping{Window: time.Second, Ban: time.Second}),
		"Ban -1s":                                shoal.WithFlapping(shoal.Flapping{Connections: 1, Window: time.Second, Ban: -time.Second}),
	} {
		_, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:0"), option)
		require.ErrorContains(t, err, want)
	}
	b, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://127.0.0.1:0"), connections(shoal.ConnectionLimits{
		Listeners: map[string]limit{"tcp://127.0.0.1:0": {Open: 1}, "inprocess": {}},
	}))
	require.NoError(t, err)
	require.NotNil(t, b)
}
