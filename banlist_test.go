package shoal

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestBansInSnapshots holds that bans are agreed: commands make and lift them, and a snapshot has them all.
func TestBansInSnapshots(t *testing.T) {
	a := newAgreed(t)
	sm := (*stateMachine)(a.n)
	now := time.Unix(1000, 0)
	for i, ban := range []Ban{{ClientID: "c"}, {Principal: "p", Until: time.Unix(2000, 5)}, {Address: netip.MustParsePrefix("10.0.0.0/8"), Reason: "r"}, {ClientID: "d"}} {
		require.Equal(t, false, sm.Apply(uint64(i), "a", banCommand(ban, false, now)))
	}
	require.Equal(t, true, sm.Apply(5, "b", banCommand(Ban{ClientID: "d"}, true, now)))
	require.Equal(t, false, sm.Apply(6, "b", banCommand(Ban{ClientID: "d"}, true, now)))
	write, err := sm.Snapshot()
	require.NoError(t, err)
	var buf bytes.Buffer
	require.NoError(t, write(&buf))
	again := newAgreed(t)
	again.n.b.bans.put(Ban{ClientID: "stale"})
	require.NoError(t, (*stateMachine)(again.n).Restore(&buf))
	require.ElementsMatch(t, a.n.b.bans.whole(), again.n.b.bans.whole())
	require.Len(t, again.n.b.bans.whole(), 3)
	require.NotNil(t, again.n.b.bans.find("", "", netip.MustParseAddr("10.1.2.3"), now))
	for _, broken := range [][]byte{
		append(command(cmdBan), 0), append(command(cmdBan), 0, 0, 'x', 0, 0, 0), append(command(cmdBan), 0, 0, 'a', 1, 'x', 0, 0),
	} {
		require.Error(t, sm.Apply(7, "a", broken).(error))
	}
}

// TestBansAreBounded holds that there are so many and no more, and that those that have ended make room.
func TestBansAreBounded(t *testing.T) {
	var l bans
	now := time.Unix(1000, 0)
	for i := range maxBans {
		ban := Ban{ClientID: fmt.Sprint(i)}
		if i%1000 == 0 {
			ban = Ban{Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 1000), 0}), 24), Until: now.Add(time.Second)}
		}
		_, _, err := l.change(ban, false, now)
		require.NoError(t, err)
	}
	_, _, err := l.change(Ban{ClientID: "one more"}, false, now)
	require.Equal(t, packets.QuotaExceeded, ReasonCodeOf(err, packets.Success))
	found, _, err := l.change(Ban{ClientID: "1", Reason: "again"}, false, now)
	require.NoError(t, err)
	require.True(t, found)
	_, swept, err := l.change(Ban{ClientID: "one more"}, false, now.Add(time.Second))
	require.NoError(t, err)
	require.Len(t, swept, maxBans/1000)
	require.Empty(t, l.bits)
}

// TestFindBan holds that of several ranges the right ones match.
func TestFindBan(t *testing.T) {
	var l bans
	now := time.Unix(1000, 0)
	for _, p := range []string{"10.0.0.0/8", "192.0.2.1/32", "0.0.0.0/32", "2001:db8::/32", "::/128"} {
		l.put(Ban{Address: netip.MustParsePrefix(p)})
	}
	for addr, want := range map[string]string{
		"10.255.0.1": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "192.0.2.2": "", "2001:db8:1::1": "2001:db8::/32", "2001:db9::": "", "::1": "", "a00::1": "",
	} {
		ban := l.find("", "", netip.MustParseAddr(addr), now)
		if want == "" {
			require.Nil(t, ban, addr)
		} else {
			require.Equal(t, want, ban.Address.String())
		}
	}
	require.Nil(t, l.find("", "", netip.Addr{}, now))
	l.put(Ban{Address: netip.MustParsePrefix("0.0.0.0/0")})
	require.NotNil(t, l.find("", "", netip.MustParseAddr("192.0.2.2"), now))
	require.Nil(t, l.find("", "", netip.MustParseAddr("::1"), now))
}
