package shoal_test

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// overTCP returns a client that has not connected, over a socket.
func overTCP(t testing.TB, b *shoal.Broker, v packets.Version) *mqtttest.Client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Addrs()[0].String())
	require.NoError(t, err)
	return mqtttest.New(t, conn, v)
}

// encoded returns packets as bytes, so that they leave in one write.
func encoded(t testing.TB, v packets.Version, list ...packets.Packet) (b []byte) {
	t.Helper()
	for _, p := range list {
		var err error
		b, err = packets.Append(b, p, v)
		require.NoError(t, err)
	}
	return b
}

// onPublished is a PublishObserver.
type onPublished func(shoal.PublishedEvent)

func (f onPublished) Published(e shoal.PublishedEvent) { f(e) }

// TestTakeoverHearsTheOldConnectionOut holds that what a client has sent before it connects again is dealt with first, its DISCONNECT included: no
// will, no session that was to end, no message lost [MQTT-3.1.4-3, MQTT-3.14.4-3].
func TestTakeoverHearsTheOldConnectionOut(t *testing.T) {
	for _, v := range []packets.Version{packets.V311, packets.V5} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			var wills, routed atomic.Int64
			b := start(t, shoal.WithListen("tcp://127.0.0.1:0"), shoal.WithHook(
				onWill(func(*shoal.PublishEvent) error { wills.Add(1); return nil }),
				onPublished(func(shoal.PublishedEvent) { routed.Add(1) }),
			))
			lost, unretained, subscribed, present := 0, 0, 0, 0
			const tries = 300
			for i := range tries {
				id, said := fmt.Sprint("c", i), fmt.Sprint(i)
				cl := overTCP(t, b, v)
				cl.Connect(&packets.Connect{ClientID: id, CleanStart: true, Will: &packets.Will{TopicName: "will", Payload: []byte("gone")}})
				cl.Subscribe(1, "other", "mine")
				before := routed.Load()
				cl.SendRaw(encoded(t, v,
					&packets.Publish{TopicName: "said", Payload: []byte(said)},
					&packets.Publish{TopicName: "said", QoS: 1, PacketID: 9, Payload: []byte(said)},
					&packets.Publish{TopicName: "kept", Retain: true, Payload: []byte(said)},
					&packets.Unsubscribe{PacketID: 10, TopicFilters: []string{"mine"}},
					&packets.Disconnect{},
				))
				cl.Close()
				again := overTCP(t, b, v)
				if again.Connect(&packets.Connect{ClientID: id}).SessionPresent {
					present++
				}
				if routed.Load() != before+3 {
					lost++
				}
				if m, err := b.Retained("kept"); err != nil || len(m) != 1 || string(m[0].Payload) != said {
					unretained++
				}
				if b.Metrics().Subscriptions != 0 {
					subscribed++
				}
				again.Disconnect()
			}
			require.Zero(t, wills.Load(), "wills published")
			require.Zero(t, lost, "messages lost")
			require.Zero(t, unretained, "retained messages not kept")
			require.Zero(t, subscribed, "subscriptions left")
			require.Zero(t, present, "sessions present that had ended")
		})
	}
}
