package kafka_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/bridge/kafka"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
)

// far is a Kafka that a test reads and writes.
type far struct {
	brokers []string
	cl      *kgo.Client

	mu   sync.Mutex
	recs []*kgo.Record
}

// open connects to a Kafka and reads topics of it from their start.
func open(t testing.TB, brokers []string, topics ...string) *far {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1), kgo.RequestTimeoutOverhead(5*time.Second))
	require.NoError(t, err)
	f := &far{brokers: brokers, cl: cl}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			recs := cl.PollFetches(ctx).Records()
			f.mu.Lock()
			f.recs = append(f.recs, recs...)
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		cl.Close()
	})
	return f
}

func (f *far) records() []*kgo.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*kgo.Record(nil), f.recs...)
}

func (f *far) payloads() (list []string) {
	for _, r := range f.records() {
		list = append(list, string(r.Value))
	}
	return list
}

// await returns the first n records.
func (f *far) await(t testing.TB, n int) []*kgo.Record {
	t.Helper()
	bridgetest.Eventually(t, fmt.Sprint(n, " records arrive"), func() bool { return len(f.records()) >= n })
	return f.records()
}

func (f *far) send(t testing.TB, recs ...*kgo.Record) {
	t.Helper()
	require.NoError(t, f.cl.ProduceSync(t.Context(), recs...).FirstErr())
}

// fake starts a Kafka within the process.
func fake(t testing.TB, topics ...string) (*kfake.Cluster, []string) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics...), kfake.AllowAutoTopicCreation())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()
}

// contract is a Kafka as the contract of bridges sees it, with topics out and in, and a group, of its own.
func contract(t testing.TB, brokers []string, out, in string) bridgetest.Far {
	f := open(t, brokers, out)
	return bridgetest.Far{
		Bridge: func(testing.TB) shoal.Bridge {
			return kafka.New(kafka.Config{
				Brokers: brokers, CreateTopics: true, Timeout: 5 * time.Second,
				Out: []kafka.Out{{Filters: []string{"out/#"}, Topic: out}},
				In:  []kafka.In{{Topics: []string{in}, Group: "group-of-" + in, Topic: "in/${key}", FromStart: true}},
			})
		},
		Arrived: func(testing.TB) []string { return f.payloads() },
		Send: func(t testing.TB, payload string) {
			f.send(t, &kgo.Record{Topic: in, Key: []byte("1"), Value: []byte(payload)})
		},
	}
}

func TestContractFake(t *testing.T) {
	bridgetest.Run(t, func(t *testing.T) bridgetest.Far {
		c, brokers := fake(t, "out", "in")
		far := contract(t, brokers, "out", "in")
		// Away is a Kafka that takes no more records and answers no more.
		var mu sync.Mutex
		away := false
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			mu.Lock()
			defer mu.Unlock()
			if away {
				return nil, net.ErrClosed, true // it ends the connection
			}
			return nil, nil, false
		})
		set := func(to bool) func(testing.TB) {
			return func(testing.TB) {
				mu.Lock()
				defer mu.Unlock()
				away = to
			}
		}
		far.Away, far.Back = set(true), set(false)
		return far
	})
}

func TestContractReal(t *testing.T) {
	k := testservers.Kafka(t)
	n := 0
	bridgetest.Run(t, func(t *testing.T) bridgetest.Far {
		n++
		far := contract(t, []string{k.Addr()}, fmt.Sprint("out-", n), fmt.Sprint("in-", n))
		far.Away = func(testing.TB) { k.Kill() }
		far.Back = func(testing.TB) { k.Start() }
		return far
	})
}

func connect(t testing.TB, b *shoal.Broker, id, user string) *mqtttest.Client {
	t.Helper()
	conn, err := b.Dial(t.Context())
	require.NoError(t, err)
	c := mqtttest.New(t, conn, packets.V5)
	c.Connect(&packets.Connect{ClientID: id, CleanStart: true, UserName: packets.Some(user)})
	return c
}

func headers(r *kgo.Record) string {
	var list []string
	for _, h := range r.Headers {
		list = append(list, h.Key+"="+string(h.Value))
	}
	return strings.Join(list, " ")
}

// A rule makes topic, key, value and headers of a message; what Kafka brings back with them is the same message.
func TestRulesAndHeaders(t *testing.T) {
	_, brokers := fake(t, "plant.1", "json", "back")
	f := open(t, brokers, "plant.1", "json")
	b := bridgetest.Start(t, kafka.New(kafka.Config{
		Brokers: brokers, Name: "k", QoS: 2, Compression: kafka.CompressionZstd,
		Out: []kafka.Out{
			{Filters: []string{"plant/+/temp"}, Topic: "plant.${2}", Key: "${client}-${1}-${9}"},
			{Filters: []string{"plant/#"}, Topic: "json", Format: kafka.FormatJSON, Key: kafka.NoKey, NoHeaders: true},
		},
		In: []kafka.In{{Topics: []string{"back"}, Group: "g", FromStart: true, QoS: 2, Retain: true}},
	}))
	c := connect(t, b, "dev", "ann")
	p := &packets.Publish{TopicName: "plant/1/temp", QoS: 2, Retain: true, Payload: []byte("21"), Properties: packets.Properties{
		ContentType: packets.Some("text/plain"), ResponseTopic: packets.Some("r"), CorrelationData: []byte{1, 255},
		PayloadFormatIndicator: packets.Some(byte(1)), MessageExpiryInterval: packets.Some(uint32(60)),
		UserProperties: []packets.UserProperty{{Key: "a", Value: "1"}, {Key: "mqtt.qos", Value: "odd"}, {Key: "a", Value: "2"}},
	}}
	require.Equal(t, packets.Success, c.PublishWith(p))
	var raw, text *kgo.Record
	for _, r := range f.await(t, 2) {
		if r.Topic == "json" {
			text = r
		} else {
			raw = r
		}
	}
	require.Equal(t, "dev-plant- 21", string(raw.Key)+" "+string(raw.Value))
	require.Equal(t, "mqtt.topic=plant/1/temp mqtt.qos=2 mqtt.retain=1 mqtt.client=dev mqtt.bridge=k mqtt.content-type=text/plain "+
		"mqtt.response-topic=r mqtt.correlation-data=\x01\xff mqtt.payload-format=1 mqtt.expiry=60 a=1 mqtt.user.mqtt.qos=odd a=2", headers(raw))
	require.Empty(t, text.Headers)
	require.Nil(t, text.Key)
	var m document.Message
	require.NoError(t, json.Unmarshal(text.Value, &m))
	require.NotEmpty(t, m.Time)
	m.Time = ""
	format, expiry := byte(1), uint32(60)
	require.Equal(t, document.Message{
		Topic: "plant/1/temp", Payload: []byte("21"), QoS: 2, Retain: true, Client: "dev", ContentType: "text/plain", ResponseTopic: "r",
		CorrelationData: []byte{1, 255}, PayloadFormat: &format, Expiry: &expiry,
		UserProperties: []document.UserProperty{{Name: "a", Value: "1"}, {Name: "mqtt.qos", Value: "odd"}, {Name: "a", Value: "2"}},
	}, m)

	sub, err := b.Subscribe(t.Context(), []string{"plant/1/temp"}, shoal.SubscribeOptions{QoS: 2, RetainHandling: 2, RetainAsPublished: true})
	require.NoError(t, err)
	var others []kgo.RecordHeader
	for _, h := range raw.Headers {
		if h.Key == "mqtt.bridge" {
			h.Value = []byte("another")
		}
		others = append(others, h)
	}
	// What the bridge has written itself is skipped, and so is what has no topic, or one of the broker's own.
	f.send(t, &kgo.Record{Topic: "back", Partition: 0, Value: []byte("own"), Headers: raw.Headers},
		&kgo.Record{Topic: "back", Value: []byte("none")},
		&kgo.Record{Topic: "back", Value: []byte("forged"), Headers: []kgo.RecordHeader{{Key: "mqtt.topic", Value: []byte("$shoal/bridge/k/event")}}},
		&kgo.Record{Topic: "back", Value: []byte("21"), Headers: others})
	back, err := sub.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "21", string(back.Payload))
	require.Equal(t, packets.QoS(2), back.QoS)
	require.True(t, back.Retain)
	require.Equal(t, p.Properties.UserProperties, back.Properties.UserProperties)
	require.Equal(t, p.Properties.CorrelationData, back.Properties.CorrelationData)
	require.Equal(t, p.Properties.ContentType, back.Properties.ContentType)
	require.Equal(t, p.Properties.ResponseTopic, back.Properties.ResponseTopic)
	require.True(t, back.Properties.MessageExpiryInterval.Set)
	bridgetest.Eventually(t, "two are dropped", func() bool { return b.Metrics().Dropped[shoal.DropRefused] == 2 })
	require.Len(t, f.records(), 2, "what came from Kafka is not sent back")
}

// Events have the bytes that comqtt's bridge sends.
func TestComqttEvents(t *testing.T) {
	for name, waits := range map[string]bool{"publishers go on": false, "publishers wait": true} {
		t.Run(name, func(t *testing.T) {
			_, brokers := fake(t, "comqtt")
			f := open(t, brokers, "comqtt")
			b := bridgetest.Start(t, kafka.New(kafka.Config{Brokers: brokers, Events: kafka.Events{
				Topic: "comqtt", Format: kafka.FormatComqtt, Publish: true, PublishWaits: waits,
				Topics: []string{"testtopic/3"}, Filters: []string{"testtopic/31"},
			}}))
			conn, err := b.Dial(t.Context())
			require.NoError(t, err)
			c := mqtttest.New(t, conn, packets.V311)
			before := time.Now().Unix()
			c.Connect(&packets.Connect{ProtocolVersion: packets.V311, ClientID: "dev", CleanStart: true, UserName: packets.Some("ann")})
			c.SubscribeWith(&packets.Subscribe{Subscriptions: []packets.Subscription{
				{TopicFilter: "testtopic/31", QoS: 1}, {TopicFilter: "other"},
			}})
			c.Publish(1, "testtopic/3", "hello")
			c.Publish(1, "testtopic/3/more", "not concerned")
			c.Publish(0, "testtopic/3", "zero")
			c.Unsubscribe("testtopic/31")
			c.Unsubscribe("other")
			c.Disconnect()
			recs := f.await(t, 7)
			after := time.Now().Unix()
			got := make([]string, 0, len(recs))
			for _, r := range recs {
				line := string(r.Key) + " " + string(r.Value)
				for ts := before; ts <= after; ts++ {
					line = strings.ReplaceAll(line, fmt.Sprint(ts), "TS")
				}
				got = append(got, line)
			}
			require.ElementsMatch(t, []string{
				`dev-TS {"action":"connect","clientid":"dev","username":"ann","remote":"inprocess","listener":"inprocess","protocolVersion":4,"clean":true,"ts":TS}`,
				`1-TS {"action":"subscribe","clientid":"dev","username":"ann","topics":["testtopic/31"],"ts":TS}`,
				`2-TS {"action":"publish","clientid":"dev","username":"ann","topics":["testtopic/3"],"payload":"aGVsbG8=","ts":TS,"packetid":2}`,
				`0-TS {"action":"publish","clientid":"dev","username":"ann","topics":["testtopic/3"],"payload":"emVybw==","ts":TS}`,
				`4-TS {"action":"unsubscribe","clientid":"dev","username":"ann","topics":["testtopic/31"],"ts":TS}`,
				`5-TS {"action":"unsubscribe","clientid":"dev","username":"ann","ts":TS}`,
				`dev-TS {"action":"disconnect","clientid":"dev","username":"ann","ts":TS}`,
			}, got)
		})
	}
}

// Events in JSON say all that is known, in the order in which it happened to a client.
func TestEvents(t *testing.T) {
	_, brokers := fake(t, "events")
	f := open(t, brokers, "events")
	b := bridgetest.Start(t, kafka.New(kafka.Config{Brokers: brokers, Events: kafka.Events{Topic: "events", Publish: true}}))
	c := connect(t, b, "dev", "ann")
	c.Subscribe(1, "t/#")
	c.Publish(0, "t/1", "m")
	c.Unsubscribe("t/#")
	c.Disconnect()
	var kinds []string
	for _, r := range f.await(t, 6) {
		require.Equal(t, "dev", string(r.Key))
		var e document.Event
		require.NoError(t, json.Unmarshal(r.Value, &e))
		require.Equal(t, "dev", e.Client)
		kinds = append(kinds, e.Event)
		switch e.Event {
		case "connected":
			require.Equal(t, "ann inprocess 5 true false", fmt.Sprint(e.Principal, " ", e.Listener, " ", e.Version, " ", *e.CleanStart, " ", *e.SessionPresent))
		case "subscribed":
			require.Equal(t, []document.Subscription{{Filter: "t/#", QoS: 1}}, e.Subscriptions)
		case "published":
			require.Equal(t, "t/1", e.Message.Topic)
		case "disconnected":
			require.Zero(t, *e.ReasonCode)
			require.Empty(t, e.Error)
		}
	}
	require.Equal(t, []string{"connected", "subscribed", "published", "unsubscribed", "session-ended", "disconnected"}, kinds)
}

func TestConfigIsChecked(t *testing.T) {
	for want, cfg := range map[string]kafka.Config{
		"Brokers is empty":       {},
		"nothing crosses":        {Brokers: []string{"x:1"}},
		"SASL.Mechanism":         {SASL: kafka.SASL{Mechanism: "GSSAPI"}},
		"SASL.User is empty":     {SASL: kafka.SASL{Mechanism: "PLAIN"}},
		"SASL.Token is nil":      {SASL: kafka.SASL{Mechanism: "OAUTHBEARER"}},
		"set NotIdempotent":      {Acks: kafka.AcksLeader},
		"constants":              {Compression: 9},
		`Out[0]: Filters: "a#"`:  {Out: []kafka.Out{{Filters: []string{"a#"}, Topic: "t"}}},
		"Out[0]: Filters and To": {Out: []kafka.Out{{}}},
		"${nope} is not known":   {Out: []kafka.Out{{Filters: []string{"a"}, Topic: "${nope}"}}},
		"has no }":               {Out: []kafka.Out{{Filters: []string{"a"}, Topic: "t", Key: "${topic"}}},
		"In[0]: Topics and Gr":   {In: []kafka.In{{}}},
		"another rule already":   {In: []kafka.In{{Topics: []string{"a"}, Group: "g"}, {Topics: []string{"b"}, Group: "g"}}},
		"Events.Filters":         {Events: kafka.Events{Topic: "e", Filters: []string{""}}},
	} {
		_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(kafka.New(cfg)))
		require.ErrorContains(t, err, want)
	}
}

// A message for which Kafka has no topic, or that it never takes, is dropped with a reason, and holds up nothing.
func TestRefusedByKafka(t *testing.T) {
	_, brokers := fake(t, "good")
	f := open(t, brokers, "good")
	b := bridgetest.Start(t, kafka.New(kafka.Config{Brokers: brokers, Out: []kafka.Out{{Filters: []string{"t/#"}, Topic: "${2}"}}}))
	for _, topic := range []string{"t/good", "t", "t/..", "t/" + strings.Repeat("x", 250), "t/good"} {
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: topic, QoS: 1, Payload: []byte(topic)}))
	}
	require.Equal(t, "t/good t/good", strings.Join([]string{string(f.await(t, 2)[0].Value), string(f.records()[1].Value)}, " "))
	require.EqualValues(t, 3, b.Metrics().Dropped[shoal.DropRefused])
}
