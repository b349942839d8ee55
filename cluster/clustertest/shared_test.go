package clustertest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 7: the strategies choose among the members of the whole cluster.
func TestSharedStrategies(t *testing.T) {
	total := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	for strategy, check := range map[shoal.SharedStrategy]func(t *testing.T, counts []int){
		shoal.SharedLocalFirst: func(t *testing.T, counts []int) { require.Equal(t, []int{60, 0, 0}, counts) },
		shoal.SharedRoundRobin: func(t *testing.T, counts []int) { require.Equal(t, []int{20, 20, 20}, counts) },
		shoal.SharedRandom: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Greater(t, n, 2)
			}
		},
		shoal.SharedSticky: func(t *testing.T, counts []int) { require.Equal(t, []int{60, 0, 0}, counts) },
		shoal.SharedByClient: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Zero(t, n%60)
			}
		},
		shoal.SharedLeastLoaded: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.NotZero(t, n)
			}
		},
	} {
		t.Run(strategy.String(), func(t *testing.T) {
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				var members []*client
				for i := range 3 {
					cl := connect(t, c, i, fmt.Sprint("worker", i), clean)
					cl.subscribe(1, "$share/g/t")
					members = append(members, cl)
				}
				time.Sleep(time.Second) // that they are connected is told in the background
				pub := connect(t, c, 0, "pub", clean)
				for range 60 {
					require.Equal(t, packets.Success, pub.post("t", "m", 1, false))
				}
				counts := make([]int, len(members))
				for i, cl := range members {
					counts[i] = cl.count(100 * time.Millisecond)
				}
				require.Equal(t, 60, total(counts))
				check(t, counts)
			}, clustertest.WithBroker(func(int) []shoal.Option {
				return []shoal.Option{shoal.WithAnonymous(), shoal.WithSharedStrategy(strategy)}
			}))
		})
	}
}

// count acknowledges QoS 1 messages until none comes for a time, and returns how many came.
func (c *client) count(quiet time.Duration) (n int) {
	c.t.Helper()
	for {
		p, err := c.read(quiet)
		if err != nil {
			require.ErrorIs(c.t, err, os.ErrDeadlineExceeded)
			return n
		}
		pub, ok := p.(*packets.Publish)
		require.True(c.t, ok, "expected PUBLISH, got %T", p)
		c.send(&packets.PubAck{PacketID: pub.PacketID})
		n++
	}
}
