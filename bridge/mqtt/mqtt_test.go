package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/mqtt"
	"github.com/shoalmq/shoal/internal/client"
	"github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/internal/testservers"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// there is a client of the other broker that comes back whenever that does.
type there struct {
	c *client.Client

	mu  sync.Mutex
	got []*packets.Publish
}

// join connects a client to the other broker, and waits until it is subscribed.
func join(t testing.TB, addr, id string, filters ...string) *there {
	t.Helper()
	w := new(there)
	w.c = client.New(client.Config{Version: packets.V5, Receive: func(p *packets.Publish, accepted func(error)) {
		w.mu.Lock()
		w.got = append(w.got, p)
		w.mu.Unlock()
		accepted(nil)
	}})
	var subs []packets.Subscription
	for _, f := range filters {
		subs = append(subs, packets.Subscription{TopicFilter: f, QoS: 2, RetainAsPublished: true})
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p := &packets.Connect{ProtocolVersion: packets.V5, ClientID: id, KeepAlive: 5}
			p.Properties.SessionExpiryInterval = packets.Some(uint32(3600))
			if nc, err := net.Dial("tcp", addr); err == nil {
				_ = w.c.Run(ctx, nc, p, subs, func() { once.Do(func() { close(ready) }) })
			}
			time.Sleep(20 * time.Millisecond) // the broker may be away
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	<-ready
	return w
}

func (w *there) received() []*packets.Publish {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*packets.Publish(nil), w.got...)
}

func (w *there) payloads() (list []string) {
	for _, p := range w.received() {
		list = append(list, string(p.Payload))
	}
	return list
}

func (w *there) await(t testing.TB, n int) []*packets.Publish {
	t.Helper()
	bridgetest.Eventually(t, fmt.Sprint(n, " messages"), func() bool { return len(w.received()) >= n })
	return w.received()
}

func (w *there) publish(t testing.TB, p *packets.Publish) {
	t.Helper()
	done := make(chan session.Why, 1)
	w.c.Publish(session.NewMessage(p, time.Now().UnixNano()), p.QoS, p.Retain, func(why session.Why) { done <- why })
	require.Equal(t, session.Acknowledged, <-done)
}

// contract is another broker as the contract of bridges sees it.
func contract(t testing.TB, addr string, v packets.Version) bridgetest.Far {
	w := join(t, addr, "observer", "site/out/#")
	return bridgetest.Far{
		Bridge: func(testing.TB) shoal.Bridge {
			return mqtt.New(mqtt.Config{
				Addresses: []string{"mqtt://127.0.0.1:1", "mqtt://" + addr}, ClientID: "bridge", Version: v,
				Out: []mqtt.Rule{{Filter: "out/#", RemotePrefix: "site/"}},
				In:  []mqtt.Rule{{Filter: "#", LocalPrefix: "in/", RemotePrefix: "far/"}},
			})
		},
		Arrived: func(testing.TB) []string { return w.payloads() },
		Send: func(t testing.TB, payload string) {
			w.publish(t, &packets.Publish{TopicName: "far/1", QoS: 1, Payload: []byte(payload)})
		},
	}
}

func TestContractMosquitto(t *testing.T) {
	for name, v := range map[string]packets.Version{"5.0": packets.V5, "3.1.1": packets.V311} {
		t.Run(name, func(t *testing.T) {
			bridgetest.Run(t, func(t *testing.T) bridgetest.Far {
				m := testservers.Mosquitto(t)
				far := contract(t, m.Addr(), v)
				far.Away = func(testing.TB) { m.Stop() }
				far.Back = func(testing.TB) { m.Start() }
				return far
			})
		})
	}
}

// another is another Shoal, which can go away and come back with what it had.
type another struct {
	addr  string
	store *memory.Store
	b     *shoal.Broker
}

func (a *another) start(t testing.TB) {
	var err error
	a.b, err = shoal.New(shoal.WithAnonymous(), shoal.WithListen("tcp://"+a.addr), shoal.WithStorage(a.store))
	require.NoError(t, err)
	require.NoError(t, a.b.Start(context.Background()))
	a.addr = a.b.Addrs()[0].String()
}

func (a *another) stop(t testing.TB) { bridgetest.Stop(t, a.b) }

func startAnother(t testing.TB) *another {
	a := &another{addr: "127.0.0.1:0", store: memory.New()}
	a.start(t)
	t.Cleanup(func() { a.stop(t) })
	return a
}

func TestContractShoal(t *testing.T) {
	bridgetest.Run(t, func(t *testing.T) bridgetest.Far {
		a := startAnother(t)
		far := contract(t, a.addr, packets.V5)
		far.Away, far.Back = a.stop, a.start
		return far
	})
}

// Everything that a message has crosses both ways, with prefixes in place of each other, and does not come back.
func TestMessagesKeepWhatTheyHave(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) string{
		"mosquitto": func(t *testing.T) string { return testservers.Mosquitto(t).Addr() },
		"shoal":     func(t *testing.T) string { return startAnother(t).addr },
	} {
		t.Run(name, func(t *testing.T) {
			addr := open(t)
			w := join(t, addr, "observer", "#")
			b := bridgetest.Start(t, mqtt.New(mqtt.Config{
				Addresses: []string{"mqtt://" + addr}, ClientID: "bridge", Via: "here",
				Out: []mqtt.Rule{{Filter: "#", LocalPrefix: "t/", RemotePrefix: "x/y/"}},
				In:  []mqtt.Rule{{Filter: "#", LocalPrefix: "t/", RemotePrefix: "x/y/"}},
			}))
			sub, err := b.Subscribe(t.Context(), []string{"t/#"}, shoal.SubscribeOptions{QoS: 2, RetainAsPublished: true})
			require.NoError(t, err)
			props := packets.Properties{
				ContentType: packets.Some("text/plain"), ResponseTopic: packets.Some("r"), CorrelationData: []byte{1, 255},
				PayloadFormatIndicator: packets.Some(byte(1)), MessageExpiryInterval: packets.Some(uint32(600)),
				UserProperties: []packets.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
			}
			check := func(p *packets.Properties, extra ...packets.UserProperty) {
				t.Helper()
				require.True(t, p.MessageExpiryInterval.Set)
				have := *p
				have.MessageExpiryInterval, have.SubscriptionIdentifiers, have.TopicAlias = props.MessageExpiryInterval, nil, packets.Optional[uint16]{}
				want := props
				want.UserProperties = append(append([]packets.UserProperty(nil), props.UserProperties...), extra...)
				require.Equal(t, want, have)
			}
			require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t/1", Payload: []byte("out"), QoS: 2, Retain: true, Properties: props}))
			p := w.await(t, 1)[0]
			require.Equal(t, "x/y/1 out", p.TopicName+" "+string(p.Payload))
			require.True(t, p.Retain)
			require.Equal(t, packets.QoS(2), p.QoS)
			check(&p.Properties, packets.UserProperty{Key: "shoal-hop", Value: "here"})
			m, err := sub.Next(t.Context()) // its own copy
			require.NoError(t, err)
			require.Equal(t, "out", string(m.Payload))

			w.publish(t, &packets.Publish{TopicName: "x/y/2", Payload: []byte("in"), QoS: 1, Retain: true, Properties: props})
			m, err = sub.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, "t/2 in", m.TopicName+" "+string(m.Payload))
			require.True(t, m.Retain)
			check(&m.Properties)

			looped := props
			looped.UserProperties = []packets.UserProperty{{Key: "shoal-hop", Value: "here"}}
			w.publish(t, &packets.Publish{TopicName: "x/y/3", Payload: []byte("has been here"), QoS: 1, Properties: looped})
			looped.UserProperties = nil
			for i := range mqtt.MaxHops {
				looped.UserProperties = append(looped.UserProperties, packets.UserProperty{Key: "shoal-hop", Value: fmt.Sprint(i)})
			}
			w.publish(t, &packets.Publish{TopicName: "x/y/4", Payload: []byte("too far"), QoS: 1, Properties: looped})
			w.publish(t, &packets.Publish{TopicName: "x/y/5", Payload: []byte("last"), QoS: 2})
			m, err = sub.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, "last", string(m.Payload))
			require.EqualValues(t, 1, b.Metrics().Dropped[shoal.DropRefused])
			require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "t/6", Payload: []byte("end"), QoS: 1}))
			bridgetest.Eventually(t, "the last one is there", func() bool {
				list := w.payloads()
				return len(list) > 0 && list[len(list)-1] == "end"
			})
			require.Equal(t, []string{"out", "in", "has been here", "too far", "last", "end"}, w.payloads())
		})
	}
}

// The first rule that matches says how a topic changes and what QoS is kept.
func TestRulesInOrder(t *testing.T) {
	a := startAnother(t)
	w := join(t, a.addr, "observer", "#")
	b := bridgetest.Start(t, mqtt.New(mqtt.Config{
		Addresses: []string{"mqtt://" + a.addr}, ClientID: "bridge",
		Out: []mqtt.Rule{
			{Filter: "+", LocalPrefix: "a/b/", RemotePrefix: "one/", QoS: 1},
			{Filter: "a/#", RemotePrefix: "two/", QoS0: true},
		},
	}))
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "a/b/first", QoS: 1}))
	w.await(t, 1) // it is connected: QoS 0 does not wait for that
	for _, topic := range []string{"a/b/c", "a/b/c/d", "other"} {
		require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: topic, QoS: 2}))
	}
	require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "a/b/e", QoS: 2}))
	bridgetest.Eventually(t, "the last one arrives", func() bool {
		got := w.received()
		return len(got) > 0 && got[len(got)-1].TopicName == "one/e"
	})
	got := w.received()
	list := make([]string, 0, len(got))
	for _, p := range got {
		list = append(list, fmt.Sprint(p.TopicName, " ", p.QoS))
	}
	require.Equal(t, "one/first 1, one/c 1, two/a/b/c/d 0, one/e 1", strings.Join(list, ", "))
}

func TestConfigIsChecked(t *testing.T) {
	good := mqtt.Config{Addresses: []string{"mqtt://h"}, ClientID: "c", Out: []mqtt.Rule{{Filter: "a/#"}}}
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(mqtt.New(good)))
	require.NoError(t, err)
	for want, change := range map[string]func(c *mqtt.Config){
		"Addresses is empty":       func(c *mqtt.Config) { c.Addresses = nil },
		`the scheme is "http"`:     func(c *mqtt.Config) { c.Addresses = []string{"http://h"} },
		"there is no host":         func(c *mqtt.Config) { c.Addresses = []string{"mqtt://:1883"} },
		"ClientID is empty":        func(c *mqtt.Config) { c.ClientID = "" },
		"Version is 3":             func(c *mqtt.Config) { c.Version = packets.V31 },
		"KeepAlive 1ms":            func(c *mqtt.Config) { c.KeepAlive = time.Millisecond },
		"nothing crosses":          func(c *mqtt.Config) { c.Out = nil },
		"QoS is 3":                 func(c *mqtt.Config) { c.Out = []mqtt.Rule{{Filter: "a", QoS: 3}} },
		"must not have a wildcard": func(c *mqtt.Config) { c.In = []mqtt.Rule{{Filter: "a", RemotePrefix: "+/"}} },
		`In[0]: "x#"`:              func(c *mqtt.Config) { c.In = []mqtt.Rule{{Filter: "#", LocalPrefix: "x"}} },
		"Out[0] and In[0] overlap": func(c *mqtt.Config) { c.Version, c.In = packets.V311, []mqtt.Rule{{Filter: "+/b"}} },
	} {
		c := good
		change(&c)
		_, err := shoal.New(shoal.WithAnonymous(), shoal.WithBridge(mqtt.New(c)))
		require.ErrorContains(t, err, want)
	}
}
