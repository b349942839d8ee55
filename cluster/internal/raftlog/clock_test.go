package raftlog

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A clock takes over an older time, whatever that shows, keeps its own from a younger one, and moves within one time no further than it must.
func TestClockHears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := time.Now()
		old := newClock(wall)
		time.Sleep(time.Minute)
		young := newClock(time.Now().Add(-time.Hour))
		require.True(t, young.older(old.read()))
		require.False(t, old.older(young.read()))

		exchange := func(c *clock, with *clock, there, back time.Duration) {
			sent := time.Now()
			time.Sleep(there)
			r := with.read()
			time.Sleep(back)
			require.NotZero(t, r.at)
			c.heard(r, sent)
		}
		exchange(young, old, 20*time.Millisecond, 0)
		require.InDelta(t, old.now(), young.now(), float64(10*time.Millisecond))
		require.False(t, old.older(young.read()))
		require.False(t, young.older(old.read()))
		third := newClock(time.Now().Add(time.Hour))
		exchange(old, third, 0, 0)
		require.Equal(t, time.Now().UnixNano(), old.now())
		exchange(third, young, 0, 0)
		require.Equal(t, young.now(), third.now(), "the time is as old as those who brought it")

		was := young.now() - old.now()
		exchange(young, old, 30*time.Millisecond, 30*time.Millisecond)
		require.Equal(t, was, young.now()-old.now(), "it may be right")
		exchange(young, old, 0, 0)
		require.Equal(t, old.now(), young.now())
		time.Sleep(time.Hour)
		require.Equal(t, old.now(), young.now())
		require.Equal(t, time.Hour+time.Minute, old.read().age.Truncate(time.Minute))
	})
}
