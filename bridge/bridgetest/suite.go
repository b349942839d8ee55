package bridgetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/storage/memory"
)

// Far is the system at the other end of a bridge. Its functions fail the test when something does not
// work.
type Far struct {
	// Bridge makes a bridge, each time the same, that has what is published to "out/#" arrive there, and,
	// if there is a Send, publishes what that sends.
	Bridge func(t testing.TB) shoal.Bridge
	// Arrived returns the payloads that have arrived so far. Each topic's are in order.
	Arrived func(t testing.TB) []string
	// Send sends a payload, which the bridge publishes to "in/1". Nil: the bridge goes one way.
	Send func(t testing.TB, payload string)
	// Away takes the system away, and Back brings it back, with what it had. Nil: that is not to be had.
	Away, Back func(t testing.TB)
}

// Patience is how long something may take. Machines are busy.
const Patience = time.Minute

// Run runs the suite. open makes a system of its own for each test.
func Run(t *testing.T, open func(t *testing.T) Far) {
	t.Helper()
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, f Far)
	}{
		{"InOrder", inOrder},
		{"LastingOverRestart", lastingOverRestart},
		{"AwayAndBack", awayAndBack},
		{"RestartWhileAway", restartWhileAway},
		{"EndsWhileAway", endsWhileAway},
		{"FromFar", fromFar},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, open(t)) })
	}
}

// Start starts a broker with a bridge, and waits until the bridge is at work.
func Start(t testing.TB, br shoal.Bridge, opts ...shoal.Option) *shoal.Broker {
	t.Helper()
	b, err := shoal.New(append([]shoal.Option{shoal.WithAnonymous(), shoal.WithBridge(br)}, opts...)...)
	require.NoError(t, err)
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { Stop(t, b) })
	Eventually(t, "the bridge has subscribed", func() bool { return b.Metrics().Subscriptions > 0 })
	return b
}

// Stop stops a broker. Twice is fine.
func Stop(t testing.TB, b *shoal.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Patience)
	defer cancel()
	require.NoError(t, b.Shutdown(ctx))
}

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for began := time.Now(); !fn(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > Patience {
			t.Fatal("not within ", Patience, ": ", what)
		}
	}
}

func publish(t testing.TB, b *shoal.Broker, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m := shoal.Message{TopicName: "out/1", Payload: []byte(number(i)), QoS: 1}
		require.NoError(t, b.Publish(t.Context(), m))
	}
}

func number(i int) string { return fmt.Sprintf("%06d", i) }

// expect waits until the payloads up to n have arrived, in order; some may have come again.
func (f *Far) expect(t testing.TB, n int) {
	t.Helper()
	var first []string
	Eventually(t, fmt.Sprintf("%d messages arrive", n), func() bool {
		first = first[:0]
		seen := make(map[string]bool)
		for _, p := range f.Arrived(t) {
			if !seen[p] {
				seen[p] = true
				first = append(first, p)
			}
		}
		return len(first) >= n
	})
	require.Len(t, first, n)
	require.True(t, slices.IsSorted(first), "out of order: %v", first)
}

func inOrder(t *testing.T, f Far) {
	b := Start(t, f.Bridge(t))
	publish(t, b, 0, 300)
	f.expect(t, 300)
	Eventually(t, "all is acknowledged", func() bool { return b.Bridges()[0].Queued == 0 })
	require.Len(t, f.Arrived(t), 300, "nothing comes again when nothing has failed")
}

func lastingOverRestart(t *testing.T, f Far) {
	store := memory.New()
	b := Start(t, f.Bridge(t), shoal.WithStorage(store))
	publish(t, b, 0, 20)
	Stop(t, b)
	b = Start(t, f.Bridge(t), shoal.WithStorage(store))
	publish(t, b, 20, 40)
	f.expect(t, 40)
}

func awayAndBack(t *testing.T, f Far) {
	if f.Away == nil {
		t.Skip("the other end cannot be taken away")
	}
	b := Start(t, f.Bridge(t))
	publish(t, b, 0, 50)
	f.expect(t, 50)
	f.Away(t)
	publish(t, b, 50, 150)
	f.Back(t)
	publish(t, b, 150, 160)
	f.expect(t, 160)
}

func restartWhileAway(t *testing.T, f Far) {
	if f.Away == nil {
		t.Skip("the other end cannot be taken away")
	}
	store := memory.New()
	b := Start(t, f.Bridge(t), shoal.WithStorage(store))
	f.Away(t)
	publish(t, b, 0, 50)
	Stop(t, b)
	b = Start(t, f.Bridge(t), shoal.WithStorage(store))
	publish(t, b, 50, 60)
	f.Back(t)
	f.expect(t, 60)
}

// endsWithin is how long a bridge may take to end.
const endsWithin = 20 * time.Second

func endsWhileAway(t *testing.T, f Far) {
	if f.Away == nil {
		t.Skip("the other end cannot be taken away")
	}
	b := Start(t, f.Bridge(t))
	f.Away(t)
	publish(t, b, 0, 50)
	began := time.Now()
	Stop(t, b)
	require.Less(t, time.Since(began), endsWithin)
	f.Back(t)
}

func fromFar(t *testing.T, f Far) {
	if f.Send == nil {
		t.Skip("the bridge goes one way")
	}
	b := Start(t, f.Bridge(t))
	sub, err := b.Subscribe(t.Context(), []string{"in/#"}, shoal.SubscribeOptions{QoS: 1})
	require.NoError(t, err)
	for i := range 50 {
		f.Send(t, number(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for i := 0; i < 50; {
		m, err := sub.Next(ctx)
		require.NoError(t, err, "message %d", i)
		require.Equal(t, "in/1", m.TopicName)
		require.Equal(t, "$shoal/bridge/"+b.Bridges()[0].Name, m.Publisher)
		if string(m.Payload) != number(i) {
			require.Less(t, string(m.Payload), number(i), "a message is missing")
			continue // it came again
		}
		i++
	}
}
