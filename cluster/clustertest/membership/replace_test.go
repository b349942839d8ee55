package membership_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// decide waits until exactly the given nodes are voters, as one of them sees it.
func decide(t *testing.T, c *clustertest.Cluster, within time.Duration, nodes ...int) {
	t.Helper()
	var want []string
	for _, i := range nodes {
		want = append(want, c.Node(i).Name)
	}
	slices.Sort(want)
	eventually(t, within, fmt.Sprint("the voters are ", want), func() bool {
		return slices.Equal(want, c.Node(nodes[0]).Status().Voters)
	})
}

// serves checks that a node accepts a message and that another one delivers it.
func serves(t *testing.T, c *clustertest.Cluster, pub, sub int) {
	t.Helper()
	c.AwaitServing(pub)
	c.AwaitServing(sub)
	s := mqtt.Connect(t, c, sub, "serves-sub", mqtt.Clean)
	s.Subscribe(1, "serves")
	p := mqtt.Connect(t, c, pub, "serves-pub", mqtt.Clean)
	require.Equal(t, packets.Success, p.Post("serves", "hello", 1, false))
	require.Equal(t, "hello", string(s.Receive().Payload))
	p.Leave()
	s.Leave()
}

// awaitLeader returns the number of the node that leads.
func awaitLeader(t *testing.T, c *clustertest.Cluster) int {
	t.Helper()
	leader := -1
	eventually(t, time.Minute, "there is a leader", func() bool {
		for i := range c.Nodes() {
			if n := c.Node(i); n.Broker() != nil && n.Status().Leader == n.Name {
				leader = i
				return true
			}
		}
		return false
	})
	return leader
}

func withAndWithoutDisk(t *testing.T, fn func(t *testing.T, opts ...clustertest.Option)) {
	t.Run("in memory", func(t *testing.T) { fn(t) })
	t.Run("on disk", func(t *testing.T) { fn(t, clustertest.WithDisk()) })
}

// Three nodes are replaced under new names, each old one stopped after the new one serves, and nobody is told that it is for good.
func TestReplaceAllUnderNewNames(t *testing.T) {
	withAndWithoutDisk(t, func(t *testing.T, opts ...clustertest.Option) {
		bubble.Of(t, 3, func(t *testing.T, c *clustertest.Cluster) {
			sub := mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(6000))
			sub.Subscribe(1, "t")
			sub.Leave()
			for old := range 3 {
				c.Add()
				c.Stop(old)
			}
			serves(t, c, 3, 4)
			decide(t, c, 10*time.Second, 3, 4, 5)
			require.Equal(t, packets.Success, mqtt.Connect(t, c, 5, "pub", mqtt.Clean).Post("t", "later", 1, false))
			c.Kill(3)
			serves(t, c, 4, 5)
			sub = mqtt.Connect(t, c, 4, "sub", mqtt.Expiry(6000))
			require.True(t, sub.Ack.SessionPresent)
			require.Equal(t, "later", string(sub.Receive().Payload))
		}, opts...)
	})
}

// A voter that is killed gives its place to a spare node at once, and is a spare node when it comes back; then it takes the place of the next one.
func TestReplacedVoterComesBack(t *testing.T) {
	bubble.Of(t, 3, func(t *testing.T, c *clustertest.Cluster) {
		c.Add()
		decide(t, c, 10*time.Second, 0, 1, 2)
		c.Kill(1)
		decide(t, c, 10*time.Second, 0, 2, 3)
		c.Restart(1)
		serves(t, c, 1, 3)
		require.Equal(t, []string{"c01", "c03", "c04"}, c.Node(0).Status().Voters)
		c.Kill(2)
		decide(t, c, 10*time.Second, 0, 1, 3)
		c.Kill(0)
		serves(t, c, 1, 3)
	}, clustertest.WithDisk())
}

// Two nodes are added to three and go again. Whether they stop or leave for good, one of the first three may be lost then.
func TestGrowAndShrink(t *testing.T) {
	for _, forGood := range []bool{false, true} {
		t.Run(fmt.Sprintf("for good %t", forGood), func(t *testing.T) {
			withAndWithoutDisk(t, func(t *testing.T, opts ...clustertest.Option) {
				bubble.Of(t, 3, func(t *testing.T, c *clustertest.Cluster) {
					c.Add()
					c.Add()
					decide(t, c, 10*time.Second, 0, 1, 2, 3, 4)
					for i := 3; i < 5; i++ {
						if forGood {
							c.Node(i).Cluster().LeaveOnClose()
						}
						c.Stop(i)
					}
					decide(t, c, 30*time.Second, 0, 1, 2)
					c.Kill(0)
					serves(t, c, 1, 2)
				}, opts...)
			})
		})
	}
}

// One of two nodes is drained, shut down and removed, whichever leads: the other one serves, alone, and two are two again when it comes back.
func TestTwoNodesBecomeOne(t *testing.T) {
	for _, goes := range []string{"leader", "follower"} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s goes, seed %d", goes, seed), func(t *testing.T) {
				withAndWithoutDisk(t, func(t *testing.T, opts ...clustertest.Option) {
					opts = append(opts, clustertest.WithSeed(seed))
					bubble.Of(t, 2, func(t *testing.T, c *clustertest.Cluster) { twoToOne(t, c, goes == "leader") }, opts...)
				})
			})
		}
	}
}

func twoToOne(t *testing.T, c *clustertest.Cluster, leaderGoes bool) {
	goes := awaitLeader(t, c)
	if !leaderGoes {
		goes = 1 - goes
	}
	stays := 1 - goes
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, c.Node(goes).Broker().Drain(ctx, shoal.DrainOptions{}))
	c.Stop(goes)
	serves(t, c, stays, stays)
	require.NoError(t, c.Node(stays).Cluster().Remove(ctx, c.Node(goes).Name))
	decide(t, c, time.Second, stays)
	time.Sleep(time.Minute)
	serves(t, c, stays, stays)
	c.Restart(goes)
	decide(t, c, 10*time.Second, 0, 1)
	serves(t, c, stays, goes)
}

// The leader is stopped, or killed, and removed in the same moment: Remove waits until somebody else can do it.
func TestRemoveTheLeader(t *testing.T) {
	for _, how := range []string{"stopped", "killed", "paused"} {
		t.Run(how, func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				leader := awaitLeader(t, c)
				other := (leader + 1) % 3
				switch how {
				case "stopped":
					c.Stop(leader)
				case "killed":
					c.Kill(leader)
				case "paused":
					c.Pause(leader)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				require.NoError(t, c.Node(other).Cluster().Remove(ctx, c.Node(leader).Name))
				require.NotContains(t, c.Node(other).Status().Voters, c.Node(leader).Name)
				serves(t, c, other, (leader+2)%3)
			}, clustertest.WithDisk())
		})
	}
}

// A node that cannot leave for good, because too few others are there to agree, says so when it is shut down.
func TestLeavingForGoodNeedsTheOthers(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Kill(1)
		c.Kill(2)
		time.Sleep(5 * time.Second)
		c.Node(0).Cluster().LeaveOnClose()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, c.Node(0).Broker().Shutdown(ctx), "c02")
	}, clustertest.WithDisk())
}

// One of five that is restarted keeps its vote. The votes of two that are stopped at once lapse, so that the others can lose one more, and come
// back with them. The votes of nodes that are lost are kept until RemoveLostAfter.
func TestVotesOfStoppedNodesComeBackWithThem(t *testing.T) {
	bubble.Of(t, 5, func(t *testing.T, c *clustertest.Cluster) {
		decide(t, c, 10*time.Second, 0, 1, 2, 3, 4)
		c.Stop(3)
		time.Sleep(10 * time.Second)
		require.Len(t, c.Node(0).Status().Voters, 5)
		c.Restart(3)
		decide(t, c, 10*time.Second, 0, 1, 2, 3, 4)
		c.Stop(3)
		c.Stop(4)
		decide(t, c, 0, 0, 1, 2)
		c.Restart(3)
		c.Restart(4)
		decide(t, c, 10*time.Second, 0, 1, 2, 3, 4)
		c.Kill(3)
		c.Kill(4)
		time.Sleep(5 * time.Minute)
		require.Len(t, c.Node(0).Status().Voters, 5)
		decide(t, c, 10*time.Minute, 0, 1, 2)
	}, clustertest.WithDisk())
}
