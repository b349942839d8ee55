package cluster

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

func three(t *testing.T, w *world) (a, b *node) {
	t.Helper()
	for _, name := range []string{"c01", "c02", "c03"} {
		w.start(name)
	}
	w.formed("c01", "c02", "c03")
	return w.nodes["c01"], w.nodes["c02"]
}

// C8: links break, hang and are reset under way; nothing is lost, repeated or reordered.
func TestForwardKeepsOrderOverBrokenLinks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := three(t, w)
		const count = 10000
		var wg sync.WaitGroup
		wg.Add(count)
		for i := range count {
			a.Forward("c02", fmt.Appendf(nil, "%d", i), func(err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
			switch i % 1000 {
			case 200:
				w.net.ResetStreams("c01", "c02")
			case 400:
				w.net.Cut("c01", "c02")
			case 600:
				w.net.Join("c01", "c02")
			case 700:
				w.net.Cut("c02", "c01")
			case 850:
				w.net.ResetStreams("c01", "c02")
			case 900:
				w.net.Join("c02", "c01")
			}
		}
		w.net.Heal()
		wg.Wait()
		got := b.machine.from("c01")
		require.Len(t, got, count)
		for i, s := range got {
			require.Equal(t, fmt.Sprint(i), s)
		}
	})
}

// What was received but not accepted when the link broke is not handed over again.
func TestForwardDoesNotRepeatWhatWaitsForAcceptance(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := three(t, w)
		b.machine.locked(func() { b.machine.holding = true })
		done := make(chan error, 100)
		for i := range 100 {
			a.Forward("c02", fmt.Appendf(nil, "%d", i), func(err error) { done <- err })
		}
		eventually(t, time.Second, "all received", func() bool { return len(b.machine.from("c01")) == 100 })
		require.Empty(t, done)
		w.net.ResetStreams("c01", "c02")
		time.Sleep(3 * time.Second)
		require.Len(t, b.machine.from("c01"), 100)
		require.Empty(t, done)
		b.machine.mu.Lock()
		hold := b.machine.hold
		b.machine.mu.Unlock()
		for i := len(hold) - 1; i >= 0; i-- { // in any order
			hold[i](nil)
			hold[i](nil) // a second call does nothing
		}
		for range 100 {
			require.NoError(t, <-done)
		}
	})
}

func TestForwardTellsARefusal(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := three(t, w)
		b.machine.locked(func() { b.machine.refuse = "bad" })
		results := make(map[string]error)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, s := range []string{"good", "bad", "good too"} {
			wg.Add(1)
			a.Forward("c02", []byte(s), func(err error) {
				mu.Lock()
				defer mu.Unlock()
				results[s] = err
				wg.Done()
			})
		}
		wg.Wait()
		require.NoError(t, results["good"])
		require.ErrorContains(t, results["bad"], "refused")
		require.NoError(t, results["good too"])
	})
}

// C15: batches far above gRPC's default of 4 MiB.
func TestForwardLargeBatch(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := three(t, w)
		large := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
		done := make(chan error, 3)
		for _, batch := range [][]byte{[]byte("before"), large, []byte("after")} {
			a.Forward("c02", batch, func(err error) { done <- err })
		}
		for range 3 {
			require.NoError(t, <-done)
		}
		got := b.machine.from("c01")
		require.Equal(t, "before", got[0])
		require.Equal(t, string(large), got[1])
		require.Equal(t, "after", got[2])
	})
}

func TestForwardToALostNode(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := three(t, w)
		w.net.Isolate("c02")
		done := make(chan error, 2)
		began := time.Now()
		a.Forward("c02", []byte("x"), func(err error) { done <- err })
		require.ErrorIs(t, <-done, shoal.ErrNodeLost)
		require.Greater(t, time.Since(began), time.Second, "only after its lease")
		a.Forward("c02", []byte("y"), func(err error) { done <- err })
		require.ErrorIs(t, <-done, shoal.ErrNodeLost)
		_, err := a.Call(t.Context(), "c02", []byte("x"))
		require.ErrorIs(t, err, shoal.ErrNodeLost)
		a.Forward("c99", []byte("z"), func(err error) { done <- err })
		require.ErrorIs(t, <-done, shoal.ErrNodeLost)

		// After the heal it takes batches again, and begins a new sequence.
		w.net.Heal()
		w.formed("c01", "c02", "c03")
		a.Forward("c02", []byte("again"), func(err error) { done <- err })
		require.NoError(t, <-done)
	})
}

// A node that restarts before it is given up takes what was on its way there, once and in order; or, if the cluster hears of its restart
// before it has, the sender is told that it was lost.
func TestForwardToARestartedNode(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := three(t, w)
		b.machine.locked(func() { b.machine.holding = true })
		done := make(chan error, 20)
		for i := range 10 {
			a.Forward("c02", fmt.Appendf(nil, "%d", i), func(err error) { done <- err })
		}
		eventually(t, time.Second, "received", func() bool { return len(b.machine.from("c01")) == 10 })
		w.kill("c02")
		for i := range 10 {
			a.Forward("c02", fmt.Appendf(nil, "%d", 10+i), func(err error) { done <- err })
		}
		b = w.start("c02")
		w.formed("c01", "c02", "c03")
		accepted := 0
		for range 20 {
			if err := <-done; err != nil {
				require.ErrorIs(t, err, shoal.ErrNodeLost)
			} else {
				accepted++
			}
		}
		got := b.machine.from("c01")
		require.GreaterOrEqual(t, len(got), accepted)
		for i, s := range got {
			require.Equal(t, fmt.Sprint(i), s)
		}
	})
}

func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := three(t, w)
		answer, err := a.Call(t.Context(), "c02", []byte("how"))
		require.NoError(t, err)
		require.Equal(t, "c01 asked how", string(answer))
		_, err = a.Call(t.Context(), "c02", []byte("fail"))
		require.ErrorContains(t, err, "cannot")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.Call(ctx, "c02", []byte("hang"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		// A call in flight ends when the node is given up.
		result := make(chan error, 1)
		go func() {
			_, err := a.Call(context.Background(), "c02", []byte("hang"))
			result <- err
		}()
		time.Sleep(10 * time.Millisecond)
		w.kill("c02")
		require.Error(t, <-result)
	})
}
