package shoal

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRecentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent[int]
		for i := range recentLimit + 10 {
			r.add(i)
			r.add(i)
		}
		require.Len(t, r.until, recentLimit)
		require.False(t, r.has(9))
		require.True(t, r.has(10))
		time.Sleep(rerouteTime)
		require.False(t, r.has(10))
		r.add(0)
		time.Sleep(time.Second)
		r.add(1)
		require.Equal(t, []int{0, 1}, r.order, "those that are too old are gone")
	})
}
