package machine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// A clock that is set on one node, or wrong from its start on, ends no session, message, retained message or will early, and keeps none longer, whichever
// node has it then; and it costs no lease.
func TestClockIsSet(t *testing.T) {
	for name, set := range map[string]func(t *testing.T, c *clustertest.Cluster, off time.Duration){
		"leader": func(t *testing.T, c *clustertest.Cluster, off time.Duration) {
			t.Helper()
			c.SetClock(leaderSeenBy(t, c, 0), off)
		},
		"follower": func(t *testing.T, c *clustertest.Cluster, off time.Duration) {
			t.Helper()
			c.SetClock((leaderSeenBy(t, c, 0)+1)%3, off)
		},
		// It inherits what the leader had, or leads then.
		"restarted": func(t *testing.T, c *clustertest.Cluster, off time.Duration) {
			t.Helper()
			leader := leaderSeenBy(t, c, 0)
			wrong := (leader + 1) % 3
			c.Kill(wrong)
			c.SetClock(wrong, off)
			c.Restart(wrong)
			c.Kill(leader)
			time.Sleep(5 * time.Second)
			c.Restart(leader)
		},
		// Whoever of these leads has never served.
		"two restarted": func(t *testing.T, c *clustertest.Cluster, off time.Duration) {
			t.Helper()
			for _, i := range []int{1, 2} {
				c.Kill(i)
				c.SetClock(i, off)
			}
			for _, i := range []int{1, 2} {
				c.StartAgain(i)
			}
			for i := range 3 {
				c.AwaitServing(i)
			}
		},
	} {
		for _, off := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprint(name, off), func(t *testing.T) {
				bubble.In(t, func(t *testing.T, c *clustertest.Cluster) { ends(t, c, func() { set(t, c, off) }) }, clustertest.WithDisk())
			})
		}
	}
}

// ends holds that everything ends when it should, while something is done to the cluster's clocks. It takes a second for any moment.
func ends(t *testing.T, c *clustertest.Cluster, disturb func()) {
	t.Helper()
	const slack = 3
	began := time.Now()
	at := func(second int) {
		t.Helper()
		require.Less(t, time.Since(began), time.Duration(second)*time.Second)
		time.Sleep(time.Duration(second)*time.Second - time.Since(began))
	}
	each := func(what string) (ids []string) {
		for i := range 3 {
			ids = append(ids, fmt.Sprint(what, i))
		}
		return ids
	}
	for i := range 3 {
		for _, what := range []string{"in time", "late"} {
			queue := mqtt.Connect(t, c, i, each("queue " + what)[i], mqtt.Expiry(3600))
			queue.Subscribe(1, "t")
			queue.Leave()
			mqtt.Connect(t, c, i, each("session " + what)[i], mqtt.Expiry(150)).Leave()
		}
		mqtt.Connect(t, c, i, each("will")[i], mqtt.Expiry(3600), mqtt.Will("will", fmt.Sprint(i), 1, 90)).Drop()
	}
	pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
	for _, p := range []*packets.Publish{
		{TopicName: "t", QoS: 1, PacketID: 1, Payload: []byte("ends")},
		{TopicName: "r", QoS: 1, PacketID: 2, Payload: []byte("retained"), Retain: true},
	} {
		p.Properties.MessageExpiryInterval = packets.Some(uint32(120))
		pub.Send(p)
		mqtt.Expect[*packets.PubAck](pub)
	}
	require.Equal(t, packets.Success, pub.Post("t", "stays", 1, false))
	require.Less(t, time.Since(began), time.Second)
	at(20)
	disturb()
	for i := range 3 {
		require.True(t, c.Node(i).Status().Serving, i)
	}

	watch := mqtt.Connect(t, c, 0, "watch", mqtt.Clean)
	watch.Subscribe(1, "will")
	at(90 - slack)
	watch.Silent(time.Millisecond)
	at(90 + slack)
	for range 3 {
		require.Equal(t, "will", watch.Receive().TopicName)
	}
	watch.Silent(time.Second)

	retained := func(node int) *packets.Publish {
		cl := mqtt.Connect(t, c, node, "", mqtt.Clean)
		defer cl.Drop()
		cl.Subscribe(1, "r")
		if p, err := cl.Read(time.Second); err == nil || len(cl.Pending) > 0 {
			if err == nil {
				cl.Pending = append(cl.Pending, p)
			}
			return cl.Next()
		}
		return nil
	}
	at(120 - 10)
	for i, id := range each("queue in time") {
		m := mqtt.Connect(t, c, (i+1)%3, id, mqtt.Expiry(3600)).Receive()
		require.Equal(t, "ends", string(m.Payload))
		require.InDelta(t, 10, m.Properties.MessageExpiryInterval.Or(0), slack)
		m = retained(i)
		require.NotNil(t, m)
		require.InDelta(t, 10, m.Properties.MessageExpiryInterval.Or(0), slack)
	}
	at(120 + slack)
	for i, id := range each("queue late") {
		require.Equal(t, "stays", string(mqtt.Connect(t, c, (i+1)%3, id, mqtt.Expiry(3600)).Receive().Payload))
		require.Nil(t, retained(i))
	}
	at(150 - slack)
	for i, id := range each("session in time") {
		require.True(t, mqtt.Connect(t, c, (i+1)%3, id).Ack.SessionPresent, id)
	}
	at(150 + slack)
	for i, id := range each("session late") {
		require.False(t, mqtt.Connect(t, c, (i+1)%3, id).Ack.SessionPresent, id)
	}
}

// A node that is back before it was given up, with a wrong clock, counts the time of its clients from then on.
func TestClockIsWrongAtQuickRestart(t *testing.T) {
	for name, restarted := range map[string][]int{"one": {1}, "two": {1, 2}} {
		for _, off := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprint(name, off), func(t *testing.T) {
				for seed := range uint64(4) {
					synctest.Test(t, func(t *testing.T) {
						c := clustertest.New(t, 3, clustertest.WithSeed(seed), clustertest.WithDisk())
						for _, i := range restarted {
							for _, id := range []string{"in time", "late"} {
								mqtt.Connect(t, c, i, fmt.Sprint(id, i), mqtt.Expiry(30))
							}
						}
						time.Sleep(50 * time.Second)
						for _, i := range restarted {
							c.Kill(i)
							c.SetClock(i, off)
						}
						began := time.Now()
						for _, i := range restarted {
							c.StartAgain(i)
						}
						for _, i := range restarted {
							c.AwaitServing(i)
						}
						time.Sleep(25*time.Second - time.Since(began))
						for _, i := range restarted {
							require.True(t, mqtt.Connect(t, c, i, fmt.Sprint("in time", i)).Ack.SessionPresent)
						}
						time.Sleep(40*time.Second - time.Since(began))
						for _, i := range restarted {
							require.False(t, mqtt.Connect(t, c, 0, fmt.Sprint("late", i)).Ack.SessionPresent)
						}
					})
				}
			})
		}
	}
}

// Nodes that have begun a time of their own, because they could not hear those who were there before, take over theirs when they meet.
func TestClocksMeet(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		for _, i := range []int{1, 2} {
			c.Kill(i)
			c.SetClock(i, time.Hour)
		}
		c.Partition([]int{0}, []int{1, 2})
		for _, i := range []int{1, 2} {
			c.StartAgain(i)
		}
		for _, i := range []int{1, 2} {
			c.AwaitServing(i)
		}
		require.InDelta(t, time.Hour, time.Until(c.Node(1).Cluster().Now()), float64(time.Second))
		c.Heal()
		c.AwaitServing(0)
		time.Sleep(time.Second)
		for i := range 3 {
			require.InDelta(t, 0, time.Until(c.Node(i).Cluster().Now()), float64(time.Second), i)
		}
	}, clustertest.WithDisk())
}

// When all nodes were down, most of their clocks say how long.
func TestClockIsWrongWhenAllRestart(t *testing.T) {
	for wrong := range 3 {
		for _, off := range []time.Duration{time.Hour, -time.Hour} {
			t.Run(fmt.Sprint(wrong, off), func(t *testing.T) {
				bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
					for i := range 3 {
						c.Kill(i)
					}
					c.SetClock(wrong, off)
					time.Sleep(time.Minute)
					for _, i := range []int{wrong, (wrong + 1) % 3, (wrong + 2) % 3} {
						c.StartAgain(i)
						time.Sleep(300 * time.Millisecond)
					}
					for i := range 3 {
						c.AwaitServing(i)
					}
					for i := range 3 {
						require.InDelta(t, 0, time.Until(c.Node(i).Cluster().Now()), float64(time.Second), i)
					}
				}, clustertest.WithDisk())
			})
		}
	}
}
