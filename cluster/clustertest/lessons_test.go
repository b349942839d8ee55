package clustertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// These tests hold what went wrong in other clustered brokers.

// C1: the second node that subscribes to a filter is announced like the first.
func TestC1SecondSubscriberNode(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		a, b := mqtt.Connect(t, c, 0, "a", mqtt.Clean), mqtt.Connect(t, c, 1, "b", mqtt.Clean)
		a.Subscribe(1, "t")
		b.Subscribe(1, "t")
		for i := range 3 {
			mqtt.Connect(t, c, i, fmt.Sprint("pub", i), mqtt.Clean).Post("t", fmt.Sprint(i), 1, false)
			require.Equal(t, fmt.Sprint(i), string(a.Receive().Payload))
			require.Equal(t, fmt.Sprint(i), string(b.Receive().Payload))
		}
		a.Unsubscribe("t") // and the second stays when the first goes
		mqtt.Connect(t, c, 0, "last", mqtt.Clean).Post("t", "x", 1, false)
		require.Equal(t, "x", string(b.Receive().Payload))
	})
}

// C3: a node that starts from a snapshot has its routes, its retained messages and its owners.
func TestC3RestoreFromSnapshot(t *testing.T) {
	for _, disk := range []bool{true, false} {
		t.Run(fmt.Sprint("disk ", disk), func(t *testing.T) {
			opts := []clustertest.Option{clustertest.WithConfig(func(_ int, cfg *cluster.Config) { cfg.SnapshotEntries = 8 })}
			if disk {
				opts = append(opts, clustertest.WithDisk())
			}
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
				for i := range 60 { // one entry each, so that several snapshots are taken
					sub.Subscribe(1, fmt.Sprint("t/", i))
				}
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				pub.Post("r", "kept", 1, true)
				c.Kill(2)
				for i := range 30 {
					sub.Subscribe(1, fmt.Sprint("u/", i))
				}
				c.Restart(2)
				again := mqtt.Connect(t, c, 2, "again", mqtt.Clean)
				for _, topic := range []string{"t/0", "t/59", "u/0", "u/29"} {
					require.Equal(t, packets.Success, again.Post(topic, "x", 1, false))
					require.Equal(t, topic, sub.Receive().TopicName)
				}
				again.Subscribe(1, "r")
				require.Equal(t, "kept", string(again.Receive().Payload))
				mqtt.Connect(t, c, 2, "sub", mqtt.Clean)
				require.Equal(t, packets.SessionTakenOver, sub.Closed().ReasonCode)
			}, opts...)
		})
	}
}

// C4: a restart, of one node or of all, needs no help.
func TestC4RestartAll(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		mqtt.Connect(t, c, 0, "pub", mqtt.Clean).Post("r", "kept", 1, true)
		for range 2 {
			for i := range 3 {
				c.Kill(i)
			}
			for i := range 3 {
				c.StartAgain(2 - i)
			}
			for i := range 3 {
				c.AwaitServing(i)
			}
		}
		sub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean)
		sub.Subscribe(1, "#")
		require.Equal(t, "kept", string(sub.Receive().Payload))
		mqtt.Connect(t, c, 2, "pub", mqtt.Clean).Post("t", "x", 1, false)
		require.Equal(t, "x", string(sub.Receive().Payload))
	}, clustertest.WithDisk())
}

// C5: the routes of a node that was lost, or has left, go; those of the others stay.
func TestC5LostRoutesGo(t *testing.T) {
	for _, how := range []string{"kill", "stop"} {
		t.Run(how, func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				gone, stays := mqtt.Connect(t, c, 2, "gone", mqtt.Clean), mqtt.Connect(t, c, 1, "stays", mqtt.Clean)
				gone.Subscribe(1, "gone")
				gone.Subscribe(1, "both")
				stays.Subscribe(1, "both")
				pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("gone", "x", 1, false))
				if how == "kill" {
					c.Kill(2)
				} else {
					c.Stop(2)
				}
				began := time.Now()
				require.Equal(t, packets.Success, pub.Post("both", "y", 1, false))
				require.Less(t, time.Since(began), 3*time.Second, "publishing waited for the lost node")
				require.Equal(t, "y", string(stays.Receive().Payload))
				require.Equal(t, packets.NoMatchingSubscribers, mqtt.AwaitCode(pub, "gone", packets.NoMatchingSubscribers))
				require.Less(t, time.Since(began), 4*time.Second)
			})
		})
	}
}

// C6: wills are delivered once everywhere, at every QoS, also those of a node that crashed, and by one node.
func TestC6Wills(t *testing.T) {
	for _, qos := range []packets.QoS{0, 1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				subs := make([]*mqtt.Client, 2)
				for i := range subs {
					subs[i] = mqtt.Connect(t, c, i, fmt.Sprint("sub", i), mqtt.Clean)
					subs[i].Subscribe(2, "will/#")
				}
				mqtt.Connect(t, c, 2, "breaks", mqtt.Clean, mqtt.Will("will/breaks", "1", qos, 0)).Drop()
				left := mqtt.Connect(t, c, 2, "leaves", mqtt.Clean, mqtt.Will("will/leaves", "2", qos, 0))
				left.Leave()
				mqtt.Connect(t, c, 2, "crashes", mqtt.Clean, mqtt.Will("will/crashes", "3", qos, 0))
				mqtt.Connect(t, c, 2, "waits", mqtt.Expiry(600), mqtt.Will("will/waits", "4", qos, 30))
				mqtt.Connect(t, c, 2, "returns", mqtt.Expiry(600), mqtt.Will("will/returns", "5", qos, 30))
				for _, s := range subs {
					require.Equal(t, "will/breaks", s.Receive().TopicName)
				}
				time.Sleep(time.Second) // virtual: that it was published, and is not to be published again, is told in the background
				c.Kill(2)
				for _, s := range subs {
					require.Equal(t, "will/crashes", s.Receive().TopicName)
				}
				mqtt.Connect(t, c, 0, "returns", mqtt.Expiry(600))
				time.Sleep(10 * time.Second)
				for _, s := range subs {
					s.Silent(time.Millisecond)
				}
				time.Sleep(20 * time.Second)
				for _, s := range subs {
					m := s.Receive()
					require.Equal(t, "will/waits", m.TopicName)
					require.Equal(t, qos, m.QoS)
				}
				time.Sleep(40 * time.Second) // longer than the will of the client that returned would have waited
				for _, s := range subs {
					s.Silent(time.Millisecond)
				}
			})
		})
	}
}

// nameAuthorizer lets everyone in, and lets them publish below their user name.
type nameAuthorizer struct{}

func (nameAuthorizer) Authenticate(_ context.Context, c *shoal.Credentials) (*shoal.Principal, error) {
	return &shoal.Principal{Name: c.UserName, Data: c.Version}, nil
}

func (nameAuthorizer) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if r.Action == shoal.ActionPublish && !strings.HasPrefix(r.Topic, r.Principal.Name+"/") {
		return errors.New("not below your name")
	}
	return nil
}

// C6: the wills of a node that crashed are published with the permissions of their clients.
func TestC6WillsAreAuthorised(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		sub.Subscribe(1, "#")
		as := func(p *packets.Connect) { p.UserName = packets.Some("ann") }
		mqtt.Connect(t, c, 2, "one", mqtt.Clean, as, mqtt.Will("ann/will", "1", 1, 0))
		mqtt.Connect(t, c, 2, "two", mqtt.Clean, as, mqtt.Will("bob/will", "2", 1, 0))
		c.Kill(2)
		require.Equal(t, "ann/will", sub.Receive().TopicName)
		sub.Silent(time.Minute)
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAuthenticator(nameAuthorizer{})}
	}))
}

// C6: the wills of a node that is back before anybody missed it are published, too.
func TestC6WillsOfQuickRestart(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		sub.Subscribe(1, "will")
		mqtt.Connect(t, c, 2, "crashes", mqtt.Clean, mqtt.Will("will", "x", 1, 0))
		c.Kill(2)
		c.Restart(2)
		require.Equal(t, "x", string(sub.Receive().Payload))
		sub.Silent(time.Minute)
	}, clustertest.WithDisk())
}

// C10: a node joins through any member, whoever leads, and a failed probe removes nobody.
func TestC10JoinThroughAny(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Kill(0) // c03 knows c02 alone; it leads or not
		c.Restart(0)
		c.Partition([]int{0}, []int{1, 2})
		time.Sleep(time.Minute)
		c.Heal()
		for i := range 3 {
			c.AwaitServing(i)
		}
		time.Sleep(time.Second) // the last to join is known to the others a little later
		for i := range 3 {
			require.Len(t, c.Node(i).Status().Nodes, 3)
		}
	}, clustertest.WithDisk(), clustertest.WithConfig(func(i int, cfg *cluster.Config) {
		if i > 0 {
			cfg.Join = []string{fmt.Sprintf("c%02d:7946", 3-i)}
		} else {
			cfg.Join = []string{"c02:7946"}
		}
	}))
}

// C11: a SUBSCRIBE while there is no leader is answered when there is one, or refused; never granted and lost.
func TestC11SubscribeWithoutLeader(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		leader := 0
		for i := range 3 {
			if c.Node(i).Name == c.Node(0).Status().Leader {
				leader = i
			}
		}
		at, from := (leader+1)%3, (leader+2)%3
		sub, pub := mqtt.Connect(t, c, at, "sub", mqtt.Clean), mqtt.Connect(t, c, from, "pub", mqtt.Clean)
		c.Kill(leader)
		sub.Subscribe(1, "t")
		require.Equal(t, packets.Success, pub.Post("t", "x", 1, false))
		require.Equal(t, "x", string(sub.Receive().Payload))
	})
}

// C12: lookups and changes of routes do not disturb each other.
func TestC12LookupsDuringChanges(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		steady := mqtt.Connect(t, c, 1, "steady", mqtt.Clean)
		steady.Subscribe(0, "t/1")
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				cl := mqtt.Connect(t, c, i, fmt.Sprint("c", i), mqtt.Clean)
				for range 100 {
					cl.Subscribe(0, "t/+")
					cl.Unsubscribe("t/+")
				}
			})
		}
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		for range 300 {
			pub.Post("t/1", "x", 1, false)
		}
		wg.Wait()
		for range 300 {
			require.Equal(t, "x", string(steady.Receive().Payload))
		}
		steady.Silent(time.Second)
	})
}

// C13: a node that has lost everybody else stops nevertheless.
func TestC13StopWithoutLeader(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		mqtt.Connect(t, c, 2, "x", mqtt.Expiry(600))
		c.Kill(0)
		c.Kill(1)
		time.Sleep(10 * time.Second)
		began := time.Now()
		ctx := t.Context()
		_ = c.Node(2).Broker().Shutdown(ctx) // whether it can say goodbye properly is another matter
		require.Less(t, time.Since(began), 15*time.Second)
		require.NoError(t, ctx.Err())
	})
}

// C14: sessions are there after a restart, and messages for clients that are away are queued.
func TestC14SessionsAfterRestart(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 2, "x", mqtt.Expiry(600))
		sub.Subscribe(1, "q")
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		pub.Post("q", "before", 1, false)
		sub.Next() // not acknowledged
		sub.Drop()
		c.Kill(2)
		c.Restart(2)
		require.Equal(t, packets.Success, mqtt.AwaitCode(pub, "q", packets.Success))
		sub = mqtt.Connect(t, c, 2, "x", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		m := sub.Receive()
		require.Equal(t, "before", string(m.Payload))
		require.True(t, m.Dup)
		require.Equal(t, "x", string(sub.Receive().Payload))
		// And it moves on from there.
		sub.Leave()
		pub.Post("q", "after", 1, false)
		sub = mqtt.Connect(t, c, 0, "x", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		require.Equal(t, "after", string(sub.Receive().Payload))
	}, clustertest.WithDisk())
}

// C15: links that were idle for long work; large messages pass; what is under way when a node stops is not lost.
func TestC15Links(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := mqtt.Connect(t, c, 1, "sub", mqtt.Clean), mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		sub.Subscribe(2, "t")
		time.Sleep(3 * time.Minute) // many times what a link is silent for before it is tried
		require.Equal(t, packets.Success, pub.Post("t", "after a pause", 1, false))
		require.Equal(t, "after a pause", string(sub.Receive().Payload))
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16*9) // 9 MiB
		for i, size := range []int{900, 1500, 65536, 5 << 20, 900, 1500, 65536, len(large)} {
			qos := packets.QoS(i % 3)
			require.Equal(t, packets.Success, pub.Post("t", string(large[:size]), qos, false))
			require.True(t, bytes.Equal(large[:size], sub.Receive().Payload), "%d bytes, QoS %d", size, qos)
		}
		for _, p := range mqtt.Numbered(100) {
			pub.Post("t", p, 1, false)
		}
		go c.Stop(0)
		for _, p := range mqtt.Numbered(100) {
			require.Equal(t, p, string(sub.Receive().Payload))
		}
		synctest.Wait()
	})
}

// C16: a burst of subscriptions is taken, however many come at once.
func TestC16Burst(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := mqtt.Connect(t, c, 0, "sub", mqtt.Clean)
		const packetsAtOnce, filters = 50, 40
		go func() {
			for i := range packetsAtOnce {
				p := &packets.Subscribe{PacketID: uint16(i + 1)}
				for j := range filters {
					p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: fmt.Sprintf("b/%d/%d", i, j), QoS: 1})
				}
				sub.Send(p)
			}
		}()
		for i := range packetsAtOnce {
			ack := mqtt.Expect[*packets.SubAck](sub)
			require.Equal(t, uint16(i+1), ack.PacketID)
			for _, code := range ack.ReasonCodes {
				require.Equal(t, packets.GrantedQoS1, code)
			}
		}
		for node := range 3 {
			pub := mqtt.Connect(t, c, node, fmt.Sprint("pub", node), mqtt.Clean)
			for _, i := range []int{0, packetsAtOnce - 1} {
				topic := fmt.Sprintf("b/%d/%d", i, filters-1)
				require.Equal(t, packets.Success, pub.Post(topic, "x", 1, false))
				require.Equal(t, topic, sub.Receive().TopicName)
			}
		}
	})
}
