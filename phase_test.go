package shoal

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// allPhases are all phases, in their order.
func allPhases() (all []phase) {
	for p := phaseHome; p <= phaseOver; p++ {
		all = append(all, p)
	}
	return all
}

// TestPhasesFollow holds which phase of a session may follow which, and that a session that is over or elsewhere stays so.
func TestPhasesFollow(t *testing.T) {
	follow := map[phase][]phase{
		phaseHome:      {phaseHome, phaseGathering, phaseAdopting, phaseDeparting, phaseMoved, phaseLost, phaseOver},
		phaseGathering: {phaseSettling, phaseMoved, phaseLost, phaseOver},
		phaseSettling:  {phaseHome, phaseMoved, phaseLost, phaseOver},
		phaseAdopting:  {phaseHome, phaseMoved, phaseLost, phaseOver},
		phaseDeparting: {phaseHome, phaseDeparting, phaseMoved, phaseLost, phaseOver},
		phaseMoved:     {},
		phaseLost:      {},
		phaseOver:      {},
	}
	n := newAgreed(t).n
	for _, from := range allPhases() {
		for _, to := range allPhases() {
			s := n.b.newSession("client")
			s.phase = from
			require.Equal(t, s.enter(to), slices.Contains(follow[from], to), "%v to %v", from, to)
		}
	}
}

// TestPhaseAdmits holds what becomes of a QoS 1 message in each phase of a session, by a subscription of its own and by a shared one.
func TestPhaseAdmits(t *testing.T) {
	type fate struct{ taken, queued, collected, leaving bool }
	gone := fate{}
	queued := fate{taken: true, queued: true}
	collected := fate{taken: true, collected: true}
	leaving := fate{leaving: true}
	for p, want := range map[phase][2]fate{ // by its own, by a shared subscription
		phaseHome:      {queued, queued},
		phaseGathering: {collected, leaving},
		phaseSettling:  {queued, leaving},
		phaseAdopting:  {collected, collected},
		phaseDeparting: {queued, leaving},
		phaseMoved:     {gone, gone},
		phaseLost:      {gone, gone},
		phaseOver:      {gone, gone},
	} {
		for i, share := range []string{"", "$share/g/t"} {
			t.Run(fmt.Sprint(p, share), func(t *testing.T) {
				n := newSending(t)
				s := n.b.newSession("client")
				s.phase = phaseHome
				s.enter(phaseDeparting) // sets when
				s.phase = p
				sc := n.b.scratch()
				defer sc.release()
				m := &core.Message{TopicName: "t", QoS: 1}
				pk := publishOfMessage(m)
				sc.r.again(&pk, m, sc.nano)
				taken := s.deliverQueued(sc, core.Entry{Msg: m, QoS: 1, Share: share}, "")
				got := fate{taken, s.core.Len() > 0, len(s.collected) > 0, sc.leaving}
				require.Equal(t, want[i], got)
			})
		}
	}
}

// TestRefusedMessageMayComeAgain holds guarantee 4 where the shared store is away: a QoS 2 message that is refused for that leaves no trace, so
// that it is delivered when its publisher sends it again.
func TestRefusedMessageMayComeAgain(t *testing.T) {
	n := newSending(t)
	shareStore(n.clusterNode)
	s := n.b.newSession("client")
	s.expiry = max(s.expiry, 60)
	s.setDurable(true)
	deliver := func(again uint64) packets.ReasonCode {
		sc := n.b.scratch()
		defer sc.release()
		m := &core.Message{TopicName: "t", QoS: 2, Publisher: "pub", Origin: &core.Origin{PacketID: 7, At: n.moments.next(), Again: again}}
		pk := publishOfMessage(m)
		sc.r.again(&pk, m, sc.nano)
		sc.r.origin = m.Origin
		require.True(t, s.deliverQueued(sc, core.Entry{Msg: m, QoS: 2}, ""))
		code := packets.Success
		if a := sc.r.wait; a != nil {
			a.then = func(c packets.ReasonCode) { code = c }
			a.finish(packets.Success)
		}
		return code
	}
	n.b.journal.common.health.phase.Store(uint32(storeRefuses))
	require.Equal(t, packets.ImplementationSpecificError, deliver(0))
	require.Zero(t, s.core.Len())
	n.b.journal.common.health.phase.Store(uint32(storeWorks))
	require.Equal(t, packets.Success, deliver(n.moments.next()))
	require.Equal(t, 1, s.core.Len())
	require.Equal(t, packets.Success, deliver(n.moments.next()))
	require.Equal(t, 1, s.core.Len(), "and not twice")
}

// TestEndOfAnInheritedSessionReleasesNobody holds guarantee 3 where a client connects while what it had on a lost node is inherited and, since it ended with
// its connection, cleared away: whoever claims the client next is told where it is connected.
func TestEndOfAnInheritedSessionReleasesNobody(t *testing.T) {
	for name, claimedBy := range map[string]string{"claimed here": "self", "claimed elsewhere": "other", "not claimed": ""} {
		synctest.Test(t, func(t *testing.T) {
			n := newSending(t, "other")
			var proposed [][]byte
			n.c = proposing{n.c.(idle), &proposed}
			n.state.owners["client"] = &owner{node: claimedBy, home: "self", epoch: 9, settled: 3, since: 5}
			s := n.makeInherited(&inherited{id: "client", kept: &keptSession{}, owner: *n.state.owners["client"]})
			s.adoptionEnds()
			s.end()
			synctest.Wait() // its time is over as well
			for _, cmd := range proposed {
				if cmd[1] == cmdRelease {
					(*stateMachine)(n.clusterNode).Apply(1, "self", cmd)
				}
			}
			require.Equal(t, claimedBy != "", n.state.owner("client") != nil, name)
		})
	}
}

// TestNodeThatIsNotUpHandsOutNoSessions holds guarantee 4 for a node that was killed and is back at once: what it has of the replicated log may be old
// until it is up, and so nobody gets a session from it before.
func TestNodeThatIsNotUpHandsOutNoSessions(t *testing.T) {
	n := newAgreed(t).n
	n.state.owners["client"] = &owner{node: "x", home: "self", epoch: 9, settled: 3}
	n.state.keep("client").expiry = 60
	for _, kind := range []byte{callOffer, callFetch} {
		req := codec.AppendUint(codec.AppendString(request(kind), "client"), 9)
		_, err := (*stateMachine)(n).Serve(t.Context(), "x", codec.AppendUint(codec.AppendBool(req, false), 0))
		require.ErrorIs(t, err, errNotUp)
	}
}
