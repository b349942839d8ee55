package shoal_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// limited starts a broker with a listener that clients reach from anywhere.
func limited(t *testing.T, opts ...shoal.Option) (*shoal.Broker, *anywhere) {
	t.Helper()
	l := listenAnywhere("l")
	return startWith(t, append(opts, shoal.WithListener(l), shoal.WithAuthenticator(door{}))...), l
}

// TestConnectionLimits holds that each limit lets in as many as it says, refuses one more with its code, and has the place again when one has gone.
func TestConnectionLimits(t *testing.T) {
	two := shoal.ConnectionLimit{Open: 2}
	for name, tc := range map[string]struct {
		limits shoal.ConnectionLimits
		code   packets.ReasonCode
		other  bool // somebody from another address, with another name, is let in
	}{
		"broker":       {shoal.ConnectionLimits{Broker: two}, packets.ServerBusy, false},
		"listener":     {shoal.ConnectionLimits{Listener: two}, packets.ServerBusy, false},
		"one listener": {shoal.ConnectionLimits{Listeners: map[string]shoal.ConnectionLimit{"l": two}}, packets.ServerBusy, false},
		"address":      {shoal.ConnectionLimits{Address: two}, packets.QuotaExceeded, true},
		"principal":    {shoal.ConnectionLimits{Principal: two}, packets.QuotaExceeded, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, l := limited(t, shoal.WithConnectionLimits(tc.limits))
				user := func(id, name string) *packets.Connect {
					return &packets.Connect{ClientID: id, CleanStart: true, UserName: packets.Some(name)}
				}
				first, second := dialFrom(t, l, "192.0.2.1", packets.V5), dialFrom(t, l, "192.0.2.1", packets.V5)
				first.Connect(user("first", "ann"))
				second.Connect(user("second", "ann"))

				third := dialFrom(t, l, "192.0.2.1", packets.V5)
				ack := third.TryConnect(user("third", "ann"))
				require.Equal(t, tc.code, ack.ReasonCode)
				require.Contains(t, ack.Properties.ReasonString.Value, "as many connections as are allowed")
				third.ExpectClosed()
				old := dialFrom(t, l, "192.0.2.1", packets.V311)
				require.True(t, old.TryConnect(user("old", "ann")).ReasonCode.IsError())
				old.ExpectClosed()

				stranger := dialFrom(t, l, "198.51.100.7", packets.V5)
				code := stranger.TryConnect(user("stranger", "bob")).ReasonCode
				require.Equal(t, tc.other, code == packets.Success, "%v", code)
				if tc.other {
					stranger.Disconnect()
				}
				first.Disconnect()
				synctest.Wait()
				dialFrom(t, l, "192.0.2.1", packets.V5).Connect(user("third", "ann"))
				require.Equal(t, 2, b.Metrics().ConnectionsOpen)
			})
		})
	}
}

// A client that takes its own session over is let in though its old connection has the last place of its user.
func TestConnectionLimitAndTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := limited(t, shoal.WithConnectionLimits(shoal.ConnectionLimits{Principal: shoal.ConnectionLimit{Open: 1}}))
		for range 3 {
			dialFrom(t, l, "192.0.2.1", packets.V5).Connect(asUser("ann"))
		}
		p := asUser("ann")
		p.ClientID = "another"
		require.Equal(t, packets.QuotaExceeded, dialFrom(t, l, "192.0.2.1", packets.V5).TryConnect(p).ReasonCode)
	})
}

func TestConnectionRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := limited(t, shoal.WithConnectionLimits(shoal.ConnectionLimits{Address: shoal.ConnectionLimit{PerSecond: 0.5, Burst: 2}}))
		try := func(id string) packets.ReasonCode {
			return dialFrom(t, l, "2001:db8::"+id, packets.V5).TryConnect(&packets.Connect{ClientID: id, CleanStart: true}).ReasonCode
		}
		require.Equal(t, packets.Success, try("1"))
		require.Equal(t, packets.Success, try("2")) // of the same /64
		require.Equal(t, packets.ConnectionRateExceeded, try("3"))
		time.Sleep(1900 * time.Millisecond)
		require.Equal(t, packets.ConnectionRateExceeded, try("4"))
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, packets.Success, try("5"))
		require.Equal(t, packets.Success, dialFrom(t, l, "2001:db8:1::1", packets.V5).TryConnect(&packets.Connect{ClientID: "far", CleanStart: true}).ReasonCode)
	})
}

// TestRateWait holds that a publisher that is too fast is slowed down to the rate, in messages and in bytes, and loses nothing.
func TestRateWait(t *testing.T) {
	for name, limit := range map[string]shoal.RateLimit{
		"messages": {MessagesPerSecond: 10, MessagesBurst: 1},
		"bytes":    {BytesPerSecond: 1000, BytesBurst: 100},
	} {
		for _, v := range []packets.Version{packets.V311, packets.V5} {
			t.Run(fmt.Sprint(name, " ", v), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, l := limited(t, shoal.WithRateLimits(shoal.RateLimits{Client: limit}))
					sub := dialFrom(t, l, "192.0.2.1", v)
					sub.Connect(&packets.Connect{ClientID: "sub", CleanStart: true})
					sub.Subscribe(1, "t")
					pub := dialFrom(t, l, "192.0.2.1", v)
					pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
					began := time.Now()
					payload := string(make([]byte, 93)) // about a hundred bytes with what is around it
					for i := range 31 {
						require.Equal(t, packets.Success, pub.Publish(packets.QoS(i%3), "t", payload))
						sub.ExpectPublish("t", payload)
					}
					pub.Quiesce()
					took := time.Since(began)
					require.InDelta(t, 3, took.Seconds(), 0.4)
					require.Zero(t, b.Metrics().Dropped[shoal.DropRateLimited])
					// Whoever paused may burst again; another client has a limit of its own.
					time.Sleep(time.Minute)
					began = time.Now()
					pub.Publish(1, "u", "x")
					sub.Publish(1, "u", "x")
					require.Zero(t, time.Since(began))
				})
			})
		}
	}
}

// A listener's limit is one for all of its connections.
func TestRateOfListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := limited(t, shoal.WithRateLimits(shoal.RateLimits{Listeners: map[string]shoal.RateLimit{"l": {MessagesPerSecond: 10, MessagesBurst: 1}}}))
		var pubs []*mqtttest.Client
		for i := range 3 {
			cl := dialFrom(t, l, "192.0.2.1", packets.V5)
			cl.Connect(&packets.Connect{ClientID: strconv.Itoa(i), CleanStart: true})
			pubs = append(pubs, cl)
		}
		began := time.Now()
		for i := range 21 {
			pubs[i%3].Publish(1, "t", "m")
		}
		require.InDelta(t, 2, time.Since(began).Seconds(), 0.15)
	})
}

func TestRateRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := limited(t, shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 1, MessagesBurst: 2, Action: shoal.RateRefuse}}))
		pub := dialFrom(t, l, "192.0.2.1", packets.V5)
		pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
		for _, qos := range []packets.QoS{1, 2} {
			time.Sleep(time.Minute)
			pub.Publish(qos, "t", "m")
			pub.Publish(qos, "t", "m")
			require.Equal(t, packets.QuotaExceeded, pub.Publish(qos, "t", "m"))
		}
		pub.Publish(0, "t", "m")
		pub.ExpectQuiet()
		require.Equal(t, uint64(3), b.Metrics().Dropped[shoal.DropRateLimited])
		time.Sleep(time.Second)
		require.False(t, pub.Publish(1, "t", "m").IsError())

		// MQTT 3 cannot be told: it waits.
		old := dialFrom(t, l, "192.0.2.1", packets.V311)
		old.Connect(&packets.Connect{ClientID: "old", CleanStart: true})
		began := time.Now()
		for range 4 {
			old.Publish(1, "t", "m")
		}
		require.InDelta(t, 2, time.Since(began).Seconds(), 0.1)
		require.Equal(t, uint64(3), b.Metrics().Dropped[shoal.DropRateLimited])
	})
}

func TestRateDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := limited(t, shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{BytesPerSecond: 100, Action: shoal.RateDisconnect}}))
		for qos := range packets.QoS(3) {
			pub := dialFrom(t, l, "192.0.2.1", packets.V5)
			pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
			pub.Publish(0, "t", string(make([]byte, 80)))
			pub.Send(&packets.Publish{QoS: qos, PacketID: uint16(qos), TopicName: "t", Payload: make([]byte, 80)})
			d := pub.ExpectDisconnect(packets.MessageRateTooHigh)
			require.Contains(t, d.Properties.ReasonString.Value, "more than 100 bytes a second")
		}
	})
}

// TestFlapping holds that a client that connects too often is banned for a while, and no other.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, l := limited(t, shoal.WithFlapping(shoal.Flapping{Connections: 3, Window: time.Minute, Ban: time.Hour}))
		again := func() {
			cl := dialFrom(t, l, "192.0.2.1", packets.V5)
			cl.Connect(asUser("ann"))
			cl.Disconnect()
		}
		for range 3 {
			again()
		}
		time.Sleep(time.Minute + time.Second) // a new window
		for range 3 {
			again()
		}
		expectBanned(t, dialFrom(t, l, "192.0.2.1", packets.V5), asUser("ann"), "connected more than 3 times")
		require.Len(t, b.Bans(), 1)
		dialFrom(t, l, "192.0.2.1", packets.V5).Connect(asUser("bob"))
		time.Sleep(59 * time.Minute)
		expectBanned(t, dialFrom(t, l, "192.0.2.1", packets.V311), asUser("ann"), "")
		time.Sleep(2 * time.Minute)
		again()
	})
}

// TestLimitsAreChecked holds that New names the field and the mend.
func TestLimitsAreChecked(t *testing.T) {
	for want, o := range map[string]shoal.Option{
		"Broker: Open is -1":                   shoal.WithConnectionLimits(shoal.ConnectionLimits{Broker: shoal.ConnectionLimit{Open: -1}}),
		"Address: PerSecond is NaN":            shoal.WithConnectionLimits(shoal.ConnectionLimits{Address: shoal.ConnectionLimit{PerSecond: math.NaN()}}),
		"Principal: Burst without PerSecond":   shoal.WithConnectionLimits(shoal.ConnectionLimits{Principal: shoal.ConnectionLimit{Burst: 3}}),
		`Listeners names "x", which is no`:     shoal.WithConnectionLimits(shoal.ConnectionLimits{Listeners: map[string]shoal.ConnectionLimit{"x": {Open: 1}}}),
		"Client: MessagesPerSecond is -1":      shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: -1}}),
		"Listener: MessagesBurst is -1":        shoal.WithRateLimits(shoal.RateLimits{Listener: shoal.RateLimit{MessagesBurst: -1}}),
		"Client: a burst without a rate":       shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{BytesBurst: 1}}),
		"Client: Action is 9":                  shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{Action: 9}}),
		"WithFlapping: Connections is 0":       shoal.WithFlapping(shoal.Flapping{Window: time.Second, Ban: time.Second}),
		`WithRateLimits: Listeners names "tcp`: shoal.WithRateLimits(shoal.RateLimits{Listeners: map[string]shoal.RateLimit{"tcp://:1": {}}}),
	} {
		_, err := shoal.New(shoal.WithAnonymous(), o)
		require.ErrorContains(t, err, want)
	}
}
