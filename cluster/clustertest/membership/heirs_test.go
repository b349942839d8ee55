package membership_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// The sessions of a lost node are spread over all that are left.
func TestHeirsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(t, 5)
		const clients = 80
		for i := range clients {
			s := mqtt.Connect(t, c, 2, fmt.Sprint("s", i), mqtt.Expiry(600))
			s.Subscribe(1, fmt.Sprint("own/", i))
			s.Leave()
		}
		c.Kill(2)
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		for i := range clients {
			require.Equal(t, packets.Success, pub.Post(fmt.Sprint("own/", i), "m", 1, false))
		}
		all := 0
		for i := range 5 {
			if i != 2 {
				n := c.Node(i).Broker().Metrics().Sessions
				require.Greater(t, n, clients/10, "node %d has too few", i)
				require.Less(t, n, clients/2, "node %d has too many", i)
				all += n
			}
		}
		require.Equal(t, clients+1, all)
		for i := range clients {
			s := mqtt.Connect(t, c, []int{0, 1, 3, 4}[i%4], fmt.Sprint("s", i), mqtt.Expiry(600))
			require.True(t, s.Ack.SessionPresent)
			require.Equal(t, "m", string(s.Receive().Payload))
			s.Silent(100 * time.Millisecond)
			s.Drop()
		}
	})
}

// Guarantees 5 and 8: two of five nodes are lost, one soon after the other, with messages on their way to both, and with sessions that the second
// has, or is about to have, from the first. Nothing is lost, nothing is out of order, and QoS 2 is not repeated.
func TestChainOfLosses(t *testing.T) {
	for _, pause := range []time.Duration{0, 100 * time.Millisecond, 1700 * time.Millisecond, 2200 * time.Millisecond, 4 * time.Second} {
		t.Run(fmt.Sprint("after ", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(t, 5)
				r := bubble.RolesOf(t, c)
				first, second := r.Publisher, r.Other
				var rest []int
				for i := range 5 {
					if i != first && i != second {
						rest = append(rest, i)
					}
				}
				const clients, messages = 12, 120
				for i := range clients {
					s := mqtt.Connect(t, c, []int{first, second}[i%2], fmt.Sprint("s", i), mqtt.Expiry(600))
					s.Subscribe(packets.QoS(1+i/2%2), "t")
					if i%3 > 0 {
						s.Leave()
					}
				}
				pubs := []*mqtt.Client{mqtt.Connect(t, c, rest[0], "p0", mqtt.Clean), mqtt.Connect(t, c, rest[1], "p1", mqtt.Clean)}
				done := make(chan struct{}, len(pubs))
				var refused atomic.Int32
				for k, p := range pubs {
					go func() {
						defer func() { done <- struct{}{} }()
						for i := range messages { // several at a time, so that some are on their way whenever a node is lost
							p.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: uint16(i + 1), Payload: fmt.Appendf(nil, "%d-%06d", k, i)})
							if i%5 == 4 {
								for range 5 {
									a := mqtt.Expect[*packets.PubRec](p)
									if a.ReasonCode.IsError() {
										refused.Add(1)
									}
									p.Send(&packets.PubRel{PacketID: a.PacketID})
								}
								for range 5 {
									mqtt.Expect[*packets.PubComp](p)
								}
								time.Sleep(300 * time.Millisecond)
							}
						}
					}()
				}
				time.Sleep(500 * time.Millisecond)
				c.Kill(first)
				time.Sleep(pause)
				c.Kill(second)
				for range pubs {
					<-done
				}
				require.Zero(t, refused.Load())
				subs := make([]*mqtt.Client, clients)
				for i := range subs {
					s := mqtt.Connect(t, c, rest[i%3], fmt.Sprint("s", i), mqtt.Expiry(600))
					subs[i] = s
					require.True(t, s.Ack.SessionPresent, "client %d", i)
					next := [2]int{}
					for next != [2]int{messages, messages} {
						m := s.Receive()
						var k, n int
						_, err := fmt.Sscanf(string(m.Payload), "%d-%d", &k, &n)
						require.NoError(t, err)
						if m.QoS == 1 && n < next[k] {
							require.True(t, m.Dup, "client %d had %s before", i, m.Payload)
							continue
						}
						require.Equal(t, next[k], n, "client %d, publisher %d, QoS %d", i, k, m.QoS)
						next[k]++
					}
				}
				time.Sleep(time.Second)
				for _, s := range subs {
					s.Silent(time.Millisecond)
				}
			})
		})
	}
}
