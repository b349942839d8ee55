package shoal_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// speaker connects a client of version 5 to a broker in the process.
func speaker(t *testing.T, b *shoal.Broker, id string) *mqtttest.Client {
	t.Helper()
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	cl := mqtttest.New(t, conn, packets.V5)
	cl.Connect(&packets.Connect{ClientID: id, CleanStart: true})
	return cl
}

// tree reads what a new subscription to a filter gets at once.
func tree(t *testing.T, cl *mqtttest.Client, filter string) map[string]string {
	t.Helper()
	cl.Subscribe(1, filter)
	return heard(cl)
}

// taken reads all that has come.
func taken(cl *mqtttest.Client) []*packets.Publish {
	cl.Quiesce()
	return cl.Stashed()
}

// heard reads all that has come, by topic.
func heard(cl *mqtttest.Client) map[string]string {
	all := make(map[string]string)
	for _, p := range taken(cl) {
		all[p.TopicName] = string(p.Payload)
	}
	return all
}

func TestSysTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		cl, other := speaker(t, b, "cl"), speaker(t, b, "other")
		other.Subscribe(1, "t")
		cl.PublishWith(&packets.Publish{TopicName: "t", QoS: 1, Retain: true, Payload: []byte("m")})
		other.ExpectPublish("t", "m")
		other.Quiesce()
		time.Sleep(3 * time.Second)
		got := tree(t, cl, "$SYS/#")
		for name, want := range map[string]string{
			"uptime": "3 seconds", "clients/total": "2", "clients/connected": "2", "clients/disconnected": "0", "clients/maximum": "2",
			"publish/messages/received": "1", "publish/messages/sent": "1", "retained messages/count": "1", "retained": "1",
			"messages/inflight": "0", "store/messages/count": "1", "subscriptions/count": "2", "shared_subscriptions/count": "0",
			"publish/messages/dropped": "0", "load/publish/received/1min": "0.00",
			// Two CONNECTs, SUBSCRIBE, PUBLISH, PUBACK and PINGREQ; the SUBSCRIBE of the tree itself is being handled.
			"messages/received": "6",
		} {
			require.Equal(t, want, got["$SYS/broker/"+name], name)
		}
		for _, name := range []string{"version", "time", "heap/current", "system/threads", "bytes/received", "bytes/sent", "load/bytes/sent/15min"} {
			require.NotEmpty(t, got["$SYS/broker/"+name], name)
		}
	})
}

// A value comes again when it has changed, at the interval; a value that has not does not.
func TestSysTreeInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithSysInterval(time.Minute))
		cl := speaker(t, b, "cl")
		require.Len(t, tree(t, cl, "$SYS/broker/clients/+"), 7)
		time.Sleep(time.Minute + time.Second)
		require.Equal(t, "1", heard(cl)["$SYS/broker/clients/connected"])
		time.Sleep(time.Minute)
		require.Empty(t, heard(cl))
		speaker(t, b, "other").Publish(1, "t", "m")
		time.Sleep(time.Minute)
		got := heard(cl)
		require.Equal(t, "2", got["$SYS/broker/clients/connected"])
		require.Equal(t, "2", got["$SYS/broker/clients/maximum"])
		require.NotContains(t, got, "$SYS/broker/clients/disconnected")
		// Averages: one PUBLISH in a minute, faded by a minute.
		require.Equal(t, "0.63", tree(t, cl, "$SYS/broker/load/publish/received/1min")["$SYS/broker/load/publish/received/1min"])
	})
}

// [MQTT-4.7.2-1]: no wildcard at the beginning of a filter matches the tree.
func TestSysTreeMatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		cl := speaker(t, b, "cl")
		cl.Subscribe(1, "#", "+/broker/uptime", "+/#")
		cl.Publish(1, "$SYSTEM/x", "not of the tree")
		time.Sleep(time.Minute + time.Second) // between two times at which the tree is published
		require.Empty(t, heard(cl))
		cl.Subscribe(1, "$share/g/$SYS/broker/uptime")
		require.Empty(t, heard(cl), "shared subscriptions get nothing retained")
		time.Sleep(time.Minute)
		require.NotEmpty(t, heard(cl))
		require.Len(t, tree(t, speaker(t, b, "other"), "$SYS/broker/uptime"), 1)
	})
}

// A value is a retained message: options of the subscription apply, and live ones have RETAIN only as published.
func TestSysTreeRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		cl := speaker(t, b, "cl")
		cl.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "$SYS/broker/uptime", QoS: 2, RetainHandling: 2, RetainAsPublished: true}}})
		require.Empty(t, heard(cl))
		cl.Subscribe(0, "$SYS/broker/time")
		for _, p := range taken(cl) {
			require.True(t, p.Retain)
		}
		time.Sleep(11 * time.Second)
		for _, p := range taken(cl) {
			require.Equal(t, strings.HasSuffix(p.TopicName, "uptime"), p.Retain)
			require.Zero(t, p.QoS)
		}
	})
}

func TestSysTreeIsNotForClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		sub := speaker(t, b, "sub")
		sub.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{{TopicFilter: "$SYS/mine", QoS: 1}}})
		cl := speaker(t, b, "cl")
		require.Equal(t, packets.NotAuthorized, cl.Publish(1, "$SYS/mine", "m"))
		require.Equal(t, packets.NotAuthorized, cl.Publish(2, "$SYS/mine", "m"))
		cl.Publish(0, "$SYS/mine", "m")
		conn, err := b.Dial(t.Context())
		require.NoError(t, err)
		dying := mqtttest.New(t, conn, packets.V5)
		dying.Connect(&packets.Connect{ClientID: "dying", CleanStart: true, Will: &packets.Will{TopicName: "$SYS/mine", Payload: []byte("will")}})
		dying.Close()
		time.Sleep(time.Second)
		require.Empty(t, heard(sub))
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "$SYS/mine", Payload: []byte("the program's")}))
		require.Equal(t, map[string]string{"$SYS/mine": "the program's"}, heard(sub))
		require.Equal(t, uint64(4), b.Metrics().Dropped[shoal.DropNotAuthorized])
	})
}

func TestSysTreeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithSysInterval(-1))
		cl := speaker(t, b, "cl")
		require.Empty(t, tree(t, cl, "$SYS/#"))
		time.Sleep(time.Hour)
		require.Empty(t, heard(cl))
	})
}
