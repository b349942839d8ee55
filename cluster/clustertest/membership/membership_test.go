package membership_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// traffic is a publisher of QoS 1 that goes on, on whichever node there is, until end.
type traffic struct {
	t       *testing.T
	c       *clustertest.Cluster
	topic   string
	at      func() int
	pause   time.Duration
	stop    chan struct{}
	done    chan struct{}
	acked   []string
	longest time.Duration // that an acknowledgement took, over reconnects
}

func startTraffic(t *testing.T, c *clustertest.Cluster, topic string, pause time.Duration, at func() int) *traffic {
	tr := &traffic{t: t, c: c, topic: topic, at: at, pause: pause, stop: make(chan struct{}), done: make(chan struct{})}
	go tr.run()
	return tr
}

func (tr *traffic) run() {
	defer close(tr.done)
	var conn *steady
	for n := 0; ; n++ {
		select {
		case <-tr.stop:
			conn.close()
			return
		case <-time.After(tr.pause):
		}
		payload := fmt.Sprintf("%06d", n)
		began := time.Now()
		for {
			if conn == nil {
				conn = dialSteady(tr.c, tr.at(), "traffic/"+tr.topic)
			}
			if conn != nil && conn.publish(tr.topic, payload) {
				break
			}
			conn.close()
			conn = nil
			time.Sleep(10 * time.Millisecond)
		}
		tr.longest = max(tr.longest, time.Since(began))
		tr.acked = append(tr.acked, payload)
	}
}

// end returns what was acknowledged.
func (tr *traffic) end() []string {
	close(tr.stop)
	<-tr.done
	return tr.acked
}

// arrives has a subscriber receive everything that was acknowledged, in order; repetitions of what was sent twice are allowed.
func (tr *traffic) arrives(sub *mqtt.Client, acked []string) {
	tr.t.Helper()
	last := ""
	for _, want := range acked {
		for {
			got := string(sub.Receive().Payload)
			if got == want {
				break
			}
			require.LessOrEqual(tr.t, got, last, "a gap: %s is missing", want)
		}
		last = want
	}
}

// One node replaced at a time, for ever: each new one has another name and no data, and in the end none of the first is left.
func TestReplaceOneAtATimeForEver(t *testing.T) {
	bubble.Of(t, 3, func(t *testing.T, c *clustertest.Cluster) {
		newest := 2
		sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(100_000))
		sub.Subscribe(1, "t")
		sub.Leave()
		tr := startTraffic(t, c, "t", 20*time.Millisecond, func() int { return newest })
		for oldest := range 9 {
			newest = c.Add()
			if oldest%2 == 0 {
				c.Kill(oldest)
			} else {
				c.Stop(oldest)
			}
			eventually(t, 3*time.Minute, "the old node is removed, and the new one decides", func() bool {
				voters := c.Node(newest).Status().Voters
				return len(voters) == 3 && slices.Contains(voters, c.Node(newest).Name) && !slices.Contains(voters, c.Node(oldest).Name)
			})
		}
		acked := tr.end()
		require.Len(t, c.Node(newest).Status().Nodes, 3)
		require.Greater(t, len(acked), 200)
		sub = mqtt.Connect(t, c, newest-1, "sub", mqtt.Expiry(100_000))
		require.True(t, sub.Ack.SessionPresent)
		tr.arrives(sub, acked)
	}, clustertest.WithDisk(), clustertest.WithConfig(func(_ int, c *cluster.Config) { c.RemoveLostAfter = 5 * time.Second }))
}

// Seven nodes, of which five decide. The others serve like any; when a voter is removed, one of them takes its place.
func TestNonVotersServeAndArePromoted(t *testing.T) {
	bubble.Of(t, 7, func(t *testing.T, c *clustertest.Cluster) {
		voters := func() []string { return c.Node(6).Status().Voters }
		require.Len(t, c.Node(0).Status().Nodes, 7)
		eventually(t, time.Minute, "as many decide as may", func() bool { return len(voters()) == cluster.DefaultVoters })
		var others []int
		for i := range 7 {
			if !slices.Contains(voters(), c.Node(i).Name) {
				others = append(others, i)
			}
		}
		sub, pub := mqtt.Connect(t, c, others[0], "sub", mqtt.Expiry(600)), mqtt.Connect(t, c, others[1], "pub", mqtt.Clean)
		sub.Subscribe(2, "t")
		require.Equal(t, packets.Success, pub.Post("t", "between those that do not vote", 2, false))
		require.Equal(t, "between those that do not vote", string(sub.Receive().Payload))

		// Two voters are lost at once: that is what five are for.
		lost := []int{}
		for i := range 7 {
			if len(lost) < 2 && !slices.Contains(others, i) {
				c.Kill(i)
				lost = append(lost, i)
			}
		}
		require.Equal(t, packets.Success, pub.Post("t", "three of five", 2, false))
		require.Equal(t, "three of five", string(sub.Receive().Payload))
		for _, i := range lost {
			eventually(t, time.Minute, "it can be removed", func() bool {
				return c.Node(others[0]).Cluster().Remove(t.Context(), c.Node(i).Name) == nil
			})
		}
		eventually(t, time.Minute, "both others decide now", func() bool {
			v := voters()
			return len(v) == 5 && slices.Contains(v, c.Node(others[0]).Name) && slices.Contains(v, c.Node(others[1]).Name)
		})

		// With them, two more can be lost.
		more := 0
		for i := range 7 {
			if more < 2 && !slices.Contains(lost, i) && !slices.Contains(others, i) {
				c.Kill(i)
				more++
			}
		}
		require.Equal(t, packets.Success, pub.Post("t", "three of five again", 2, false))
		require.Equal(t, "three of five again", string(sub.Receive().Payload))
	})
}

// An operator may remove a node that will not come back, at once; not one that runs. It is welcome if it comes back after all, with data and without.
func TestRemove(t *testing.T) {
	for _, wiped := range []bool{false, true} {
		t.Run(fmt.Sprintf("wiped %t", wiped), func(t *testing.T) {
			bubble.Of(t, 3, func(t *testing.T, c *clustertest.Cluster) {
				require.ErrorContains(t, c.Node(0).Cluster().Remove(t.Context(), "c02"), "it is running")
				require.NoError(t, c.Node(0).Cluster().Remove(t.Context(), "nobody"))
				sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				c.Stop(1)
				require.NoError(t, c.Node(2).Cluster().Remove(t.Context(), "c02"))
				require.Equal(t, []string{"c01", "c03"}, c.Node(2).Status().Voters)
				require.Equal(t, packets.Success, mqtt.Connect(t, c, 0, "pub", mqtt.Clean).Post("t", "meanwhile", 1, false))
				if wiped {
					c.Wipe(1)
				}
				c.Restart(1)
				eventually(t, time.Minute, "it decides again", func() bool { return len(c.Node(0).Status().Voters) == 3 })
				sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				require.Equal(t, "meanwhile", string(sub.Receive().Payload))
			}, clustertest.WithDisk())
		})
	}
}

// Two of three are killed: nothing is acknowledged. They come back: the cluster goes on by itself, and nothing is lost.
func TestQuorumLostAndBack(t *testing.T) {
	for _, lost := range [][]int{{1, 2}, {0, 1}, {0, 1, 2}} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(6000))
				sub.Subscribe(2, "t")
				sub.Leave()
				all := mqtt.Numbered(30)
				pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
				for _, p := range all[:20] {
					require.Equal(t, packets.Success, pub.Post("t", p, 2, false))
				}
				for _, i := range lost {
					c.Kill(i)
				}
				time.Sleep(time.Minute)
				for i := range 3 {
					if !slices.Contains(lost, i) {
						require.False(t, c.Node(i).Status().Serving)
					}
				}
				for _, i := range lost {
					c.StartAgain(i)
				}
				for i := range 3 {
					c.AwaitServing(i)
				}
				pub = mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				for _, p := range all[20:] {
					require.Equal(t, packets.Success, pub.Post("t", p, 2, false))
				}
				sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(6000))
				require.True(t, sub.Ack.SessionPresent)
				for _, want := range all {
					require.Equal(t, want, string(sub.Receive().Payload))
				}
				sub.Silent(time.Second)
			}, clustertest.WithDisk())
		})
	}
}

// A leader hands its leadership on before it stops: nobody waits for an election.
func TestLeaderStopsWithoutElection(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		leader := -1
		for i := range 3 {
			if c.Node(i).Status().Leader == c.Node(i).Name {
				leader = i
			}
		}
		require.NotEqual(t, -1, leader)
		other := (leader + 1) % 3
		sub := mqtt.Connect(t, c, other, "sub", mqtt.Expiry(600))
		sub.Subscribe(1, "t")
		sub.Leave() // so that every message is agreed on
		tr := startTraffic(t, c, "t", 20*time.Millisecond, func() int { return other })
		time.Sleep(time.Second)
		c.Stop(leader)
		time.Sleep(5 * time.Second)
		acked := tr.end()
		t.Logf("the longest acknowledgement took %s", tr.longest)
		require.Less(t, tr.longest, cluster.DefaultElectionTimeout/2, "of a leader that is lost nobody hears before twice that")
		sub = mqtt.Connect(t, c, other, "sub", mqtt.Expiry(600))
		tr.arrives(sub, acked)
	})
}

// A node that was killed or stopped comes back at another address, under its name, with its data or without.
func TestRestartElsewhere(t *testing.T) {
	for _, how := range []string{"killed", "stopped", "killed and wiped"} {
		t.Run(how, func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				sub.Subscribe(1, "t")
				pub := mqtt.Connect(t, c, 2, "pub", mqtt.Clean)
				if how == "stopped" {
					c.Stop(1)
				} else {
					c.Kill(1)
				}
				if how == "killed and wiped" {
					c.Wipe(1)
				}
				began := time.Now()
				c.StartElsewhere(1)
				require.Equal(t, packets.Success, pub.Post("t", "meanwhile", 1, false))
				c.AwaitServing(1)
				t.Log("back after", time.Since(began))
				require.Less(t, time.Since(began), 10*time.Second)
				require.Len(t, c.Node(0).Status().Voters, 3)
				require.Equal(t, packets.Success, mqtt.Connect(t, c, 1, "other", mqtt.Clean).Post("t", "from there", 1, false))
				sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
				require.True(t, sub.Ack.SessionPresent)
				require.Equal(t, "meanwhile", string(sub.Receive().Payload))
				require.Equal(t, "from there", string(sub.Receive().Payload))
			}, clustertest.WithDisk())
		})
	}
}
