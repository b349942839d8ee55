package raftlog

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A node is bound to one other at a time, for longer than that one makes use of it; and to nobody for as long when it has just started, since it may
// have promised before.
func TestPromise(t *testing.T) {
	require.Greater(t, promiseFor, promiseUse)
	synctest.Test(t, func(t *testing.T) {
		p := pact{began: time.Now()}
		require.False(t, p.promise("c01"))
		time.Sleep(promiseFor)
		require.True(t, p.promise("c01"))
		require.True(t, p.promise("c01"))
		require.False(t, p.promise("c02"))
		time.Sleep(promiseFor - time.Millisecond)
		require.False(t, p.promise("c02"))
		time.Sleep(time.Millisecond)
		require.True(t, p.promise("c02"))
		require.False(t, p.promise("c01"))
	})
}
