package clustertest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// These tests hold that a QoS 2 message of a publisher whose session lasts arrives exactly once, whenever the publisher's node is lost
// (guarantees 4 and 5, [MQTT-4.3.3-10]).

// roles are the nodes of a test, so that the loss of one is not the loss of the leader.
type roles struct{ publisher, other, leader int }

func rolesOf(t *testing.T, c *clustertest.Cluster) (r roles) {
	t.Helper()
	r = roles{-1, -1, -1}
	for i := range c.Nodes() {
		switch {
		case c.Node(i).Name == c.Node(0).Status().Leader:
			r.leader = i
		case r.publisher < 0:
			r.publisher = i
		case r.other < 0:
			r.other = i
		}
	}
	require.GreaterOrEqual(t, r.leader, 0)
	return r
}

// slow is what the network takes for what comes back to the publisher's node. It is longer than the tests need to kill it.
const slow = 700 * time.Millisecond

// delay slows down what goes from some nodes to one, once nothing is on its way.
func delay(c *clustertest.Cluster, to int, from ...int) {
	time.Sleep(200 * time.Millisecond)
	for _, i := range from {
		c.Network().SetDelay(c.Node(i).Name, c.Node(to).Name, slow)
	}
}

// exchange is a QoS 2 message as its publisher sends it again and again.
type exchange struct {
	p      *packets.Publish
	client string
}

func begin(pub *client, id, topic string) *exchange {
	x := &exchange{&packets.Publish{TopicName: topic, QoS: 2, PacketID: 7, Payload: []byte("once")}, id}
	pub.send(x.p)
	return x
}

// again goes on with the exchange on another node, up to the end if that is asked for.
func (x *exchange) again(t *testing.T, c *clustertest.Cluster, node int, whole bool) *client {
	t.Helper()
	pub := connect(t, c, node, x.client, expiry(600))
	require.True(t, pub.ack.SessionPresent)
	x.p.Dup = true
	pub.send(x.p)
	if whole {
		x.finish(pub)
	}
	return pub
}

func (x *exchange) finish(pub *client) {
	pub.t.Helper()
	rec := expect[*packets.PubRec](pub)
	require.Equal(pub.t, x.p.PacketID, rec.PacketID)
	require.False(pub.t, rec.ReasonCode.IsError(), "%s", rec.ReasonCode)
	pub.send(&packets.PubRel{PacketID: x.p.PacketID})
	require.Equal(pub.t, packets.Success, expect[*packets.PubComp](pub).ReasonCode)
}

// once receives the message, and nothing else for a while.
func once(s *client) {
	s.t.Helper()
	require.Equal(s.t, "once", string(s.receive().Payload))
	s.silent(time.Second)
}

// The publisher's node is lost before anybody has heard of the message, which comes by another node then, to everybody.
func TestPublisherLostBeforeRouting(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		guest, lasting := connect(t, c, r.other, "guest", clean), connect(t, c, r.publisher, "lasting", expiry(600))
		guest.subscribe(2, "t")
		lasting.subscribe(2, "t")
		pub := connect(t, c, r.publisher, "pub", expiry(600))
		c.Partition([]int{r.publisher}, []int{r.other, r.leader})
		x := begin(pub, "pub", "t")
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.publisher)
		c.Heal()
		x.again(t, c, r.other, true)
		once(guest)
		once(connect(t, c, r.leader, "lasting", expiry(600)))
	})
}

// The publisher's node could have told all that it has the message, but not yet hand it to a subscriber's node: nobody may take it for published.
func TestPublisherLostWhileRouting(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		guest, near := connect(t, c, r.other, "guest", clean), connect(t, c, r.leader, "near", clean)
		guest.subscribe(2, "t")
		near.subscribe(2, "t")
		pub := connect(t, c, r.publisher, "pub", expiry(600))
		delay(c, r.other, r.publisher)
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(near.receive().Payload))
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.publisher)
		x.again(t, c, r.leader, true)
		once(guest)
		near.silent(time.Second)
	})
}

// Others have the message, and the publisher's node is lost before it knows that they do. The publisher goes on at each of the survivors.
func TestPublisherLostAfterRouting(t *testing.T) {
	for _, at := range []string{"other", "leader"} {
		for _, moves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/subscriber moves %t", at, moves), func(t *testing.T) {
				both(t, func(t *testing.T, c *clustertest.Cluster) {
					r := rolesOf(t, c)
					to := map[string]int{"other": r.other, "leader": r.leader}[at]
					guest, low := connect(t, c, r.other, "guest", clean), connect(t, c, r.other, "low", clean)
					guest.subscribe(2, "t")
					low.subscribe(0, "t")
					lasting, away := connect(t, c, r.other, "lasting", expiry(600)), connect(t, c, r.other, "away", expiry(600))
					lasting.subscribe(2, "t")
					away.subscribe(2, "t")
					away.leave()
					least := connect(t, c, r.other, "least", expiry(600))
					least.subscribe(1, "t")
					local, err := c.Node(r.other).Broker().Subscribe(t.Context(), []string{"t"}, shoal.SubscribeOptions{QoS: 2})
					require.NoError(t, err)
					defer func() { require.NoError(t, local.Close()) }()
					pub := connect(t, c, r.publisher, "pub", expiry(600))
					delay(c, r.publisher, r.other, r.leader)
					x := begin(pub, "pub", "t")
					require.Equal(t, "once", string(guest.receive().Payload))
					require.Equal(t, "once", string(low.receive().Payload))
					require.Equal(t, "once", string(lasting.receive().Payload)) // and acknowledges it: nothing of it is left in the session
					require.Equal(t, "once", string(least.receive().Payload))   // perhaps before any other node has heard of it
					_, err = local.Next(t.Context())
					require.NoError(t, err)
					c.Kill(r.publisher)
					if moves {
						lasting, least = connect(t, c, r.leader, "lasting", expiry(600)), connect(t, c, r.leader, "least", expiry(600))
						require.True(t, lasting.ack.SessionPresent)
						require.True(t, least.ack.SessionPresent)
					}
					x.again(t, c, to, true)
					for _, s := range []*client{guest, low, lasting, least} {
						s.silent(time.Second)
					}
					once(connect(t, c, r.leader, "away", expiry(600)))
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
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				r := rolesOf(t, c)
				lasting, guest := connect(t, c, r.publisher, "lasting", expiry(600)), connect(t, c, r.other, "guest", clean)
				lasting.subscribe(2, "t")
				guest.subscribe(2, "t")
				pub := connect(t, c, r.publisher, "pub", expiry(600))
				delay(c, r.publisher, r.other)
				x := begin(pub, "pub", "t")
				require.Equal(t, "once", string(guest.receive().Payload))
				if taken {
					require.Equal(t, "once", string(lasting.receive().Payload))
				} else {
					lasting.publish()
				}
				c.Kill(r.publisher)
				x.again(t, c, r.other, true)
				guest.silent(time.Second)
				lasting = connect(t, c, r.leader, "lasting", expiry(600))
				require.True(t, lasting.ack.SessionPresent)
				if !taken {
					require.Equal(t, "once", string(lasting.receive().Payload)) // the one that was in flight
				}
				lasting.silent(time.Second)
			})
		})
	}
}

// The node where the publisher goes on is lost, too, before it has answered: the third goes on from there.
func TestPublishersHeirLost(t *testing.T) {
	bothOf(t, 5, func(t *testing.T, c *clustertest.Cluster) {
		first, second := rolesOf(t, c).publisher, rolesOf(t, c).other
		var rest []int
		for i := range 5 {
			if i != first && i != second {
				rest = append(rest, i)
			}
		}
		guest, lasting := connect(t, c, rest[0], "guest", clean), connect(t, c, rest[1], "lasting", expiry(600))
		guest.subscribe(2, "t")
		lasting.subscribe(2, "t")
		pub := connect(t, c, first, "pub", expiry(600))
		delay(c, first, second, rest[0], rest[1], rest[2])
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(guest.receive().Payload))
		require.Equal(t, "once", string(lasting.receive().Payload))
		c.Kill(first)
		heir := connect(t, c, second, "pub", expiry(600))
		require.True(t, heir.ack.SessionPresent)
		delay(c, second, rest...)
		x.p.Dup = true
		heir.send(x.p)
		time.Sleep(100 * time.Millisecond)
		c.Kill(second)
		x.again(t, c, rest[2], true)
		guest.silent(time.Second)
		lasting.silent(time.Second)
	})
}

// The publisher's node and the subscriber's are lost at the same time, whatever the subscriber had of the message by then.
func TestPublisherAndSubscriberLost(t *testing.T) {
	for _, has := range []string{"nothing", "the message", "completed it"} {
		t.Run(has, func(t *testing.T) {
			bothOf(t, 5, func(t *testing.T, c *clustertest.Cluster) {
				r := rolesOf(t, c)
				lasting, watch := connect(t, c, r.other, "lasting", expiry(600)), connect(t, c, r.leader, "watch", clean)
				lasting.subscribe(2, "t")
				watch.subscribe(2, "t")
				pub := connect(t, c, r.publisher, "pub", expiry(600))
				for i := range 5 {
					if i != r.publisher {
						delay(c, r.publisher, i)
					}
				}
				if has == "nothing" {
					c.Network().Cut(c.Node(r.publisher).Name, c.Node(r.other).Name)
				}
				x := begin(pub, "pub", "t")
				require.Equal(t, "once", string(watch.receive().Payload))
				switch has {
				case "the message":
					lasting.publish()
				case "completed it":
					require.Equal(t, "once", string(lasting.receive().Payload))
				}
				c.Kill(r.publisher)
				c.Kill(r.other)
				c.Heal()
				x.again(t, c, r.leader, true)
				watch.silent(time.Second)
				lasting = connect(t, c, r.leader, "lasting", expiry(600))
				require.True(t, lasting.ack.SessionPresent)
				if has != "completed it" {
					require.Equal(t, "once", string(lasting.receive().Payload))
				}
				lasting.silent(time.Second)
			})
		})
	}
}

// A shared group has the message once, also when it comes again by another node, which would choose another member [MQTT-4.8.2-4].
func TestPublisherLostWithGroup(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		for round := range 4 { // the choice is by chance
			t.Run(fmt.Sprintf("members last %t/%d", lasts, round), func(t *testing.T) {
				both(t, func(t *testing.T, c *clustertest.Cluster) {
					r := rolesOf(t, c)
					var members []*client
					for i, node := range []int{r.other, r.leader} {
						how := clean
						if lasts {
							how = expiry(600)
						}
						m := connect(t, c, node, fmt.Sprint("member", i), how)
						m.subscribe(2, "$share/g/t")
						members = append(members, m)
					}
					pub := connect(t, c, r.publisher, "pub", expiry(600))
					delay(c, r.publisher, r.other, r.leader)
					x := begin(pub, "pub", "t")
					time.Sleep(100 * time.Millisecond)
					c.Kill(r.publisher)
					x.again(t, c, []int{r.other, r.leader}[round%2], true)
					got := 0
					for _, m := range members {
						if p, err := m.read(time.Second); err == nil {
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
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		pub, other := connect(t, c, r.publisher, "pub", expiry(600)), connect(t, c, r.other, "second", clean)
		delay(c, r.publisher, r.other, r.leader)
		x := &exchange{&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Retain: true, Payload: []byte("first")}, "pub"}
		pub.send(x.p)
		time.Sleep(50 * time.Millisecond)
		require.Equal(t, packets.NoMatchingSubscribers, other.post("t", "second", 1, true))
		c.Kill(r.publisher)
		x.again(t, c, r.leader, true)
		sub := connect(t, c, r.other, "sub", clean)
		sub.subscribe(1, "t")
		require.Equal(t, "second", string(sub.receive().Payload))
	})
}

// The publisher changes nodes, without a loss, while its message is still on its way, for longer than anything else waits.
func TestPublisherMovesWhileMessageTravels(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		guest := connect(t, c, r.other, "guest", clean)
		guest.subscribe(2, "t")
		pub := connect(t, c, r.publisher, "pub", expiry(600))
		c.Network().SetDelay(c.Node(r.publisher).Name, c.Node(r.other).Name, 3*time.Second)
		x := begin(pub, "pub", "t")
		time.Sleep(50 * time.Millisecond)
		x.again(t, c, r.leader, true)
		require.Equal(t, "once", string(guest.receive().Payload))
		guest.silent(10 * time.Second)
	})
}

// What comes with a packet identifier that was used before is another message, also when its first transmission was lost, and nobody takes
// it for a repetition.
func TestIdentifierUsedAgain(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		guest, lasting := connect(t, c, r.other, "guest", clean), connect(t, c, r.other, "lasting", expiry(600))
		guest.subscribe(2, "t")
		lasting.subscribe(2, "t")
		pub := connect(t, c, r.publisher, "pub", expiry(600))
		delay(c, r.publisher, r.other, r.leader)
		x := begin(pub, "pub", "t")
		require.Equal(t, "once", string(guest.receive().Payload))
		c.Kill(r.publisher)
		pub = x.again(t, c, r.other, true)
		for i := range 3 {
			x.p.Dup, x.p.Payload = false, fmt.Append(nil, i)
			pub.send(x.p)
			x.finish(pub)
			require.Equal(t, fmt.Sprint(i), string(guest.receive().Payload))
			pub.drop() // before what comes next has left
			x.p.Payload = fmt.Append(nil, "lost on the way ", i)
			pub = x.again(t, c, []int{r.leader, r.other}[i%2], true)
			require.Equal(t, string(x.p.Payload), string(guest.receive().Payload))
		}
		guest.silent(time.Second)
		for _, want := range []string{"once", "0", "lost on the way 0", "1", "lost on the way 1", "2", "lost on the way 2"} {
			require.Equal(t, want, string(lasting.receive().Payload))
		}
		lasting.silent(time.Second)
	})
}

// A session that moves with a message whose exchange is over brings that not back to mind: what its publisher sends with the identifier later, and sends
// again after the loss of its node, is another message.
func TestIdentifierUsedAgainAfterMove(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		r := rolesOf(t, c)
		lasting := connect(t, c, r.other, "lasting", expiry(600))
		lasting.subscribe(2, "t")
		pub := connect(t, c, r.publisher, "pub", expiry(600))
		x := begin(pub, "pub", "t")
		x.finish(pub)
		require.Equal(t, "once", string(lasting.publish().Payload)) // and does not acknowledge it
		lasting = connect(t, c, r.leader, "lasting", expiry(600))
		require.True(t, lasting.ack.SessionPresent)
		require.Equal(t, "once", string(lasting.publish().Payload))
		time.Sleep(time.Second)

		x.p.Payload = []byte("another")
		c.Partition([]int{r.publisher}, []int{r.other, r.leader})
		pub.send(x.p)
		time.Sleep(100 * time.Millisecond)
		c.Kill(r.publisher)
		c.Heal()
		x.again(t, c, r.other, true)
		require.Equal(t, "another", string(lasting.receive().Payload))
	})
}

// The same after the loss of all nodes, whose agreed order was in memory, when the one that then had all sessions from the store is lost, too.
func TestIdentifierUsedAgainAfterColdStart(t *testing.T) {
	for _, node := range []int{1, 2} { // one of which inherits the session
		t.Run(fmt.Sprint("publisher at ", node), func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
				lasting := connect(t, c, 0, "lasting", expiry(36000))
				lasting.subscribe(2, "t")
				lasting.leave()
				pub := connect(t, c, 1, "pub", expiry(36000))
				x := begin(pub, "pub", "t")
				x.finish(pub)
				restartAll(c)
				c.Kill(0)
				pub = connect(t, c, node, "pub", expiry(36000))
				require.True(t, pub.ack.SessionPresent)
				c.StartAgain(0)
				c.AwaitServing(0)

				x.p.Payload = []byte("another")
				c.Partition([]int{node}, []int{0, 3 - node})
				pub.send(x.p)
				time.Sleep(100 * time.Millisecond)
				c.Kill(node)
				c.Heal()
				x.again(t, c, 0, true)
				lasting = connect(t, c, 0, "lasting", expiry(36000))
				require.True(t, lasting.ack.SessionPresent)
				require.Equal(t, "once", string(lasting.receive().Payload))
				require.Equal(t, "another", string(lasting.receive().Payload))
			})
		})
	}
}
