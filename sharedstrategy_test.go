package shoal_test

import (
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/internal/mqtttest"
	"github.com/shoalmq/shoal/packets"
)

// workers are three members of a shared group.
func workers(t *testing.T, b *shoal.Broker, filter string) []*mqtttest.Client {
	t.Helper()
	var members []*mqtttest.Client
	for i := range 3 {
		cl := speaker(t, b, "worker"+strconv.Itoa(i))
		cl.Subscribe(1, filter)
		members = append(members, cl)
	}
	return members
}

// shares counts what each has got.
func shares(members []*mqtttest.Client) (counts []int) {
	for _, cl := range members {
		counts = append(counts, len(taken(cl)))
	}
	return counts
}

func TestSharedStrategies(t *testing.T) {
	for strategy, check := range map[shoal.SharedStrategy]func(t *testing.T, counts []int){
		shoal.SharedLocalFirst: func(t *testing.T, counts []int) { require.Equal(t, []int{30, 30, 30}, counts) },
		shoal.SharedRoundRobin: func(t *testing.T, counts []int) { require.Equal(t, []int{30, 30, 30}, counts) },
		shoal.SharedRandom: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Greater(t, n, 5) // less happens once in a hundred million times
			}
		},
		shoal.SharedSticky: func(t *testing.T, counts []int) { require.Equal(t, []int{90, 0, 0}, counts) },
		shoal.SharedByClient: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.Zero(t, n%10, "the ten messages of a publisher stay together: %v", counts)
			}
		},
		shoal.SharedLeastLoaded: func(t *testing.T, counts []int) {
			for _, n := range counts {
				require.NotZero(t, n)
			}
		},
	} {
		t.Run(strategy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, shoal.WithSharedStrategy(strategy))
				members := workers(t, b, "$share/g/t")
				for i := range 9 {
					pub := speaker(t, b, "pub"+strconv.Itoa(i))
					for range 10 {
						require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
					}
				}
				counts := shares(members)
				require.Equal(t, 90, counts[0]+counts[1]+counts[2])
				check(t, counts)
			})
		})
	}
}

// The member whose queue is the shortest gets the next message: one that does not acknowledge gets no more than the others have waiting.
func TestSharedLeastLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithSharedStrategy(shoal.SharedLeastLoaded, "g"))
		members := workers(t, b, "$share/g/t")
		members[0].Manual = true // acknowledges nothing
		pub := speaker(t, b, "pub")
		for range 60 {
			require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
			taken(members[1])
			taken(members[2])
		}
		require.LessOrEqual(t, len(taken(members[0])), 1)
	})
}

// A sticky member is followed by another when it goes; a strategy for one ShareName is not that of others.
func TestSharedStickyMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, shoal.WithSharedStrategy(shoal.SharedSticky, "g", "h"))
		members := workers(t, b, "$share/g/t")
		pub := speaker(t, b, "pub")
		publish := func() {
			for range 6 {
				require.Equal(t, packets.Success, pub.Publish(1, "t", "m"))
			}
		}
		publish()
		require.Equal(t, []int{6, 0, 0}, shares(members))
		members[0].Disconnect()
		synctest.Wait()
		publish()
		require.ElementsMatch(t, []int{6, 0}, shares(members[1:]))
		for i, cl := range members[1:] {
			cl.Unsubscribe("$share/g/t")
			cl.Subscribe(1, "$share/other/t")
			require.Empty(t, taken(cl), i)
		}
		publish()
		require.Equal(t, []int{3, 3}, shares(members[1:]))
	})
}

func TestSharedStrategyIsChecked(t *testing.T) {
	_, err := shoal.New(shoal.WithAnonymous(), shoal.WithSharedStrategy(42))
	require.ErrorContains(t, err, "there is no strategy 42")
	_, err = shoal.New(shoal.WithAnonymous(), shoal.WithSharedStrategy(shoal.SharedRandom, "a/b+"))
	require.ErrorContains(t, err, `ShareName "a/b+"`)
	require.Equal(t, "SharedStrategy(42)", shoal.SharedStrategy(42).String())
}
