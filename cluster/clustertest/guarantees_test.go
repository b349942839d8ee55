package clustertest_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 1: after SUBACK, a PUBLISH that any live node accepts reaches the subscriber.
func TestSubscribeBarrier(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		pubs := []*mqtt.Client{mqtt.Connect(t, c, 0, "p0", mqtt.Clean), mqtt.Connect(t, c, 1, "p1", mqtt.Clean), mqtt.Connect(t, c, 2, "p2", mqtt.Clean)}
		for i := range 50 {
			filter := fmt.Sprintf("t/%d", i)
			sub.Subscribe(0, filter)
			pubs[i%3].Post(filter, "now", 0, false)
			require.Equal(t, filter, sub.Receive().TopicName)
		}
	})
}

// A barrier waits for a node that is silent, but not longer than that node's lease; what it publishes afterwards is not accepted.
func TestSubscribeWaitsForSilentNode(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean), mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		c.Partition([]int{0, 1}, []int{2})
		began := time.Now()
		sub.Subscribe(1, "t")
		require.Less(t, time.Since(began), 5*time.Second)
		pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: []byte("lost?")})
		for {
			p, err := pub.Read(time.Minute)
			if err != nil {
				break // ended: fine, too
			}
			if a, ok := p.(*packets.PubAck); ok {
				require.True(t, a.ReasonCode.IsError(), "acknowledged in the minority: %s", a.ReasonCode)
				break
			}
		}
		c.Heal()
		c.AwaitServing(2)
		again := mqtt.Connect(t, c, 2, "again", mqtt.Clean)
		require.Equal(t, packets.Success, again.Post("t", "back", 1, false))
		for {
			if string(sub.Receive().Payload) == "back" {
				return
			}
		}
	})
}

// Guarantee 2: no acknowledgement before the subscriber's node has the message.
func TestAckAfterAcceptance(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub, pub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean), mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				sub.Subscribe(2, "t")
				c.Network().SetDelay("c01", "c02", 300*time.Millisecond)
				began := time.Now()
				require.Equal(t, packets.Success, pub.Post("t", "x", qos, false))
				require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond, "the acknowledgement came before the message could be there")
				require.Equal(t, "x", string(sub.Receive().Payload))
			})
		})
	}
}

// Guarantee 3, C2: a client ID has one connection in the whole cluster.
func TestOneOwner(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		first := mqtt.Connect(t, c, 0, "x", mqtt.Clean)
		second := mqtt.Connect(t, c, 1, "x", mqtt.Clean)
		require.Equal(t, packets.SessionTakenOver, first.Closed().ReasonCode)
		third := mqtt.Connect(t, c, 2, "x", mqtt.Clean)
		require.Equal(t, packets.SessionTakenOver, second.Closed().ReasonCode)
		third.Subscribe(1, "t")
		require.Equal(t, packets.Success, third.Post("t", "still here", 1, false))
		require.Equal(t, "still here", string(third.Receive().Payload))
	})
}

// Guarantee 3: clients that race for one ID on all nodes at once: exactly one is left.
func TestOneOwnerRace(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		for round := range 5 {
			var wg sync.WaitGroup
			conns := make([]*mqtt.Client, 9)
			for i := range conns {
				conns[i] = mqtt.Dial(t, c, i%3)
				wg.Go(func() { conns[i].SendConnect("x", mqtt.Expiry(60)) })
			}
			wg.Wait()
			alive := 0
			for _, cl := range conns {
				for {
					p, err := cl.Read(3 * time.Second)
					if err != nil {
						break
					}
					if d, ok := p.(*packets.Disconnect); ok {
						require.Equal(t, packets.SessionTakenOver, d.ReasonCode)
					}
				}
				_ = cl.Conn.SetReadDeadline(time.Time{})
				if _, err := cl.Conn.Write([]byte{0xC0, 0}); err != nil {
					continue
				}
				if p, err := cl.Read(time.Second); err == nil {
					require.IsType(t, &packets.PingResp{}, p)
					alive++
				}
			}
			require.Equal(t, 1, alive, "round %d: connections that are alive", round)
			for _, cl := range conns {
				cl.Drop()
			}
		}
	})
}

// Guarantee 4: a session moves with its subscriptions, what was queued and what is in flight, in order and exactly once.
func TestSessionMoves(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := mqtt.Connect(t, c, 0, "x", mqtt.Expiry(600)), mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		require.False(t, sub.Ack.SessionPresent)
		sub.Subscribe(2, "q/#")
		for _, p := range mqtt.Numbered(10) {
			pub.Post("q/1", p, 1, false)
			pub.Post("q/2", p, 2, false)
		}
		a, b := sub.Next(), sub.Next() // in flight: a QoS 1, b QoS 2
		sub.Send(&packets.PubRec{PacketID: b.PacketID})
		require.Equal(t, b.PacketID, mqtt.Expect[*packets.PubRel](sub).PacketID)
		sub.Drop()
		for _, p := range mqtt.Numbered(5) {
			pub.Post("q/3", p, 1, false)
		}
		sub = mqtt.Connect(t, c, 1, "x", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		again := sub.Next()
		require.Equal(t, a.PacketID, again.PacketID)
		require.True(t, again.Dup)
		require.Equal(t, b.PacketID, mqtt.Expect[*packets.PubRel](sub).PacketID)
		got := map[string][]string{"q/1": {string(again.Payload)}, "q/2": {string(b.Payload)}}
		sub.Send(&packets.PubAck{PacketID: again.PacketID})
		sub.Send(&packets.PubComp{PacketID: b.PacketID})
		for range 10 + 10 + 5 - 2 {
			p := sub.Receive()
			got[p.TopicName] = append(got[p.TopicName], string(p.Payload))
		}
		require.Equal(t, mqtt.Numbered(10), got["q/1"])
		require.Equal(t, mqtt.Numbered(10), got["q/2"])
		require.Equal(t, mqtt.Numbered(5), got["q/3"])
		sub.Silent(time.Second)
	})
}

// Guarantees 4 and 8: a stream goes on, in order and without loss or repetition, while its subscriber goes from node to node.
func TestStreamFollowsSession(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				const messages = 300
				sub := mqtt.Connect(t, c, 0, "x", mqtt.Expiry(600))
				sub.Subscribe(2, "s")
				pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for _, p := range mqtt.Numbered(messages) {
						pub.Post("s", p, qos, false)
						time.Sleep(time.Millisecond) // virtual: spreads the stream over the moves
					}
				}()
				moves, repeated := 0, 0
				for next := 0; next < messages; {
					m := sub.Receive()
					if want := fmt.Sprintf("%06d", next); string(m.Payload) != want {
						// An acknowledgement may have been lost with its connection: QoS 1 says so, QoS 2 does not repeat.
						require.Equal(t, packets.QoS(1), m.QoS, "expected %s, got %s", want, m.Payload)
						require.True(t, m.Dup, "expected %s, got %s", want, m.Payload)
						require.Less(t, string(m.Payload), want)
						repeated++
						continue
					}
					if next++; next%50 == 0 {
						moves++
						sub.Drop()
						sub = mqtt.Connect(t, c, moves%3, "x", mqtt.Expiry(600))
						require.True(t, sub.Ack.SessionPresent)
					}
				}
				<-done
				require.LessOrEqual(t, repeated, moves*50)
				sub.Silent(time.Second)
			})
		})
	}
}

// Guarantee 4: QoS 2 towards the broker stays exactly once when the publisher changes nodes between PUBLISH and PUBREL.
func TestPublisherMovesMidQoS2(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 2, "sub", mqtt.Clean)
		sub.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Expiry(600))
		m := &packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")}
		pub.Send(m)
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
		pub.Drop()
		pub = mqtt.Connect(t, c, 1, "pub", mqtt.Expiry(600))
		require.True(t, pub.Ack.SessionPresent)
		m.Dup = true
		pub.Send(m)
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
		pub.Send(&packets.PubRel{PacketID: 7})
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubComp](pub).ReasonCode)
		require.Equal(t, "once", string(sub.Receive().Payload))
		sub.Silent(time.Second)
	})
}

// Guarantee 4: Clean Start on another node ends the session there was.
func TestCleanStartElsewhere(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "x", mqtt.Expiry(600))
		sub.Subscribe(1, "t")
		sub.Drop()
		sub = mqtt.Connect(t, c, 1, "x", mqtt.Clean, mqtt.Expiry(600))
		require.False(t, sub.Ack.SessionPresent)
		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		require.Equal(t, packets.NoMatchingSubscribers, mqtt.AwaitCode(pub, "t", packets.NoMatchingSubscribers))
		sub.Silent(time.Second)
	})
}

// Guarantee 6, C9: retained messages are the same everywhere, as soon as they are acknowledged; clearing clears everywhere.
func TestRetainedEverywhere(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		pubs := []*mqtt.Client{mqtt.Connect(t, c, 0, "p0", mqtt.Clean), mqtt.Connect(t, c, 1, "p1", mqtt.Clean), mqtt.Connect(t, c, 2, "p2", mqtt.Clean)}
		for i := range 30 {
			topic, payload := fmt.Sprintf("r/%d", i%4), fmt.Sprint(i)
			pubs[i%3].Post(topic, payload, packets.QoS(1+i%2), true)
			sub := mqtt.Connect(t, c, (i+1)%3, "sub", mqtt.Clean)
			sub.Subscribe(1, topic)
			m := sub.Receive()
			require.Equal(t, payload, string(m.Payload))
			require.True(t, m.Retain)
			sub.Leave()
		}
		pubs[1].Post("r/0", "", 1, true)
		for i := range 3 {
			sub := mqtt.Connect(t, c, i, "sub", mqtt.Clean)
			sub.Subscribe(1, "r/0")
			sub.Silent(time.Second)
			list, err := c.Node(i).Broker().Retained("r/#")
			require.NoError(t, err)
			require.Len(t, list, 3)
		}
	})
}

// C9: a message that expires takes no newer one with it.
func TestRetainedExpiry(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		ctx := t.Context()
		old := shoal.Message{TopicName: "r", Payload: []byte("old"), QoS: 1, Retain: true}
		old.Properties.MessageExpiryInterval = packets.Some[uint32](5)
		require.NoError(t, c.Node(0).Broker().Publish(ctx, old))
		require.NoError(t, c.Node(1).Broker().Publish(ctx, shoal.Message{TopicName: "r", Payload: []byte("new"), QoS: 1, Retain: true}))
		old.TopicName = "gone"
		require.NoError(t, c.Node(2).Broker().Publish(ctx, old))
		time.Sleep(6 * time.Second)
		for i := range 3 {
			list, err := c.Node(i).Broker().Retained("#")
			require.NoError(t, err)
			require.Len(t, list, 1, "node %d", i)
			require.Equal(t, "new", string(list[0].Payload))
		}
	})
}

// Guarantee 7, C7: each message to exactly one member in the whole cluster.
func TestSharedOnce(t *testing.T) {
	for _, qos := range []packets.QoS{0, 1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				members := make([]*mqtt.Client, 3)
				for i := range members {
					members[i] = mqtt.Connect(t, c, i, fmt.Sprint("m", i), mqtt.Clean)
					members[i].Subscribe(2, "$share/g/s/#")
				}
				all := mqtt.Connect(t, c, 0, "all", mqtt.Clean)
				all.Subscribe(2, "s/#") // an ordinary subscription beside the group gets everything
				for i := range 3 {
					pub := mqtt.Connect(t, c, i, fmt.Sprint("pub", i), mqtt.Clean)
					for _, p := range mqtt.Numbered(20) {
						pub.Post(fmt.Sprint("s/", i), p, qos, false)
					}
				}
				for range 60 {
					all.Receive()
				}
				var got []string
				for _, m := range members {
					for len(got) < 60 {
						p, err := m.Read(time.Second)
						if err != nil {
							break
						}
						if pub, ok := p.(*packets.Publish); ok {
							got = append(got, pub.TopicName+string(pub.Payload))
						}
					}
				}
				slices.Sort(got)
				require.Len(t, slices.Compact(got), 60)
			})
		})
	}
}

// Guarantee 7: what a member has not acknowledged when it goes away, or its node, goes to another member, on another node.
func TestSharedFailover(t *testing.T) {
	for _, how := range []string{"member leaves", "node is lost"} {
		t.Run(how, func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				first := mqtt.Connect(t, c, 1, "first", mqtt.Clean)
				first.Subscribe(1, "$share/g/s")
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				for _, p := range mqtt.Numbered(10) {
					pub.Post("s", p, 1, false)
				}
				for range 10 {
					first.Next() // and no acknowledgement
				}
				second := mqtt.Connect(t, c, 2, "second", mqtt.Clean)
				second.Subscribe(1, "$share/g/s")
				if how == "member leaves" {
					first.Drop()
				} else {
					c.Kill(1)
				}
				for _, want := range mqtt.Numbered(10) {
					require.Equal(t, want, string(second.Receive().Payload))
				}
				require.Equal(t, packets.Success, mqtt.AwaitCode(pub, "s", packets.Success))
				require.Equal(t, "x", string(second.Receive().Payload))
				second.Silent(time.Second)
			})
		})
	}
}

// Guarantee 8, C8: the order of a publisher holds across nodes.
func TestOrderAcrossNodes(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean)
		sub.Subscribe(2, "o/#")
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		const n = 2000
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i, p := range mqtt.Numbered(n) {
				m := &packets.Publish{TopicName: "o/1", Payload: []byte(p), QoS: packets.QoS(i % 2)}
				if m.QoS > 0 {
					m.PacketID = uint16(i + 1)
				}
				b, _ := packets.Append(nil, m, packets.V5)
				_, _ = pub.Conn.Write(b)
				if m.QoS > 0 {
					mqtt.Expect[*packets.PubAck](pub)
				}
			}
		}()
		var got [2][]string
		for range n {
			p := sub.Receive()
			got[p.QoS] = append(got[p.QoS], string(p.Payload))
		}
		<-done
		for q := range got {
			require.Len(t, got[q], n/2)
			require.True(t, slices.IsSorted(got[q]), "QoS %d out of order", q)
		}
	})
}

// Guarantee 9: the minority acknowledges nothing; after healing all nodes agree again without help.
func TestPartitionHeals(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Partition([]int{0, 1}, []int{2})
		refused := mqtt.Dial(t, c, 2)
		time.Sleep(5 * time.Second)
		refused.SendConnect("late", mqtt.Clean)
		p, err := refused.Read(time.Minute)
		if err == nil {
			require.True(t, p.(*packets.ConnAck).ReasonCode.IsError())
		}
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		sub.Subscribe(1, "t")
		c.Heal()
		c.AwaitServing(2)
		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		require.Equal(t, packets.Success, pub.Post("t", "x", 1, false))
		require.Equal(t, "x", string(sub.Receive().Payload))
	})
}

// Guarantee 11: what is dropped is told, with a reason.
func TestDropsAreTold(t *testing.T) {
	drops := make(chan shoal.DroppedEvent, 100)
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 1, "x", mqtt.Expiry(600))
		sub.Subscribe(1, "t")
		sub.Drop()
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		for range 5 {
			pub.Post("t", "m", 1, false)
		}
		synctest.Wait()
		require.Equal(t, uint64(2), c.Node(1).Broker().Metrics().Dropped[shoal.DropQueueFull])
		e := <-drops
		require.Equal(t, shoal.DroppedEvent{ClientID: "x", TopicName: "t", QoS: 1, Reason: shoal.DropQueueFull}, e)
	}, clustertest.WithBroker(func(i int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithLimits(shoal.Limits{QueuedMessages: 3}), shoal.WithHook(dropHook(drops))}
	}))
}

type dropHook chan shoal.DroppedEvent

func (h dropHook) MessageDropped(e shoal.DroppedEvent) { h <- e }
