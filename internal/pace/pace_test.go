package pace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDelay holds how long publishers are held back for subscribers of several kinds, whose queue was empty at 1 s.
func TestDelay(t *testing.T) {
	second := time.Second.Nanoseconds()
	for name, c := range map[string]struct {
		every  time.Duration // the subscriber takes one message, 0 for never
		after  time.Duration // how long its queue has not been empty
		over   int
		delay  time.Duration
		getsOn bool
	}{
		"nothing is known yet":              {0, time.Millisecond, 1, unknown, true},
		"it has not begun, but may":         {0, time.Second, 10, unknown, true},
		"it has stopped":                    {0, Stalled, 1, 0, false},
		"it takes a thousand a second":      {time.Millisecond, time.Second, 100, 100 * time.Millisecond, true},
		"it is quick":                       {10 * time.Microsecond, time.Second, 1, least, true},
		"it is too slow for so many, yet":   {10 * time.Millisecond, time.Second, 1000, Patience, true},
		"it is too slow, but not for these": {10 * time.Millisecond, time.Second, 100, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			var p Progress
			p.Empty(second)
			end := second + c.after.Nanoseconds()
			if c.every > 0 {
				for now := second; now < end; now += c.every.Nanoseconds() {
					p.Taken()
					p.Look(now)
				}
			}
			delay, getsOn := p.Delay(c.over, end)
			require.Equal(t, c.getsOn, getsOn)
			require.InDelta(t, c.delay, delay, float64(c.delay)/8+float64(time.Millisecond))
		})
	}
}

// TestTooSlowForTooLong holds that nobody waits for a subscriber that is too slow for longer than Patience, until it has been quicker for a while.
func TestTooSlowForTooLong(t *testing.T) {
	var p Progress
	now := time.Second.Nanoseconds()
	p.Empty(now)
	last := true
	for range 300 { // 100 a second
		now += 10 * time.Millisecond.Nanoseconds()
		p.Taken()
		_, last = p.Delay(1000, now)
	}
	require.False(t, last)
	_, getsOn := p.Delay(10, now)
	require.True(t, getsOn, "the few that fit into Patience are waited for")
	p.CaughtUp()
	_, getsOn = p.Delay(1000, now)
	require.True(t, getsOn)
}

// TestWheel holds that what is held comes when it is due, in that order, and at the end of Run at once.
func TestWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel[int]()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var got []int
		var at []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Run(ctx, func(v int) {
				got = append(got, v)
				at = append(at, time.Since(began).Round(step))
			})
		}()
		for i, d := range []time.Duration{50 * step, 10 * step, 0, Patience, time.Hour} {
			require.True(t, w.Hold(i, d))
		}
		synctest.Wait()
		require.GreaterOrEqual(t, w.Held(), 4)
		time.Sleep(3 * Patience)
		synctest.Wait()
		require.Equal(t, []int{2, 1, 0, 3, 4}, got)
		for i, want := range []time.Duration{step, 10 * step, 50 * step, Patience, Patience} {
			require.InDelta(t, want, at[i], float64(step))
		}
		require.Zero(t, w.Held())
		w.Hold(5, Patience) // after a pause
		time.Sleep(Patience / 2)
		w.Hold(6, Patience)
		time.Sleep(Patience/2 + 2*step)
		synctest.Wait()
		require.Equal(t, 5, got[len(got)-1])
		cancel()
		<-done
		require.Equal(t, 6, got[len(got)-1])
		require.False(t, w.Hold(7, 0))
	})
}
