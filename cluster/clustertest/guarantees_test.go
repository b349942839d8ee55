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
	"github.com/shoalmq/shoal/packets"
)

// in runs a test inside of a bubble, in virtual time, against a cluster of three.
func in(t *testing.T, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, clustertest.New(t, 3, opts...)) })
}

// both is in, once with sessions in the nodes' agreed order, and once in a store that all nodes share.
func both(t *testing.T, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	bothOf(t, 3, fn, opts...)
}

func bothOf(t *testing.T, nodes int, fn func(t *testing.T, c *clustertest.Cluster), opts ...clustertest.Option) {
	t.Helper()
	t.Run("agreed order", func(t *testing.T) { of(t, nodes, fn, opts...) })
	t.Run("shared store", func(t *testing.T) {
		of(t, nodes, fn, append(slices.Clone(opts), clustertest.WithSharedStorage(clustertest.NewSharedStorage()))...)
	})
}

// Guarantee 1: after SUBACK, a PUBLISH that any live node accepts reaches the subscriber.
func TestSubscribeBarrier(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "sub", clean)
		pubs := []*client{connect(t, c, 0, "p0", clean), connect(t, c, 1, "p1", clean), connect(t, c, 2, "p2", clean)}
		for i := range 50 {
			filter := fmt.Sprintf("t/%d", i)
			sub.subscribe(0, filter)
			pubs[i%3].post(filter, "now", 0, false)
			require.Equal(t, filter, sub.receive().TopicName)
		}
	})
}

// A barrier waits for a node that is silent, but not longer than that node's lease; what it publishes afterwards is not accepted.
func TestSubscribeWaitsForSilentNode(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := connect(t, c, 0, "sub", clean), connect(t, c, 2, "pub", clean)
		c.Partition([]int{0, 1}, []int{2})
		began := time.Now()
		sub.subscribe(1, "t")
		require.Less(t, time.Since(began), 5*time.Second)
		pub.send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 1, Payload: []byte("lost?")})
		for {
			p, err := pub.read(time.Minute)
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
		again := connect(t, c, 2, "again", clean)
		require.Equal(t, packets.Success, again.post("t", "back", 1, false))
		for {
			if string(sub.receive().Payload) == "back" {
				return
			}
		}
	})
}

// Guarantee 2: no acknowledgement before the subscriber's node has the message.
func TestAckAfterAcceptance(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				sub, pub := connect(t, c, 1, "sub", clean), connect(t, c, 0, "pub", clean)
				sub.subscribe(2, "t")
				c.Network().SetDelay("c01", "c02", 300*time.Millisecond)
				began := time.Now()
				require.Equal(t, packets.Success, pub.post("t", "x", qos, false))
				require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond, "the acknowledgement came before the message could be there")
				require.Equal(t, "x", string(sub.receive().Payload))
			})
		})
	}
}

// Guarantee 3, C2: a client ID has one connection in the whole cluster.
func TestOneOwner(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		first := connect(t, c, 0, "x", clean)
		second := connect(t, c, 1, "x", clean)
		require.Equal(t, packets.SessionTakenOver, first.closed().ReasonCode)
		third := connect(t, c, 2, "x", clean)
		require.Equal(t, packets.SessionTakenOver, second.closed().ReasonCode)
		third.subscribe(1, "t")
		require.Equal(t, packets.Success, third.post("t", "still here", 1, false))
		require.Equal(t, "still here", string(third.receive().Payload))
	})
}

// Guarantee 3: clients that race for one ID on all nodes at once: exactly one is left.
func TestOneOwnerRace(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		for round := range 5 {
			var wg sync.WaitGroup
			conns := make([]*client, 9)
			for i := range conns {
				conns[i] = dial(t, c, i%3)
				wg.Go(func() { conns[i].sendConnect("x", expiry(60)) })
			}
			wg.Wait()
			alive := 0
			for _, cl := range conns {
				for {
					p, err := cl.read(3 * time.Second)
					if err != nil {
						break
					}
					if d, ok := p.(*packets.Disconnect); ok {
						require.Equal(t, packets.SessionTakenOver, d.ReasonCode)
					}
				}
				_ = cl.conn.SetReadDeadline(time.Time{})
				if _, err := cl.conn.Write([]byte{0xC0, 0}); err != nil {
					continue
				}
				if p, err := cl.read(time.Second); err == nil {
					require.IsType(t, &packets.PingResp{}, p)
					alive++
				}
			}
			require.Equal(t, 1, alive, "round %d: connections that are alive", round)
			for _, cl := range conns {
				cl.drop()
			}
		}
	})
}

// Guarantee 4: a session moves with its subscriptions, what was queued and what is in flight, in order and exactly once.
func TestSessionMoves(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := connect(t, c, 0, "x", expiry(600)), connect(t, c, 2, "pub", clean)
		require.False(t, sub.ack.SessionPresent)
		sub.subscribe(2, "q/#")
		for _, p := range numbered(10) {
			pub.post("q/1", p, 1, false)
			pub.post("q/2", p, 2, false)
		}
		a, b := sub.publish(), sub.publish() // in flight: a QoS 1, b QoS 2
		sub.send(&packets.PubRec{PacketID: b.PacketID})
		require.Equal(t, b.PacketID, expect[*packets.PubRel](sub).PacketID)
		sub.drop()
		for _, p := range numbered(5) {
			pub.post("q/3", p, 1, false)
		}
		sub = connect(t, c, 1, "x", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		again := sub.publish()
		require.Equal(t, a.PacketID, again.PacketID)
		require.True(t, again.Dup)
		require.Equal(t, b.PacketID, expect[*packets.PubRel](sub).PacketID)
		got := map[string][]string{"q/1": {string(again.Payload)}, "q/2": {string(b.Payload)}}
		sub.send(&packets.PubAck{PacketID: again.PacketID})
		sub.send(&packets.PubComp{PacketID: b.PacketID})
		for range 10 + 10 + 5 - 2 {
			p := sub.receive()
			got[p.TopicName] = append(got[p.TopicName], string(p.Payload))
		}
		require.Equal(t, numbered(10), got["q/1"])
		require.Equal(t, numbered(10), got["q/2"])
		require.Equal(t, numbered(5), got["q/3"])
		sub.silent(time.Second)
	})
}

// Guarantees 4 and 8: a stream goes on, in order and without loss or repetition, while its subscriber goes from node to node.
func TestStreamFollowsSession(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				const messages = 600
				sub := connect(t, c, 0, "x", expiry(600))
				sub.subscribe(2, "s")
				pub := connect(t, c, 2, "pub", clean)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for _, p := range numbered(messages) {
						pub.post("s", p, qos, false)
						time.Sleep(time.Millisecond) // virtual: spreads the stream over the moves
					}
				}()
				moves, repeated := 0, 0
				for next := 0; next < messages; {
					m := sub.receive()
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
						sub.drop()
						sub = connect(t, c, moves%3, "x", expiry(600))
						require.True(t, sub.ack.SessionPresent)
					}
				}
				<-done
				require.LessOrEqual(t, repeated, moves*50)
				sub.silent(time.Second)
			})
		})
	}
}

// Guarantee 4: QoS 2 towards the broker stays exactly once when the publisher changes nodes between PUBLISH and PUBREL.
func TestPublisherMovesMidQoS2(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 2, "sub", clean)
		sub.subscribe(2, "t")
		pub := connect(t, c, 0, "pub", expiry(600))
		m := &packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")}
		pub.send(m)
		require.Equal(t, packets.Success, expect[*packets.PubRec](pub).ReasonCode)
		pub.drop()
		pub = connect(t, c, 1, "pub", expiry(600))
		require.True(t, pub.ack.SessionPresent)
		m.Dup = true
		pub.send(m)
		require.Equal(t, packets.Success, expect[*packets.PubRec](pub).ReasonCode)
		pub.send(&packets.PubRel{PacketID: 7})
		require.Equal(t, packets.Success, expect[*packets.PubComp](pub).ReasonCode)
		require.Equal(t, "once", string(sub.receive().Payload))
		sub.silent(time.Second)
	})
}

// Guarantee 4: Clean Start on another node ends the session there was.
func TestCleanStartElsewhere(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "x", expiry(600))
		sub.subscribe(1, "t")
		sub.drop()
		sub = connect(t, c, 1, "x", clean, expiry(600))
		require.False(t, sub.ack.SessionPresent)
		pub := connect(t, c, 2, "pub", clean)
		require.Equal(t, packets.NoMatchingSubscribers, awaitCode(pub, "t", packets.NoMatchingSubscribers))
		sub.silent(time.Second)
	})
}

// awaitCode publishes QoS 1 until the acknowledgement has the code, for a while: routes that are no longer needed go in the background.
func awaitCode(pub *client, topic string, want packets.ReasonCode) (code packets.ReasonCode) {
	for range 50 {
		if code = pub.post(topic, "x", 1, false); code == want {
			return code
		}
		time.Sleep(100 * time.Millisecond)
	}
	return code
}

// Guarantee 6, C9: retained messages are the same everywhere, as soon as they are acknowledged; clearing clears everywhere.
func TestRetainedEverywhere(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		pubs := []*client{connect(t, c, 0, "p0", clean), connect(t, c, 1, "p1", clean), connect(t, c, 2, "p2", clean)}
		for i := range 30 {
			topic, payload := fmt.Sprintf("r/%d", i%4), fmt.Sprint(i)
			pubs[i%3].post(topic, payload, packets.QoS(1+i%2), true)
			sub := connect(t, c, (i+1)%3, "sub", clean)
			sub.subscribe(1, topic)
			m := sub.receive()
			require.Equal(t, payload, string(m.Payload))
			require.True(t, m.Retain)
			sub.leave()
		}
		pubs[1].post("r/0", "", 1, true)
		for i := range 3 {
			sub := connect(t, c, i, "sub", clean)
			sub.subscribe(1, "r/0")
			sub.silent(time.Second)
			list, err := c.Node(i).Broker().Retained("r/#")
			require.NoError(t, err)
			require.Len(t, list, 3)
		}
	})
}

// C9: a message that expires takes no newer one with it.
func TestRetainedExpiry(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
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
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				members := make([]*client, 3)
				for i := range members {
					members[i] = connect(t, c, i, fmt.Sprint("m", i), clean)
					members[i].subscribe(2, "$share/g/s/#")
				}
				all := connect(t, c, 0, "all", clean)
				all.subscribe(2, "s/#") // an ordinary subscription beside the group gets everything
				for i := range 3 {
					pub := connect(t, c, i, fmt.Sprint("pub", i), clean)
					for _, p := range numbered(20) {
						pub.post(fmt.Sprint("s/", i), p, qos, false)
					}
				}
				for range 60 {
					all.receive()
				}
				var got []string
				for _, m := range members {
					for len(got) < 60 {
						p, err := m.read(time.Second)
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
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				first := connect(t, c, 1, "first", clean)
				first.subscribe(1, "$share/g/s")
				pub := connect(t, c, 0, "pub", clean)
				for _, p := range numbered(10) {
					pub.post("s", p, 1, false)
				}
				for range 10 {
					first.publish() // and no acknowledgement
				}
				second := connect(t, c, 2, "second", clean)
				second.subscribe(1, "$share/g/s")
				if how == "member leaves" {
					first.drop()
					for _, want := range numbered(10) {
						require.Equal(t, want, string(second.receive().Payload))
					}
				} else {
					c.Kill(1)
				}
				require.Equal(t, packets.Success, awaitCode(pub, "s", packets.Success))
				require.Equal(t, "x", string(second.receive().Payload))
				second.silent(time.Second)
			})
		})
	}
}

// Guarantee 8, C8: the order of a publisher holds across nodes.
func TestOrderAcrossNodes(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 1, "sub", clean)
		sub.subscribe(2, "o/#")
		pub := connect(t, c, 0, "pub", clean)
		const n = 2000
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i, p := range numbered(n) {
				m := &packets.Publish{TopicName: "o/1", Payload: []byte(p), QoS: packets.QoS(i % 2)}
				if m.QoS > 0 {
					m.PacketID = uint16(i + 1)
				}
				b, _ := packets.Append(nil, m, packets.V5)
				_, _ = pub.conn.Write(b)
				if m.QoS > 0 {
					expect[*packets.PubAck](pub)
				}
			}
		}()
		var got [2][]string
		for range n {
			p := sub.receive()
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
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Partition([]int{0, 1}, []int{2})
		refused := dial(t, c, 2)
		time.Sleep(5 * time.Second)
		refused.sendConnect("late", clean)
		p, err := refused.read(time.Minute)
		if err == nil {
			require.True(t, p.(*packets.ConnAck).ReasonCode.IsError())
		}
		sub := connect(t, c, 0, "sub", clean)
		sub.subscribe(1, "t")
		c.Heal()
		c.AwaitServing(2)
		pub := connect(t, c, 2, "pub", clean)
		require.Equal(t, packets.Success, pub.post("t", "x", 1, false))
		require.Equal(t, "x", string(sub.receive().Payload))
	})
}

// Guarantee 11: what is dropped is told, with a reason.
func TestDropsAreTold(t *testing.T) {
	drops := make(chan shoal.DroppedEvent, 100)
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 1, "x", expiry(600))
		sub.subscribe(1, "t")
		sub.drop()
		pub := connect(t, c, 0, "pub", clean)
		for range 5 {
			pub.post("t", "m", 1, false)
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
