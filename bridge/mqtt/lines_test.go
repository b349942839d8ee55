package mqtt_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/authtest"
	"github.com/shoalmq/shoal/bridge/bridgetest"
	"github.com/shoalmq/shoal/bridge/mqtt"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// line is a connection to the other broker that a test can cut.
type line struct {
	mu   sync.Mutex
	nc   net.Conn
	cuts int
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc != nil {
		_ = l.nc.Close() // twice is fine
		l.nc = nil
		l.cuts++
	}
}

// While both brokers go on, messages of QoS 2 cross exactly once, both ways and in order, however often the connection is cut; QoS 1 at least once.
func TestExactlyOnceOverCuts(t *testing.T) {
	for qos := packets.QoS(1); qos <= 2; qos++ {
		for _, v := range []packets.Version{packets.V311, packets.V5} {
			t.Run(fmt.Sprintf("QoS %d, version %d", qos, v), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					far, err := shoal.New(shoal.WithAnonymous())
					require.NoError(t, err)
					require.NoError(t, far.Start(t.Context()))
					defer bridgetest.Stop(t, far)
					l := new(line)
					b := bridgetest.Start(t, mqtt.New(mqtt.Config{
						Addresses: []string{"far"}, ClientID: "bridge", Version: v,
						Dial: func(ctx context.Context, _ string) (net.Conn, error) {
							nc, err := far.Dial(ctx)
							l.mu.Lock()
							defer l.mu.Unlock()
							l.nc = nc
							return nc, err
						},
						Out: []mqtt.Rule{{Filter: "out/#"}}, In: []mqtt.Rule{{Filter: "in/#"}},
					}))
					time.Sleep(time.Second) // until it is connected
					outs, err := far.Subscribe(t.Context(), []string{"out/#"}, shoal.SubscribeOptions{QoS: qos})
					require.NoError(t, err)
					ins, err := b.Subscribe(t.Context(), []string{"in/#"}, shoal.SubscribeOptions{QoS: qos})
					require.NoError(t, err)
					const messages = 400
					for i := range messages {
						payload := []byte(fmt.Sprintf("%06d", i))
						require.NoError(t, b.Publish(t.Context(), shoal.Message{TopicName: "out/1", Payload: payload, QoS: qos}))
						require.NoError(t, far.Publish(t.Context(), shoal.Message{TopicName: "in/1", Payload: payload, QoS: qos}))
						if i%7 == 3 {
							l.cut()
						}
						time.Sleep(time.Duration(i%5) * 40 * time.Millisecond)
					}
					require.Greater(t, l.cuts, 20)
					for _, sub := range []*shoal.Subscription{outs, ins} {
						for i := 0; i < messages; {
							ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
							m, err := sub.Next(ctx)
							cancel()
							require.NoError(t, err, "message %d", i)
							want := fmt.Sprintf("%06d", i)
							if string(m.Payload) != want {
								require.Equal(t, packets.QoS(1), qos, "expected %s, got %s", want, m.Payload)
								require.Less(t, string(m.Payload), want, "a message is missing")
								continue
							}
							i++
						}
					}
					time.Sleep(time.Minute)
					none, cancel := context.WithCancel(t.Context())
					cancel()
					for _, sub := range []*shoal.Subscription{outs, ins} {
						m, err := sub.Next(none)
						require.ErrorIs(t, err, context.Canceled, "%s", m.Payload)
					}
				})
			})
		}
	}
}

// From one cluster to another: when the node with the bridge is lost, another one connects, to any node over there, and nothing is lost.
func TestBetweenClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := clustertest.New(t, 3)
		near := clustertest.New(t, 3, clustertest.WithBroker(func(int) []shoal.Option {
			return []shoal.Option{shoal.WithAnonymous(), shoal.WithBridge(mqtt.New(mqtt.Config{
				Addresses: []string{"0", "1", "2"}, ClientID: "near",
				Dial: func(ctx context.Context, address string) (net.Conn, error) {
					return far.DialContext(ctx, int(address[0]-'0'))
				},
				Out: []mqtt.Rule{{Filter: "out/#"}}, In: []mqtt.Rule{{Filter: "in/#"}},
			}))}
		}))
		owner := -1
		for owner < 0 {
			time.Sleep(time.Second)
			for i := range 3 {
				if near.Node(i).Broker().Bridges()[0].State == shoal.BridgeRunning {
					owner = i
				}
			}
		}
		one, two := (owner+1)%3, (owner+2)%3
		time.Sleep(5 * time.Second) // until it is connected and subscribed
		outs, err := far.Node(2).Broker().Subscribe(t.Context(), []string{"out/#"}, shoal.SubscribeOptions{QoS: 1})
		require.NoError(t, err)
		ins, err := near.Node(one).Broker().Subscribe(t.Context(), []string{"in/#"}, shoal.SubscribeOptions{QoS: 1})
		require.NoError(t, err)
		post := func(c *clustertest.Cluster, node int, topic string, i int) {
			m := shoal.Message{TopicName: topic, Payload: []byte(fmt.Sprintf("%06d", i)), QoS: 1}
			require.NoError(t, c.Node(node).Broker().Publish(t.Context(), m))
		}
		for i := range 90 {
			post(near, []int{one, two}[i%2], "out/1", i)
			post(far, 2, "in/1", i)
			switch i {
			case 30:
				near.Kill(owner)
			case 60:
				far.Kill(0)
			}
		}
		for _, sub := range []*shoal.Subscription{outs, ins} {
			for i := 0; i < 90; {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				m, err := sub.Next(ctx)
				cancel()
				require.NoError(t, err, "message %d", i)
				if want := fmt.Sprintf("%06d", i); string(m.Payload) == want {
					i++
				} else {
					require.Less(t, string(m.Payload), want, "a message is missing")
				}
			}
		}
	})
}

// By mqtts the two know each other by certificates: without one of its own the bridge is not let in, and what waits for that is not lost.
func TestMutualTLS(t *testing.T) {
	authority := authtest.NewAuthority(t)
	far, err := shoal.New(shoal.WithAnonymous(), shoal.WithListen("tls://127.0.0.1:0"), shoal.WithTLSConfig(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{authority.Issue(t, nil)}, ClientCAs: authority.Pool,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}))
	require.NoError(t, err)
	require.NoError(t, far.Start(t.Context()))
	defer bridgetest.Stop(t, far)
	sub, err := far.Subscribe(t.Context(), []string{"#"}, shoal.SubscribeOptions{QoS: 1})
	require.NoError(t, err)
	store := memory.New()
	bridged := func(mine ...tls.Certificate) *shoal.Broker {
		return bridgetest.Start(t, mqtt.New(mqtt.Config{
			Addresses: []string{"mqtts://" + far.Addrs()[0].String()}, ClientID: "bridge", Out: []mqtt.Rule{{Filter: "t"}},
			TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authority.Pool, Certificates: mine},
		}), shoal.WithStorage(store))
	}
	stranger := bridged()
	require.NoError(t, stranger.Publish(t.Context(), shoal.Message{TopicName: "t", Payload: []byte("waits"), QoS: 1}))
	time.Sleep(100 * time.Millisecond) // it tries, in vain
	none, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sub.Next(none)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, stranger.Bridges()[0].Queued)
	bridgetest.Stop(t, stranger)
	bridged(authority.Issue(t, nil))
	m, err := sub.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "waits", string(m.Payload))
}
