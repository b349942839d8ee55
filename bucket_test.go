package shoal

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBucket(2, 4, now)
	require.True(t, b.full(now))
	require.Zero(t, b.take(4, now))
	require.False(t, b.has(1, now))
	require.Equal(t, time.Second, b.take(2, now))
	require.Equal(t, 2*time.Second, b.take(2, now), "whoever comes next waits behind")
	now = now.Add(time.Second)
	require.Equal(t, 1500*time.Millisecond, b.take(1, now))
	now = now.Add(time.Hour)
	require.True(t, b.full(now))
	require.True(t, b.has(100, now), "a full bucket has any number")
	require.Equal(t, 48*time.Second, b.take(100, now))
	now = now.Add(48*time.Second + 1500*time.Millisecond)
	require.False(t, b.has(100, now))
	require.True(t, b.has(3, now))
	require.True(t, b.has(3, now.Add(-time.Hour)), "a clock that goes back gives nothing and takes nothing")
	b = newBucket(0.001, 0, now)
	require.Zero(t, b.take(1, now), "one at least")
	require.Equal(t, longestWait, b.take(1e9, now))
	b = newBucket(10, 0, now)
	require.Zero(t, b.take(10, now))
	require.NotZero(t, b.take(1, now))
}

// TestCountersAreBounded holds that only those are kept that know something, and of those without a connection a bounded number.
func TestCountersAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	cs := counters[netip.Prefix]{limit: &ConnectionLimit{Open: 3, PerSecond: 1}}
	come := func(i int) {
		c := cs.get(address(i), now)
		require.Equal(t, packets.Success, c.exceeded(c.open, packets.QuotaExceeded, now))
		c.add()
	}
	for i := range 10 * countersFirst { // one after another, a second each
		come(i)
		cs.done(address(i))
		now = now.Add(time.Second)
	}
	require.LessOrEqual(t, len(cs.m), countersFirst)
	for i := range 2 * mostCounters { // at once
		come(i)
		cs.done(address(i))
	}
	require.LessOrEqual(t, len(cs.m), mostCounters+countersFirst)
	now = now.Add(time.Minute)
	const stays = 3 * mostCounters
	come(stays)
	for i := range 2 * mostCounters {
		come(i)
		cs.done(address(i))
	}
	require.Equal(t, 1, cs.m[address(stays)].open, "who has a connection is not forgotten")
	cs = counters[netip.Prefix]{limit: &ConnectionLimit{Open: 3}}
	come(1)
	cs.done(address(1))
	cs.done(address(2))
	require.Empty(t, cs.m)
}

// TestFlapsAreBounded holds the same for the counts of ClientIDs.
func TestFlapsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	f := flaps{Flapping: Flapping{Connections: 2, Window: time.Minute, Ban: time.Minute}}
	for i := range 2 * mostFlaps {
		require.False(t, f.connected(fmt.Sprint(i), now))
		require.LessOrEqual(t, len(f.count), mostFlaps)
	}
	now = now.Add(time.Minute)
	f.connected("one", now)
	f.connected("one", now)
	for i := range mostFlaps {
		f.connected(fmt.Sprint("new ", i), now)
		if i == 0 {
			require.True(t, f.connected("one", now), "the old ones have made room, the new one is not forgotten")
		}
	}
}
