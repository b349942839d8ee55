package durability_test

import (
	"errors"
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

// What is here concerns clusters whose nodes share a store. That sessions move and survive there, too, is held by the tests that use both.

// withStore runs a test against a cluster of three whose nodes share a store.
func withStore(t *testing.T, fn func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage), opts ...clustertest.Option) {
	t.Helper()
	s := clustertest.NewSharedStorage()
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) { fn(t, c, s) }, append(opts, clustertest.WithSharedStorage(s))...)
}

func restartAll(c *clustertest.Cluster) {
	for i := range c.Nodes() {
		c.Kill(i)
	}
	for i := range c.Nodes() {
		c.StartAgain(i)
	}
	for i := range c.Nodes() {
		c.AwaitServing(i)
	}
}

// Guarantees 5 and 6, C14: a cluster whose nodes keep nothing but what the store has begins with all of it, again and again: sessions are where their clients
// come to, their subscriptions match before, and retained messages and bans are the same everywhere.
func TestColdStart(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
		const clients = 4
		for i := range clients {
			s := mqtt.Connect(t, c, i%3, fmt.Sprint("s", i), mqtt.Clean, mqtt.Expiry(36000))
			s.Subscribe(packets.QoS(1+i%2), "all", fmt.Sprint("own/", i))
			if i%2 == 0 {
				s.Leave()
			}
		}
		gone := mqtt.Connect(t, c, 0, "gone", mqtt.Clean, mqtt.Expiry(5))
		gone.Subscribe(1, "gone")
		gone.Leave()
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		require.Equal(t, packets.NoMatchingSubscribers, pub.Post("r/expires", "x", 1, true))
		require.Equal(t, packets.NoMatchingSubscribers, pub.Post("r/cleared", "x", 1, true))
		require.Equal(t, packets.NoMatchingSubscribers, pub.Post("r/cleared", "", 2, true))
		require.NoError(t, c.Node(2).Broker().Ban(t.Context(), shoal.Ban{ClientID: "banned"}))
		for round := range 3 {
			pub = mqtt.Connect(t, c, round%3, "pub", mqtt.Clean)
			require.Equal(t, packets.Success, pub.Post("all", fmt.Sprint("before ", round), 2, false))
			require.False(t, pub.Post("r/kept", fmt.Sprint(round), packets.QoS(1+round%2), true).IsError())
			restartAll(c)
			pub = mqtt.Connect(t, c, round%3, "pub", mqtt.Clean)
			require.Equal(t, packets.Success, pub.Post("all", fmt.Sprint("after ", round), 2, false), "before any subscriber is back")
			for i := range clients {
				s := mqtt.Connect(t, c, (i+round)%3, fmt.Sprint("s", i), mqtt.Expiry(36000))
				require.True(t, s.Ack.SessionPresent, "client %d", i)
				require.Equal(t, fmt.Sprint("before ", round), string(s.Receive().Payload), "client %d", i)
				require.Equal(t, fmt.Sprint("after ", round), string(s.Receive().Payload), "client %d", i)
				require.Equal(t, packets.Success, pub.Post(fmt.Sprint("own/", i), "now", 1, false))
				require.Equal(t, "now", string(s.Receive().Payload))
				s.Silent(100 * time.Millisecond)
				if i%2 == 0 {
					s.Leave()
				}
			}
			for node := range 3 {
				list, err := c.Node(node).Broker().Retained("r/#")
				require.NoError(t, err)
				require.Len(t, list, 2, "node %d", node)
				require.Len(t, c.Node(node).Broker().Bans(), 1)
				sub := mqtt.Connect(t, c, node, "reader", mqtt.Clean)
				sub.Subscribe(1, "r/kept")
				require.Equal(t, fmt.Sprint(round), string(sub.Receive().Payload))
				sub.Leave()
			}
		}
		require.Equal(t, packets.NoMatchingSubscribers, mqtt.AwaitCode(pub, "gone", packets.NoMatchingSubscribers), "a session that expired while nobody ran")
	})
}

// A cold start is not begun twice when the node that carries it out is lost in the middle, and nothing of it is lost.
func TestColdStartLosesItsNode(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
		mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600)).Subscribe(2, "t")
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		require.Equal(t, packets.Success, pub.Post("t", "before", 2, true))
		for i := range 3 {
			c.Kill(i)
		}
		s.Hang()
		c.StartAgain(0) // it is alone, and begins to read
		time.Sleep(3 * time.Second)
		c.StartAgain(1)
		c.StartAgain(2)
		time.Sleep(10 * time.Second)
		c.Kill(0)
		time.Sleep(5 * time.Second)
		s.Resume()
		c.AwaitServing(1)
		c.AwaitServing(2)
		pub = mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		require.Equal(t, packets.Success, pub.Post("t", "after", 2, false))
		x := mqtt.Connect(t, c, 1, "x", mqtt.Expiry(3600))
		require.True(t, x.Ack.SessionPresent)
		require.Equal(t, "before", string(x.Receive().Payload))
		require.Equal(t, "after", string(x.Receive().Payload))
		x.Silent(time.Second)
		list, err := c.Node(2).Broker().Retained("t")
		require.NoError(t, err)
		require.Len(t, list, 1)
		c.Restart(0)
		list, err = c.Node(0).Broker().Retained("t")
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

// Guarantee 3: what a node had under way to the store when it was given up, or lost, changes nothing in sessions that others have gone on with, and is
// not acknowledged by it.
func TestStaleOwnerIsFenced(t *testing.T) {
	for name, lose := range map[string]func(c *clustertest.Cluster){
		"killed":  func(c *clustertest.Cluster) { c.Kill(0) },
		"cut off": func(c *clustertest.Cluster) { c.Partition([]int{0}, []int{1, 2}) },
	} {
		t.Run(name, func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
				x := mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600))
				x.Subscribe(1, "t")
				ends := mqtt.Connect(t, c, 0, "ends", mqtt.Clean, mqtt.Expiry(3600))
				ends.Subscribe(1, "t")
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("t", "stored", 1, false))
				s.Hold("c01")
				pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 77, Payload: []byte("under way")})
				x.Receive() // and what this changes is under way
				ends.Send(&packets.Disconnect{Properties: packets.Properties{SessionExpiryInterval: packets.Some(uint32(0))}})
				time.Sleep(100 * time.Millisecond)
				lose(c)
				time.Sleep(6 * time.Second) // until the others have a leader, and know that they have lost one

				x = mqtt.Connect(t, c, 1, "x", mqtt.Expiry(3600))
				require.True(t, x.Ack.SessionPresent)
				require.Equal(t, "stored", string(x.Receive().Payload))
				ends = mqtt.Connect(t, c, 2, "ends", mqtt.Expiry(3600)) // as the cluster knows, and the store does not
				require.False(t, ends.Ack.SessionPresent)
				ends.Subscribe(1, "t")
				other := mqtt.Connect(t, c, 2, "other", mqtt.Clean)
				require.Equal(t, packets.Success, other.Post("t", "new", 1, false))
				x.Drop()
				ends.Drop()
				s.Resume() // and now it arrives
				time.Sleep(time.Second)
				if name == "cut off" {
					for {
						p, err := pub.Read(mqtt.Patience)
						if err != nil {
							break
						}
						if a, ok := p.(*packets.PubAck); ok {
							require.True(t, a.ReasonCode.IsError(), "acknowledged by the stale owner")
							break
						}
					}
					c.Heal()
					c.AwaitServing(0)
				} else {
					c.Restart(0)
				}
				restartAll(c) // what the store has is all there is
				for i, id := range []string{"x", "ends"} {
					cl := mqtt.Connect(t, c, i, id, mqtt.Expiry(3600))
					require.True(t, cl.Ack.SessionPresent, id)
					require.Equal(t, "new", string(cl.Receive().Payload), id)
					cl.Silent(time.Second)
				}
			})
		})
	}
}

// A session that has moved is the new home's, whatever the old one still has under way; and a message that came both ways is acknowledged once it is
// in the store.
func TestLateWritesOfTheOldHome(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
		pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
		x := mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600))
		x.Subscribe(2, "t")
		all := mqtt.Numbered(40)
		next := 0
		for move := range 8 {
			for _, p := range all[move*5 : move*5+5] {
				pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(1 + move*100 + next%90), Payload: []byte(p)})
				next++
			}
			x = mqtt.Connect(t, c, (move+1)%2, "x", mqtt.Expiry(3600))
			require.True(t, x.Ack.SessionPresent)
			for range 5 {
				require.Equal(t, packets.Success, mqtt.Expect[*packets.PubAck](pub).ReasonCode)
			}
			if move == 5 {
				restartAll(c)
				pub = mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				x = mqtt.Connect(t, c, 0, "x", mqtt.Expiry(3600))
				require.True(t, x.Ack.SessionPresent)
			}
		}
		x.Drop()
		s.Hang()
		time.Sleep(100 * time.Millisecond)
		s.Resume()
		restartAll(c)
		x = mqtt.Connect(t, c, 1, "x", mqtt.Expiry(3600))
		require.True(t, x.Ack.SessionPresent)
		for _, want := range all {
			require.Equal(t, want, string(x.Receive().Payload))
		}
		x.Silent(time.Second)
	})
}

// While the store is away, messages for sessions that last wait, and are refused with a reason code when that lasts; they are never acknowledged and
// lost. Clean sessions and QoS 0 go on. Everything recovers by itself.
func TestStoreGoesAway(t *testing.T) {
	for name, away := range map[string]func(s *clustertest.SharedStorage){
		"fails": func(s *clustertest.SharedStorage) { s.Fail(errors.New("connection refused")) },
		"hangs": func(s *clustertest.SharedStorage) { s.Hang() },
	} {
		back := func(s *clustertest.SharedStorage) { s.Fail(nil); s.Resume() }
		t.Run(name, func(t *testing.T) {
			withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
				x := mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600))
				x.Subscribe(2, "t")
				x.Drop()
				still := mqtt.Connect(t, c, 1, "still", mqtt.Clean, mqtt.Expiry(3600)) // connected all the time
				still.Subscribe(1, "s")
				tmp := mqtt.Connect(t, c, 0, "tmp", mqtt.Clean)
				tmp.Subscribe(1, "clean")
				pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("t", "0", 1, false))
				accepted := []string{"0"}

				away(s) // for less than they wait
				pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 500, Payload: []byte("waits")})
				_, err := pub.Read(2 * time.Second)
				require.Error(t, err, "answered while the store is away")
				back(s)
				require.Equal(t, packets.Success, mqtt.Expect[*packets.PubAck](pub).ReasonCode)
				accepted = append(accepted, "waits")

				away(s) // for long
				began := time.Now()
				require.True(t, pub.Post("t", "refused", 1, false).IsError())
				require.Greater(t, time.Since(began), 4*time.Second)
				require.Less(t, time.Since(began), 8*time.Second)
				for range 50 { // at once, and without being kept for later
					began = time.Now()
					require.True(t, pub.Post("t", "refused, too", packets.QoS(1), false).IsError())
					require.Less(t, time.Since(began), 100*time.Millisecond)
				}
				require.Equal(t, uint64(50), c.Node(0).Broker().Metrics().Dropped[shoal.DropStoreAway])
				require.Equal(t, packets.Success, pub.Post("clean", "goes on", 1, false))
				require.Equal(t, "goes on", string(tmp.Receive().Payload))
				pub.Post("s", "QoS 0 goes on", 0, false)
				require.Equal(t, "QoS 0 goes on", string(still.Receive().Payload))
				mqtt.Connect(t, c, 1, "another", mqtt.Clean).Leave()
				for _, opts := range [][]mqtt.ConnectOption{{mqtt.Clean, mqtt.Expiry(3600)}, {mqtt.Expiry(3600)}} {
					late := mqtt.Dial(t, c, 0)
					began = time.Now()
					late.SendConnect("late", opts...)
					require.Equal(t, packets.ServerUnavailable, mqtt.Expect[*packets.ConnAck](late).ReasonCode)
					require.Less(t, time.Since(began), 9*time.Second)
				}
				moving := mqtt.Dial(t, c, 1)
				moving.SendConnect("x", mqtt.Expiry(3600))
				require.Equal(t, packets.ServerUnavailable, mqtt.Expect[*packets.ConnAck](moving).ReasonCode, "its session cannot come here")
				require.True(t, pub.Post("r", "retained", 1, true).IsError())
				back(s)

				require.Equal(t, packets.Success, mqtt.AwaitCode(pub, "t", packets.Success))
				accepted = append(accepted, "x")
				time.Sleep(2 * time.Second) // each node tries the store again for itself
				require.False(t, pub.Post("r", "retained now", 1, true).IsError())
				restartAll(c)
				x = mqtt.Connect(t, c, 2, "x", mqtt.Expiry(3600))
				require.True(t, x.Ack.SessionPresent)
				for len(accepted) > 0 { // what was refused after a wait may come, too
					p := string(x.Receive().Payload)
					if p == accepted[0] {
						accepted = accepted[1:]
					} else {
						require.Equal(t, "refused", p)
					}
				}
				mqtt.Connect(t, c, 0, "late", mqtt.Clean, mqtt.Expiry(3600)).Leave()
				list, err := c.Node(1).Broker().Retained("r")
				require.NoError(t, err)
				require.Len(t, list, 1)
				require.Equal(t, "retained now", string(list[0].Payload))
			})
		})
	}
}

// A node that is lost while the store is away: its heir waits for the store, and has everything then.
func TestNodeLostWhileStoreIsAway(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
		mqtt.Connect(t, c, 0, "x", mqtt.Clean, mqtt.Expiry(3600)).Subscribe(2, "t")
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		require.Equal(t, packets.Success, pub.Post("t", "first", 2, false))
		s.Fail(errors.New("no route to host"))
		c.Kill(0)
		time.Sleep(3 * time.Second)
		pub.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: 9, Payload: []byte("second")})
		time.Sleep(10 * time.Second)
		s.Fail(nil)
		a := mqtt.Expect[*packets.PubAck](pub)
		x := mqtt.Connect(t, c, 2, "x", mqtt.Expiry(3600))
		require.True(t, x.Ack.SessionPresent)
		require.Equal(t, "first", string(x.Receive().Payload))
		if !a.ReasonCode.IsError() {
			require.Equal(t, "second", string(x.Receive().Payload))
		}
	})
}

// The node that writes retained messages changes, and each writes what the one before has not.
func TestKeeperIsLost(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, s *clustertest.SharedStorage) {
		keeper := -1
		for node := 0; keeper < 0; node++ {
			require.Less(t, node, 3, "nobody writes retained messages")
			s.Hold(c.Node(node).Name)
			pub := mqtt.Connect(t, c, (node+1)%3, "probe", mqtt.Clean)
			pub.Send(&packets.Publish{TopicName: "r/1", QoS: 1, PacketID: 1, Retain: true, Payload: []byte("1")})
			if _, err := pub.Read(time.Second); err != nil {
				keeper = node
			}
			s.Resume()
			pub.Drop()
		}
		pub := mqtt.Connect(t, c, (keeper+1)%3, "pub", mqtt.Clean)
		pub.Post("r/2", "1", 2, true)
		s.Hold(c.Node(keeper).Name)
		pub.Send(&packets.Publish{TopicName: "r/1", QoS: 1, PacketID: 70, Retain: true, Payload: []byte("2")})
		pub.Send(&packets.Publish{TopicName: "r/2", QoS: 1, PacketID: 71, Retain: true})
		_, err := pub.Read(time.Second)
		require.Error(t, err, "acknowledged before the store has it")
		c.Kill(keeper)
		for range 2 {
			require.False(t, mqtt.Expect[*packets.PubAck](pub).ReasonCode.IsError())
		}
		require.False(t, pub.Post("r/3", "3", 1, true).IsError())
		s.Resume() // what the lost keeper had under way comes late
		time.Sleep(time.Second)
		c.Restart(keeper)
		restartAll(c)
		for node := range 3 {
			got := map[string]string{}
			list, err := c.Node(node).Broker().Retained("#")
			require.NoError(t, err)
			for _, m := range list {
				got[m.TopicName] = string(m.Payload)
			}
			require.Equal(t, map[string]string{"r/1": "2", "r/3": "3"}, got, "node %d", node)
		}
	})
}

// Guarantees 2 and 5: a QoS 2 message that its publisher's node has taken, and that was not with all who must have it when that node was lost, does not
// count as published, though the node still had its store: it is published when it comes again.
func TestUnacceptedQoS2IsNotPublished(t *testing.T) {
	withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
		sub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean, mqtt.Expiry(3600))
		sub.Subscribe(2, "t")
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean, mqtt.Expiry(3600))
		m := &packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")}
		c.Partition([]int{0}, []int{1, 2})
		pub.Send(m) // while the node still serves
		time.Sleep(6 * time.Second)
		pub = mqtt.Connect(t, c, 2, "pub", mqtt.Expiry(3600))
		require.True(t, pub.Ack.SessionPresent)
		m.Dup = true
		pub.Send(m)
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
		pub.Send(&packets.PubRel{PacketID: 7})
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubComp](pub).ReasonCode)
		require.Equal(t, "once", string(sub.Receive().Payload))
		sub.Silent(time.Second)
		c.Heal()
		c.AwaitServing(0)
		sub.Silent(time.Second)
	})
}

// Guarantee 4: a node that the others do not hear any more may still reach the store, and finish exchanges there. Whoever sent it messages, and had no answer,
// sends them to its heir.
func TestStoreIsReachedAndNodesAreNot(t *testing.T) {
	t.Run("QoS 2", func(t *testing.T) {
		withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
			sub := mqtt.Connect(t, c, 2, "sub", mqtt.Clean, mqtt.Expiry(3600))
			sub.Subscribe(2, "t")
			pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
			c.Cut(2, 0)
			c.Cut(2, 1)
			require.Equal(t, packets.Success, pub.Post("t", "m", 2, false))
			sub.Silent(time.Second)
			c.Heal()
			sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(3600))
			require.Equal(t, "m", string(sub.Receive().Payload))
			sub.Silent(time.Second)
		})
	})
	// The client has gone away before the node was given up, and all the store tells is that it has, and that it wants nothing more.
	t.Run("QoS 1", func(t *testing.T) {
		withStore(t, func(t *testing.T, c *clustertest.Cluster, _ *clustertest.SharedStorage) {
			sub := mqtt.Connect(t, c, 2, "sub", mqtt.Clean, mqtt.Expiry(3600))
			sub.Subscribe(1, "t")
			pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean, mqtt.Expiry(3600))
			c.Cut(2, 0)
			c.Cut(2, 1)
			p := &packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("m")}
			pub.Send(p)
			require.False(t, sub.Receive().Dup)
			sub.Leave()
			time.Sleep(6 * time.Second)
			c.Heal()
			sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(3600))
			sub.Silent(time.Second)
			pub = mqtt.Connect(t, c, 0, "pub", mqtt.Expiry(3600))
			p.Dup = true
			pub.Send(p)
			require.True(t, sub.Receive().Dup)
		})
	})
}
