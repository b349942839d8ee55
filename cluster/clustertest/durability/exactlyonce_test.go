package durability_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// These tests hold that a QoS 2 message of a publisher whose session lasts arrives exactly once, whenever the publisher's node is lost
// (guarantees 4 and 5, [MQTT-4.3.3-10]).

// exchange is a QoS 2 message as its publisher sends it again and again.
type exchange struct {
	p      *packets.Publish
	client string
}

func begin(pub *mqtt.Client, id, topic string) *exchange {
	x := &exchange{&packets.Publish{TopicName: topic, QoS: 2, PacketID: 7, Payload: []byte("once")}, id}
	pub.Send(x.p)
	return x
}

// again goes on with the exchange on another node, up to the end if that is asked for.
func (x *exchange) again(t *testing.T, c *clustertest.Cluster, node int, whole bool) *mqtt.Client {
	t.Helper()
	pub := mqtt.Connect(t, c, node, x.client, mqtt.Expiry(600))
	require.True(t, pub.Ack.SessionPresent)
	x.p.Dup = true
	pub.Send(x.p)
	if whole {
		x.finish(pub)
	}
	return pub
}

func (x *exchange) finish(pub *mqtt.Client) {
	pub.T.Helper()
	rec := mqtt.Expect[*packets.PubRec](pub)
	require.Equal(pub.T, x.p.PacketID, rec.PacketID)
	require.False(pub.T, rec.ReasonCode.IsError(), "%s", rec.ReasonCode)
	pub.Send(&packets.PubRel{PacketID: x.p.PacketID})
	require.Equal(pub.T, packets.Success, mqtt.Expect[*packets.PubComp](pub).ReasonCode)
}

// The publisher's node is lost before anybody has heard of the message, which comes by another node then, to everybody.
func TestPublisherLostBeforeRouting(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		guest, lasting := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean), mqtt.Connect(t, c, r.Publisher, "lasting", mqtt.Expiry(600))
		guest.Subscribe(2, "t")
		lasting.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
		c.Partition([]int{r.Publisher}, []int{r.Other, r.Leader})
		x := begin(pub, "pub", "t")
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.Publisher)
		c.Heal()
		x.again(t, c, r.Other, true)
		mqtt.Once(guest)
		mqtt.Once(mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600)))
	})
}

// The publisher's node could have told all that it has the message, but not yet hand it to a subscriber's node: nobody may take it for published.
func TestPublisherLostWhileRouting(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		guest, near := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean), mqtt.Connect(t, c, r.Leader, "near", mqtt.Clean)
		guest.Subscribe(2, "t")
		near.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
		bubble.Delay(c, r.Other, r.Publisher)
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(near.Receive().Payload))
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.Publisher)
		x.again(t, c, r.Leader, true)
		mqtt.Once(guest)
		near.Silent(time.Second)
	})
}

// Others have the message, and the publisher's node is lost before it knows that they do. The publisher goes on at each of the survivors.
func TestPublisherLostAfterRouting(t *testing.T) {
	for _, at := range []string{"other", "leader"} {
		for _, moves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/subscriber moves %t", at, moves), func(t *testing.T) {
				bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
					r := bubble.RolesOf(t, c)
					to := map[string]int{"other": r.Other, "leader": r.Leader}[at]
					guest, low := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean), mqtt.Connect(t, c, r.Other, "low", mqtt.Clean)
					guest.Subscribe(2, "t")
					low.Subscribe(0, "t")
					lasting, away := mqtt.Connect(t, c, r.Other, "lasting", mqtt.Expiry(600)), mqtt.Connect(t, c, r.Other, "away", mqtt.Expiry(600))
					lasting.Subscribe(2, "t")
					away.Subscribe(2, "t")
					away.Leave()
					least := mqtt.Connect(t, c, r.Other, "least", mqtt.Expiry(600))
					least.Subscribe(1, "t")
					local, err := c.Node(r.Other).Broker().Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{QoS: 2})
					require.NoError(t, err)
					defer func() { require.NoError(t, local.Close()) }()
					pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
					bubble.Delay(c, r.Publisher, r.Other, r.Leader)
					x := begin(pub, "pub", "t")
					require.Equal(t, "once", string(guest.Receive().Payload))
					require.Equal(t, "once", string(low.Receive().Payload))
					require.Equal(t, "once", string(lasting.Receive().Payload)) // and acknowledges it: nothing of it is left in the session
					require.Equal(t, "once", string(least.Receive().Payload))   // perhaps before any other node has heard of it
					_, err = local.Next(t.Context())
					require.NoError(t, err)
					c.Kill(r.Publisher)
					if moves {
						lasting, least = mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600)), mqtt.Connect(t, c, r.Leader, "least", mqtt.Expiry(600))
						require.True(t, lasting.Ack.SessionPresent)
						require.True(t, least.Ack.SessionPresent)
					}
					x.again(t, c, to, true)
					for _, s := range []*mqtt.Client{guest, low, lasting, least} {
						s.Silent(time.Second)
					}
					mqtt.Once(mqtt.Connect(t, c, r.Leader, "away", mqtt.Expiry(600)))
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, err = local.Next(ctx)
					require.ErrorIs(t, err, context.DeadlineExceeded)
				})
			})
		}
	}
}

// Sessions on the publisher's own node have the message, as all nodes know; another node has it, and the publisher's does not know that.
func TestPublisherLostWithSubscribers(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprintf("taken %t", taken), func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				r := bubble.RolesOf(t, c)
				lasting, guest := mqtt.Connect(t, c, r.Publisher, "lasting", mqtt.Expiry(600)), mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean)
				lasting.Subscribe(2, "t")
				guest.Subscribe(2, "t")
				pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
				bubble.Delay(c, r.Publisher, r.Other)
				x := begin(pub, "pub", "t")
				require.Equal(t, "once", string(guest.Receive().Payload))
				if taken {
					require.Equal(t, "once", string(lasting.Receive().Payload))
				} else {
					lasting.Next()
				}
				c.Kill(r.Publisher)
				x.again(t, c, r.Other, true)
				guest.Silent(time.Second)
				lasting = mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600))
				require.True(t, lasting.Ack.SessionPresent)
				if !taken {
					require.Equal(t, "once", string(lasting.Receive().Payload)) // the one that was in flight
				}
				lasting.Silent(time.Second)
			})
		})
	}
}

// The node where the publisher goes on is lost, too, before it has answered: the third goes on from there.
func TestPublishersHeirLost(t *testing.T) {
	bubble.BothOf(t, 5, func(t *testing.T, c *clustertest.Cluster) {
		first, second := bubble.RolesOf(t, c).Publisher, bubble.RolesOf(t, c).Other
		var rest []int
		for i := range 5 {
			if i != first && i != second {
				rest = append(rest, i)
			}
		}
		guest, lasting := mqtt.Connect(t, c, rest[0], "guest", mqtt.Clean), mqtt.Connect(t, c, rest[1], "lasting", mqtt.Expiry(600))
		guest.Subscribe(2, "t")
		lasting.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, first, "pub", mqtt.Expiry(600))
		bubble.Delay(c, first, second, rest[0], rest[1], rest[2])
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(guest.Receive().Payload))
		require.Equal(t, "once", string(lasting.Receive().Payload))
		c.Kill(first)
		heir := mqtt.Connect(t, c, second, "pub", mqtt.Expiry(600))
		require.True(t, heir.Ack.SessionPresent)
		bubble.Delay(c, second, rest...)
		x.p.Dup = true
		heir.Send(x.p)
		time.Sleep(100 * time.Millisecond)
		c.Kill(second)
		x.again(t, c, rest[2], true)
		guest.Silent(time.Second)
		lasting.Silent(time.Second)
	})
}

// The publisher's node and the subscriber's are lost at the same time, whatever the subscriber had of the message by then.
func TestPublisherAndSubscriberLost(t *testing.T) {
	for _, has := range []string{"nothing", "the message", "completed it"} {
		t.Run(has, func(t *testing.T) {
			bubble.BothOf(t, 5, func(t *testing.T, c *clustertest.Cluster) {
				r := bubble.RolesOf(t, c)
				lasting, watch := mqtt.Connect(t, c, r.Other, "lasting", mqtt.Expiry(600)), mqtt.Connect(t, c, r.Leader, "watch", mqtt.Clean)
				lasting.Subscribe(2, "t")
				watch.Subscribe(2, "t")
				pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
				for i := range 5 {
					if i != r.Publisher {
						bubble.Delay(c, r.Publisher, i)
					}
				}
				if has == "nothing" {
					c.Network().Cut(c.Node(r.Publisher).Name, c.Node(r.Other).Name)
				}
				x := begin(pub, "pub", "t")
				require.Equal(t, "once", string(watch.Receive().Payload))
				switch has {
				case "the message":
					lasting.Next()
				case "completed it":
					require.Equal(t, "once", string(lasting.Receive().Payload))
				}
				c.Kill(r.Publisher)
				c.Kill(r.Other)
				c.Heal()
				x.again(t, c, r.Leader, true)
				watch.Silent(time.Second)
				lasting = mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600))
				require.True(t, lasting.Ack.SessionPresent)
				if has != "completed it" {
					require.Equal(t, "once", string(lasting.Receive().Payload))
				}
				lasting.Silent(time.Second)
			})
		})
	}
}

// A shared group has the message once, also when it comes again by another node, which would choose another member [MQTT-4.8.2-4].
func TestPublisherLostWithGroup(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		for round := range 4 { // the choice is by chance
			t.Run(fmt.Sprintf("members last %t/%d", lasts, round), func(t *testing.T) {
				bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
					r := bubble.RolesOf(t, c)
					var members []*mqtt.Client
					for i, node := range []int{r.Other, r.Leader} {
						how := mqtt.Clean
						if lasts {
							how = mqtt.Expiry(600)
						}
						m := mqtt.Connect(t, c, node, fmt.Sprint("member", i), how)
						m.Subscribe(2, "$share/g/t")
						members = append(members, m)
					}
					pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
					bubble.Delay(c, r.Publisher, r.Other, r.Leader)
					x := begin(pub, "pub", "t")
					time.Sleep(100 * time.Millisecond)
					c.Kill(r.Publisher)
					x.again(t, c, []int{r.Other, r.Leader}[round%2], true)
					got := 0
					for _, m := range members {
						if p, err := m.Read(time.Second); err == nil {
							require.IsType(t, &packets.Publish{}, p)
							got++
						}
					}
					require.Equal(t, 1, got, "members that had the message")
				})
			})
		}
	}
}

// A retained message that comes again does not take the place of one that came after it.
func TestRepetitionIsNotRetained(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		pub, other := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600)), mqtt.Connect(t, c, r.Other, "second", mqtt.Clean)
		bubble.Delay(c, r.Publisher, r.Other, r.Leader)
		x := &exchange{&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Retain: true, Payload: []byte("first")}, "pub"}
		pub.Send(x.p)
		time.Sleep(50 * time.Millisecond)
		require.Equal(t, packets.NoMatchingSubscribers, other.Post("t", "second", 1, true))
		c.Kill(r.Publisher)
		x.again(t, c, r.Leader, true)
		sub := mqtt.Connect(t, c, r.Other, "sub", mqtt.Clean)
		sub.Subscribe(1, "t")
		require.Equal(t, "second", string(sub.Receive().Payload))
	})
}

// The publisher changes nodes, without a loss, while its message is still on its way, for longer than anything else waits.
func TestPublisherMovesWhileMessageTravels(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		guest := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean)
		guest.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
		c.Network().SetDelay(c.Node(r.Publisher).Name, c.Node(r.Other).Name, 3*time.Second)
		x := begin(pub, "pub", "t")
		time.Sleep(50 * time.Millisecond)
		x.again(t, c, r.Leader, true)
		require.Equal(t, "once", string(guest.Receive().Payload))
		guest.Silent(10 * time.Second)
	})
}

// What comes with a packet identifier that was used before is another message, also when its first transmission was lost, and nobody takes
// it for a repetition.
func TestIdentifierUsedAgain(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		guest, lasting := mqtt.Connect(t, c, r.Other, "guest", mqtt.Clean), mqtt.Connect(t, c, r.Other, "lasting", mqtt.Expiry(600))
		guest.Subscribe(2, "t")
		lasting.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
		bubble.Delay(c, r.Publisher, r.Other, r.Leader)
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(guest.Receive().Payload))
		c.Kill(r.Publisher)
		pub = x.again(t, c, r.Other, true)
		for i := range 3 {
			x.p.Dup, x.p.Payload = false, fmt.Append(nil, i)
			pub.Send(x.p)
			x.finish(pub)
			require.Equal(t, fmt.Sprint(i), string(guest.Receive().Payload))
			pub.Drop() // before what comes next has left
			x.p.Payload = fmt.Append(nil, "lost on the way ", i)
			pub = x.again(t, c, []int{r.Leader, r.Other}[i%2], true)
			require.Equal(t, string(x.p.Payload), string(guest.Receive().Payload))
		}
		guest.Silent(time.Second)
		for _, want := range []string{"once", "0", "lost on the way 0", "1", "lost on the way 1", "2", "lost on the way 2"} {
			require.Equal(t, want, string(lasting.Receive().Payload))
		}
		lasting.Silent(time.Second)
	})
}

// A session that moves with a message whose exchange is over brings that not back to mind: what its publisher sends with the identifier later, and sends
// again after the loss of its node, is another message.
func TestIdentifierUsedAgainAfterMove(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := bubble.RolesOf(t, c)
		lasting := mqtt.Connect(t, c, r.Other, "lasting", mqtt.Expiry(600))
		lasting.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, r.Publisher, "pub", mqtt.Expiry(600))
		x := begin(pub, "pub", "t")
		x.finish(pub)
		require.Equal(t, "once", string(lasting.Next().Payload)) // and does not acknowledge it
		lasting = mqtt.Connect(t, c, r.Leader, "lasting", mqtt.Expiry(600))
		require.True(t, lasting.Ack.SessionPresent)
		require.Equal(t, "once", string(lasting.Next().Payload))
		time.Sleep(time.Second)

		x.p.Payload = []byte("another")
		c.Partition([]int{r.Publisher}, []int{r.Other, r.Leader})
		pub.Send(x.p)
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.Publisher)
		c.Heal()
		x.again(t, c, r.Other, true)
		require.Equal(t, "another", string(lasting.Receive().Payload))
	})
}

// The same after the loss of all nodes, whose agreed order was in memory, when the one that then had all sessions from the store is lost, too.
func TestIdentifierUsedAgainAfterColdStart(t *testing.T) {
	for _, node := range []int{1, 2} { // one of which inherits the session
		t.Run(fmt.Sprint("publisher at ", node), func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
				lasting := mqtt.Connect(t, c, 0, "lasting", mqtt.Expiry(36000))
				lasting.Subscribe(2, "t")
				lasting.Leave()
				pub := mqtt.Connect(t, c, 1, "pub", mqtt.Expiry(36000))
				x := begin(pub, "pub", "t")
				x.finish(pub)
				restartAll(c)
				c.Kill(0)
				pub = mqtt.Connect(t, c, node, "pub", mqtt.Expiry(36000))
				require.True(t, pub.Ack.SessionPresent)
				c.StartAgain(0)
				c.AwaitServing(0)

				x.p.Payload = []byte("another")
				c.Partition([]int{node}, []int{0, 3 - node})
				pub.Send(x.p)
				time.Sleep(100 * time.Millisecond)
				c.Kill(node)
				c.Heal()
				x.again(t, c, 0, true)
				lasting = mqtt.Connect(t, c, 0, "lasting", mqtt.Expiry(36000))
				require.True(t, lasting.Ack.SessionPresent)
				require.Equal(t, "once", string(lasting.Receive().Payload))
				require.Equal(t, "another", string(lasting.Receive().Payload))
			})
		})
	}
}
