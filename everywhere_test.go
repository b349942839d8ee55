package shoal_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/listen"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// ways are how clients come to a broker that listens on all of them.
var ways = map[string]func(ctx context.Context, b *shoal.Broker) (net.Conn, error){
	"TCP": func(ctx context.Context, b *shoal.Broker) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", b.Addrs()[0].String())
	},
	"WebSocket": func(ctx context.Context, b *shoal.Broker) (net.Conn, error) {
		addr := b.Addrs()[1].String()
		return listen.DialWebSocket(ctx, "ws://"+addr+"/mqtt", func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		})
	},
	"Unix": func(ctx context.Context, b *shoal.Broker) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.Addrs()[2].String())
	},
	"in the process": func(ctx context.Context, b *shoal.Broker) (net.Conn, error) { return b.Dial(ctx) },
}

// visitor speaks to a broker in one of the ways.
type visitor struct {
	*testing.T
	b    *shoal.Broker
	dial func() *mqtttest.Client
}

func (v *visitor) connect(id string) *mqtttest.Client {
	cl := v.dial()
	cl.Connect(lasting(id, true))
	return cl
}

// bounds are the limits, bans and rates that hold for every client, however it comes.
var bounds = []struct {
	name  string
	opts  []shoal.Option
	holds func(v *visitor)
}{
	{"open connections", []shoal.Option{shoal.WithConnectionLimits(shoal.ConnectionLimits{Broker: shoal.ConnectionLimit{Open: 1}})}, func(v *visitor) {
		v.connect("first")
		require.Equal(v, packets.ServerBusy, v.dial().TryConnect(lasting("second", true)).ReasonCode)
	}},
	{"open connections of a listener", []shoal.Option{shoal.WithConnectionLimits(shoal.ConnectionLimits{Listener: shoal.ConnectionLimit{Open: 1}})}, func(v *visitor) {
		v.connect("first")
		require.Equal(v, packets.ServerBusy, v.dial().TryConnect(lasting("second", true)).ReasonCode)
	}},
	{"ban", nil, func(v *visitor) {
		cl := v.connect("bad")
		require.NoError(v, v.b.Ban(v.Context(), shoal.Ban{ClientID: "bad"}))
		cl.ExpectDisconnect(packets.AdministrativeAction)
		require.Equal(v, packets.Banned, v.dial().TryConnect(lasting("bad", true)).ReasonCode)
	}},
	{"rate of messages", []shoal.Option{shoal.WithRateLimits(shoal.RateLimits{Client: shoal.RateLimit{MessagesPerSecond: 0.001, MessagesBurst: 1, Action: shoal.RateRefuse}})}, func(v *visitor) {
		cl := v.connect("fast")
		require.Equal(v, packets.NoMatchingSubscribers, cl.Publish(1, "t", "m"))
		require.Equal(v, packets.QuotaExceeded, cl.Publish(1, "t", "m"))
	}},
	{"packet size", []shoal.Option{shoal.WithLimits(shoal.Limits{MaximumPacketSize: 1000})}, func(v *visitor) {
		cl := v.connect("large")
		cl.PublishAsync(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: make([]byte, 2000)})
		cl.ExpectDisconnect(packets.PacketTooLarge)
	}},
	{"receive maximum", []shoal.Option{shoal.WithLimits(shoal.Limits{ReceiveMaximum: 2})}, func(v *visitor) {
		cl := v.connect("many")
		cl.Manual = true
		for id := range uint16(3) {
			cl.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: id + 1})
		}
		cl.Expect(packets.TypePubRec)
		cl.Expect(packets.TypePubRec)
		cl.ExpectDisconnect(packets.ReceiveMaximumExceeded)
	}},
	{"keep alive", []shoal.Option{shoal.WithLimits(shoal.Limits{KeepAliveMaximum: 1})}, func(v *visitor) {
		v.connect("silent").ExpectDisconnect(packets.KeepAliveTimeout)
	}},
	{"time to connect", []shoal.Option{shoal.WithLimits(shoal.Limits{ConnectTimeout: 200 * time.Millisecond})}, func(v *visitor) {
		v.dial().ExpectClosed()
	}},
	{"subscriptions of a session", []shoal.Option{shoal.WithLimits(shoal.Limits{Subscriptions: 1})}, func(v *visitor) {
		cl := v.connect("c")
		cl.Subscribe(0, "a")
		require.Equal(v, packets.QuotaExceeded, trySubscribe(cl, "b"))
	}},
	{"subscriptions in total", []shoal.Option{shoal.WithTotalLimits(shoal.TotalLimits{Subscriptions: 1})}, func(v *visitor) {
		v.connect("one").Subscribe(0, "a")
		require.Equal(v, packets.QuotaExceeded, trySubscribe(v.connect("two"), "b"))
	}},
	{"sessions in total", []shoal.Option{shoal.WithTotalLimits(shoal.TotalLimits{Sessions: 1})}, func(v *visitor) {
		v.connect("one")
		require.Equal(v, packets.QuotaExceeded, v.dial().TryConnect(lasting("two", true)).ReasonCode)
	}},
	{"retained messages in total", []shoal.Option{shoal.WithTotalLimits(shoal.TotalLimits{RetainedMessages: 1})}, func(v *visitor) {
		cl := v.connect("c")
		retain := func(topic string) packets.ReasonCode {
			return cl.PublishWith(&packets.Publish{TopicName: topic, QoS: 1, Retain: true, Payload: []byte("m")})
		}
		require.Equal(v, packets.NoMatchingSubscribers, retain("a"))
		require.Equal(v, packets.QuotaExceeded, retain("b"))
	}},
	{"topic levels", []shoal.Option{shoal.WithLimits(shoal.Limits{TopicLevels: 2})}, func(v *visitor) {
		require.Equal(v, packets.TopicNameInvalid, v.connect("c").Publish(1, "a/b/c", "m"))
	}},
	{"queue of a session", []shoal.Option{shoal.WithLimits(shoal.Limits{QueuedMessages: 3, InFlight: 1})}, func(v *visitor) {
		cl := v.connect("away")
		cl.Subscribe(1, "t")
		cl.Disconnect()
		pub := v.connect("pub")
		for range 5 {
			pub.Publish(1, "t", "m")
		}
		require.EqualValues(v, 2, v.b.Metrics().Dropped[shoal.DropQueueFull])
	}},
}

func trySubscribe(cl *mqtttest.Client, filter string) packets.ReasonCode {
	return cl.SubscribeWith(&packets.Subscribe{PacketID: cl.ID(), Subscriptions: []packets.Subscription{{TopicFilter: filter}}}).ReasonCodes[0]
}

// Every limit, ban and rate holds for every client, whichever way it comes.
func TestBoundsHoldWhicheverWayClientsCome(t *testing.T) {
	for way, dial := range ways {
		for _, bound := range bounds {
			t.Run(bound.name+" over "+way, func(t *testing.T) {
				t.Parallel()
				socket := filepath.Join(t.TempDir(), "s")
				b := start(t, append(bound.opts, shoal.WithListen("tcp://127.0.0.1:0", "ws://127.0.0.1:0", "unix://"+socket))...)
				bound.holds(&visitor{t, b, func() *mqtttest.Client {
					conn, err := dial(t.Context(), b)
					require.NoError(t, err)
					cl := mqtttest.New(t, conn, packets.V5)
					t.Cleanup(cl.Close)
					return cl
				}})
			})
		}
	}
}
