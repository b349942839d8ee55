package clustertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/bolt"
)

// These tests hold what went wrong in other clustered brokers.

// C1: the second node that subscribes to a filter is announced like the first.
func TestC1SecondSubscriberNode(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		a, b := connect(t, c, 0, "a", clean), connect(t, c, 1, "b", clean)
		a.subscribe(1, "t")
		b.subscribe(1, "t")
		for i := range 3 {
			connect(t, c, i, fmt.Sprint("pub", i), clean).post("t", fmt.Sprint(i), 1, false)
			require.Equal(t, fmt.Sprint(i), string(a.receive().Payload))
			require.Equal(t, fmt.Sprint(i), string(b.receive().Payload))
		}
		a.unsubscribe("t") // and the second stays when the first goes
		connect(t, c, 0, "last", clean).post("t", "x", 1, false)
		require.Equal(t, "x", string(b.receive().Payload))
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
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := connect(t, c, 0, "sub", clean)
				for i := range 60 { // one entry each, so that several snapshots are taken
					sub.subscribe(1, fmt.Sprint("t/", i))
				}
				pub := connect(t, c, 0, "pub", clean)
				pub.post("r", "kept", 1, true)
				c.Kill(2)
				for i := range 30 {
					sub.subscribe(1, fmt.Sprint("u/", i))
				}
				c.Restart(2)
				again := connect(t, c, 2, "again", clean)
				for _, topic := range []string{"t/0", "t/59", "u/0", "u/29"} {
					require.Equal(t, packets.Success, again.post(topic, "x", 1, false))
					require.Equal(t, topic, sub.receive().TopicName)
				}
				again.subscribe(1, "r")
				require.Equal(t, "kept", string(again.receive().Payload))
				connect(t, c, 2, "sub", clean)
				require.Equal(t, packets.SessionTakenOver, sub.closed().ReasonCode)
			}, opts...)
		})
	}
}

// C4: a restart, of one node or of all, needs no help.
func TestC4RestartAll(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		connect(t, c, 0, "pub", clean).post("r", "kept", 1, true)
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
		sub := connect(t, c, 1, "sub", clean)
		sub.subscribe(1, "#")
		require.Equal(t, "kept", string(sub.receive().Payload))
		connect(t, c, 2, "pub", clean).post("t", "x", 1, false)
		require.Equal(t, "x", string(sub.receive().Payload))
	}, clustertest.WithDisk())
}

// C5: the routes of a node that was lost, or has left, go; those of the others stay.
func TestC5LostRoutesGo(t *testing.T) {
	for _, how := range []string{"kill", "stop"} {
		t.Run(how, func(t *testing.T) {
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				gone, stays := connect(t, c, 2, "gone", clean), connect(t, c, 1, "stays", clean)
				gone.subscribe(1, "gone")
				gone.subscribe(1, "both")
				stays.subscribe(1, "both")
				pub := connect(t, c, 0, "pub", clean)
				require.Equal(t, packets.Success, pub.post("gone", "x", 1, false))
				if how == "kill" {
					c.Kill(2)
				} else {
					c.Stop(2)
				}
				began := time.Now()
				require.Equal(t, packets.Success, pub.post("both", "y", 1, false))
				require.Less(t, time.Since(began), 3*time.Second, "publishing waited for the lost node")
				require.Equal(t, "y", string(stays.receive().Payload))
				require.Equal(t, packets.NoMatchingSubscribers, awaitCode(pub, "gone", packets.NoMatchingSubscribers))
				require.Less(t, time.Since(began), 4*time.Second)
			})
		})
	}
}

// C6: wills are delivered once everywhere, at every QoS, also those of a node that crashed, and by one node.
func TestC6Wills(t *testing.T) {
	for _, qos := range []packets.QoS{0, 1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			both(t, func(t *testing.T, c *clustertest.Cluster) {
				subs := make([]*client, 2)
				for i := range subs {
					subs[i] = connect(t, c, i, fmt.Sprint("sub", i), clean)
					subs[i].subscribe(2, "will/#")
				}
				connect(t, c, 2, "breaks", clean, will("will/breaks", "1", qos, 0)).drop()
				left := connect(t, c, 2, "leaves", clean, will("will/leaves", "2", qos, 0))
				left.leave()
				connect(t, c, 2, "crashes", clean, will("will/crashes", "3", qos, 0))
				connect(t, c, 2, "waits", expiry(600), will("will/waits", "4", qos, 30))
				connect(t, c, 2, "returns", expiry(600), will("will/returns", "5", qos, 30))
				for _, s := range subs {
					require.Equal(t, "will/breaks", s.receive().TopicName)
				}
				time.Sleep(time.Second) // virtual: that it was published, and is not to be published again, is told in the background
				c.Kill(2)
				for _, s := range subs {
					require.Equal(t, "will/crashes", s.receive().TopicName)
				}
				connect(t, c, 0, "returns", expiry(600))
				for _, s := range subs {
					s.silent(10 * time.Second)
				}
				time.Sleep(20 * time.Second)
				for _, s := range subs {
					m := s.receive()
					require.Equal(t, "will/waits", m.TopicName)
					require.Equal(t, qos, m.QoS)
					s.silent(time.Minute)
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
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "sub", clean)
		sub.subscribe(1, "#")
		as := func(p *packets.Connect) { p.UserName = packets.Some("ann") }
		connect(t, c, 2, "one", clean, as, will("ann/will", "1", 1, 0))
		connect(t, c, 2, "two", clean, as, will("bob/will", "2", 1, 0))
		c.Kill(2)
		require.Equal(t, "ann/will", sub.receive().TopicName)
		sub.silent(time.Minute)
	}, clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAuthenticator(nameAuthorizer{})}
	}))
}

// C6: the wills of a node that is back before anybody missed it are published, too.
func TestC6WillsOfQuickRestart(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "sub", clean)
		sub.subscribe(1, "will")
		connect(t, c, 2, "crashes", clean, will("will", "x", 1, 0))
		c.Kill(2)
		c.Restart(2)
		require.Equal(t, "x", string(sub.receive().Payload))
		sub.silent(time.Minute)
	}, clustertest.WithDisk())
}

// C10: a node joins through any member, whoever leads, and a failed probe removes nobody.
func TestC10JoinThroughAny(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
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
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		leader := 0
		for i := range 3 {
			if c.Node(i).Name == c.Node(0).Status().Leader {
				leader = i
			}
		}
		at, from := (leader+1)%3, (leader+2)%3
		sub, pub := connect(t, c, at, "sub", clean), connect(t, c, from, "pub", clean)
		c.Kill(leader)
		sub.subscribe(1, "t")
		require.Equal(t, packets.Success, pub.post("t", "x", 1, false))
		require.Equal(t, "x", string(sub.receive().Payload))
	})
}

// C12: lookups and changes of routes do not disturb each other.
func TestC12LookupsDuringChanges(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		steady := connect(t, c, 1, "steady", clean)
		steady.subscribe(0, "t/1")
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				cl := connect(t, c, i, fmt.Sprint("c", i), clean)
				for range 100 {
					cl.subscribe(0, "t/+")
					cl.unsubscribe("t/+")
				}
			})
		}
		pub := connect(t, c, 0, "pub", clean)
		for range 300 {
			pub.post("t/1", "x", 1, false)
		}
		wg.Wait()
		for range 300 {
			require.Equal(t, "x", string(steady.receive().Payload))
		}
		steady.silent(time.Second)
	})
}

// C13: a node that has lost everybody else stops nevertheless.
func TestC13StopWithoutLeader(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		connect(t, c, 2, "x", expiry(600))
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
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 2, "x", expiry(600))
		sub.subscribe(1, "q")
		pub := connect(t, c, 0, "pub", clean)
		pub.post("q", "before", 1, false)
		sub.publish() // not acknowledged
		sub.drop()
		c.Kill(2)
		c.Restart(2)
		require.Equal(t, packets.Success, awaitCode(pub, "q", packets.Success))
		sub = connect(t, c, 2, "x", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		m := sub.receive()
		require.Equal(t, "before", string(m.Payload))
		require.True(t, m.Dup)
		require.Equal(t, "x", string(sub.receive().Payload))
		// And it moves on from there.
		sub.leave()
		pub.post("q", "after", 1, false)
		sub = connect(t, c, 0, "x", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		require.Equal(t, "after", string(sub.receive().Payload))
	}, clustertest.WithDisk(), clustertest.WithStorage(func(_ int, dir string) shoal.Storage {
		return bolt.Open(filepath.Join(dir, "mqtt.db"))
	}))
}

// C15: links that were idle for long work; large messages pass; what is under way when a node stops is not lost.
func TestC15Links(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub, pub := connect(t, c, 1, "sub", clean), connect(t, c, 0, "pub", clean)
		sub.subscribe(2, "t")
		time.Sleep(10 * time.Minute)
		require.Equal(t, packets.Success, pub.post("t", "after a pause", 1, false))
		require.Equal(t, "after a pause", string(sub.receive().Payload))
		large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16*9) // 9 MiB
		for i, size := range []int{900, 1500, 65536, 5 << 20, 900, 1500, 65536, len(large)} {
			qos := packets.QoS(i % 3)
			require.Equal(t, packets.Success, pub.post("t", string(large[:size]), qos, false))
			require.True(t, bytes.Equal(large[:size], sub.receive().Payload), "%d bytes, QoS %d", size, qos)
		}
		for _, p := range numbered(100) {
			pub.post("t", p, 1, false)
		}
		go c.Stop(0)
		for _, p := range numbered(100) {
			require.Equal(t, p, string(sub.receive().Payload))
		}
		synctest.Wait()
	})
}

// C16: a burst of subscriptions is taken, however many come at once.
func TestC16Burst(t *testing.T) {
	in(t, func(t *testing.T, c *clustertest.Cluster) {
		sub := connect(t, c, 0, "sub", clean)
		const packetsAtOnce, filters = 50, 40
		go func() {
			for i := range packetsAtOnce {
				p := &packets.Subscribe{PacketID: uint16(i + 1)}
				for j := range filters {
					p.Subscriptions = append(p.Subscriptions, packets.Subscription{TopicFilter: fmt.Sprintf("b/%d/%d", i, j), QoS: 1})
				}
				sub.send(p)
			}
		}()
		for i := range packetsAtOnce {
			ack := expect[*packets.SubAck](sub)
			require.Equal(t, uint16(i+1), ack.PacketID)
			for _, code := range ack.ReasonCodes {
				require.Equal(t, packets.GrantedQoS1, code)
			}
		}
		for node := range 3 {
			pub := connect(t, c, node, fmt.Sprint("pub", node), clean)
			for _, i := range []int{0, packetsAtOnce - 1} {
				topic := fmt.Sprintf("b/%d/%d", i, filters-1)
				require.Equal(t, packets.Success, pub.post(topic, "x", 1, false))
				require.Equal(t, topic, sub.receive().TopicName)
			}
		}
	})
}
