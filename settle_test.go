package shoal

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Guarantees 1 and 3: a CONNECT that gives up before it is agreed where its session is leaves the
// session where it has come to. It may be agreed yet, and what is published from then on comes
// to this node alone.
func TestSessionStaysWhereItsMoveMayBeAgreedYet(t *testing.T) {
	for name, tc := range map[string]struct {
		result any
		err    error
		home   string // as all nodes agree afterwards
		stays  bool
	}{
		"agreed":                       {true, nil, "self", true},
		"agreed, as a snapshot says":   {nil, ErrResultUnknown, "self", true},
		"another connection was first": {false, nil, "x", false},
		"it is not known, and not so":  {nil, ErrResultUnknown, "x", false},
		"this node was given up":       {nil, ErrNotReplicated, "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t, "x")
			p := proposals{n.c.(idle), new([]proposed)}
			n.c = p
			n.state.owners["m"] = &owner{node: "self", home: "x", epoch: 9}
			s := n.member("m", "t")
			n.b.sessions.put(s)
			s.expiry, s.phase = 60, phaseSettling
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			m := movedCommand{claimResult: claimResult{epoch: 9, home: "x"}, id: "m", what: movedWhole, expiry: 60}
			require.ErrorIs(t, n.settleHere(ctx, s, m), errUndecided)
			require.Len(t, *p.made, 1)
			n.publishHere("1")
			require.Equal(t, 1, s.core.Len(), "the session collects until it is known where it is")
			n.state.owners["m"] = &owner{node: "self", home: tc.home, epoch: 9, settled: 9}
			(*p.made)[0].done(tc.result, tc.err)
			n.publishHere("2")
			require.Equal(t, tc.stays, n.b.sessions.get("m") == s)
			if tc.stays {
				require.Equal(t, 2, s.core.Len())
				require.NotNil(t, s.timer, "it expires, since nobody has it")
				s.stopExpiry()
			}
			n.cancel()
			n.wg.Wait()
		})
	}
}

// A later CONNECT of the client has brought the session here anew, and nothing of what an earlier
// move comes to is its concern.
func TestOutcomeOfAnEarlierMoveLeavesALaterSessionAlone(t *testing.T) {
	n := newSending(t, "x")
	n.state.owners["m"] = &owner{node: "self", home: "x", epoch: 10}
	earlier, later := n.member("earlier", "t"), n.member("m", "t")
	n.b.sessions.put(later)
	later.phase = phaseGathering
	held := &core.Origin{PacketID: 7, At: 10}
	h := holder{kind: holderSession, name: "m"}
	require.True(t, n.state.origins.take("pub", held, h, false))
	m := movedCommand{claimResult: claimResult{epoch: 9, home: "x"}, id: "m", what: movedWhole, expiry: 60}
	require.ErrorIs(t, n.settledHere(earlier, m, false, nil), errOutclaimed)
	require.Equal(t, phaseGathering, later.phase)
	require.True(t, n.state.origins.has("pub", held, h))
}

// publishHere routes a message of this node's.
func (s *sending) publishHere(payload string) {
	s.t.Helper()
	sc := s.b.scratch()
	defer sc.release()
	p := packets.Publish{TopicName: "t", QoS: 1, Payload: []byte(payload)}
	sc.r.begin(&p, "publisher", nil, sc)
	sc.matches = s.b.index.AppendMatches(sc.matches[:0], p.TopicName)
	s.b.routeLocal(sc, nil)
}
