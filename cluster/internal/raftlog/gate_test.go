package raftlog

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGate holds that raft is not stopped while somebody waits for it, but for so long only, and that nobody waits for it afterwards.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		broken := errors.New("broken")
		require.ErrorIs(t, g.do(func() error { return broken }), broken)
		raft, never := make(chan struct{}), make(chan struct{})
		results := make(chan error, 2)
		go func() { results <- g.do(func() error { <-raft; return nil }) }()
		go func() { results <- g.do(func() error { <-never; return nil }) }()
		synctest.Wait()
		closed := make(chan time.Duration)
		began := time.Now()
		go func() {
			g.close(time.Second)
			closed <- time.Since(began)
		}()
		synctest.Wait()
		require.ErrorIs(t, g.do(func() error { t.Error("let in"); return nil }), errClosed)
		close(raft)
		require.NoError(t, <-results, "it had its answer")
		require.Equal(t, time.Second, <-closed, "one has not")
		g.abandon()
		require.ErrorIs(t, <-results, errClosed)
		close(never)
	})
}
