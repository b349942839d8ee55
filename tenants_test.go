package shoal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/quota"
	core "github.com/shoalmq/shoal/internal/session"
)

// A session that came before it was known whose it is counts once for all, and with all it has for its tenant from then on; at its end for nobody.
func TestSessionCountsForItsTenantOnceThatIsKnown(t *testing.T) {
	b, err := New(WithAnonymous(), WithTenantLimits(func(user string) string { return user }, TotalLimits{}))
	require.NoError(t, err)
	s := b.newSession("s")
	s.enter(phaseHome)
	_, err = s.subscribe(&subscription{s: s, filter: "t", match: "t", qos: 1})
	require.NoError(t, err)
	s.core.Resume(core.Entry{Msg: &core.Message{TopicName: "t"}, QoS: 1})
	s.enrol()
	b.sessions.put(s)
	used := func(a *quota.Account) [3]int64 {
		return [3]int64{a.Used(quota.Sessions), a.Used(quota.Subscriptions), a.Used(quota.QueuedBytes)}
	}
	all := [3]int64{1, 1, int64(s.core.Bytes())}
	require.Equal(t, all, used(&b.totals.Whole))
	s.maker = maker{true, "acme"}
	s.enrol()
	acme := b.totals.Open("acme")
	require.Equal(t, all, used(&b.totals.Whole))
	require.Equal(t, all, used(acme))
	s.end()
	require.Equal(t, [3]int64{}, used(&b.totals.Whole))
	b.totals.Close(acme)
	require.Zero(t, b.totals.Parts())
}
