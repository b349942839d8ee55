package shoal

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 4: where it is not known who has a QoS 2 message, the client is to send it again, and all who have it are to know it then. An identifier that
// was refused is another message's the next time.
func TestDoubtKeepsTheExchange(t *testing.T) {
	for _, c := range []struct {
		code packets.ReasonCode
		over bool
	}{
		{packets.ServerUnavailable, false},
		{packets.ServerShuttingDown, false},
		{packets.ImplementationSpecificError, false}, // a store fails that somebody needs, and others may have the message
		{packets.QuotaExceeded, true},
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			n := newSending(t)
			s := n.b.newSession("pub")
			s.expiry, s.durable = 60, true
			p := new(pendingAnswer)
			slot := ackSlot{id: 7, typ: packets.TypePubRec, pending: p}
			s.core.Reserve(7, p)
			s.routed(p, slot, DurabilityMemory, c.code)
			taken, said := n.b.journal.replication.changes(s).received[7]
			require.Equal(t, c.over, said, "that the identifier is free is for all to hear")
			require.False(t, taken.taken)
			_, pending := s.core.Pending(7)
			require.False(t, pending)
		})
	}
}

// Guarantee 4: a session that has come here, and is to be agreed to be here, gets a message that its publisher sends again no more than one that is.
func TestMessageComesAgainWhileASessionArrives(t *testing.T) {
	for name, arrives := range map[string]func(*session){
		"has come":     func(s *session) { s.phase = phaseSettling },
		"is kept here": func(s *session) { s.expiry = 60; s.setDurable(true) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t, "x")
			m := n.member("m", "t")
			arrives(m)
			origin := core.Origin{PacketID: 7, At: 3}
			n.state.origins.agree("p", &origin, holder{kind: holderSession, name: "m"})
			for number, at := range []uint64{5, 6} {
				o := core.Origin{PacketID: 7, At: at}
				if number == 0 {
					o.Again = 5
				}
				r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, publisher: "p", id: msgID{Origin: 4, Number: uint64(number)}, origin: &o}
				(*stateMachine)(n.clusterNode).Receive("x", appendForward(newBatch(), r, nil), func(error) {})
				var fresh []bool
				m.core.Entries(func(e *core.Entry) { fresh = append(fresh, e.Fresh) })
				require.Len(t, fresh, number, "message %d", number)
				require.NotContains(t, fresh, false)
			}
		})
	}
}

// Guarantee 4: what a publisher sends again comes to a session while that is on its way to another node, and to that node. Whether it was there before, the last home may
// be the only one to know, and says so when it hands the session over; also if the exchange is over by then.
func TestMessageComesAgainWhileASessionIsOnItsWay(t *testing.T) {
	h := holder{kind: holderSession, name: "m"}
	for name, knows := range map[string]func(t *testing.T, home *sending, first *core.Origin, again func(*sending)){
		"its home alone knows": func(t *testing.T, home *sending, first *core.Origin, _ func(*sending)) {
			require.True(t, home.state.origins.take("p", first, h, false))
		},
		"all nodes knew": func(_ *testing.T, home *sending, first *core.Origin, _ func(*sending)) {
			home.state.origins.agree("p", first, h)
		},
		"the exchange is over": func(t *testing.T, home *sending, first *core.Origin, again func(*sending)) {
			require.True(t, home.state.origins.take("p", first, h, false))
			again(home)
			home.state.origins.over("p", keyOf(first), math.MaxUint64)
		},
	} {
		t.Run(name, func(t *testing.T) {
			home, here := newSending(t, "x"), newSending(t, "x")
			old, s := home.member("m", "t"), here.member("m", "t")
			old.expiry, old.durable = 60, true
			home.b.sessions.put(old)
			home.state.owners["m"] = &owner{node: "x", home: "self", epoch: 2}
			_, err := home.offer(t.Context(), "m", 2, false)
			require.NoError(t, err)
			s.phase = phaseGathering
			receive := func(n *sending, number uint64, again uint64) {
				o := core.Origin{PacketID: 7 + uint16(number), At: 5, Again: again}
				r := &routing{p: &packets.Publish{TopicName: "t", QoS: 2}, publisher: "p", id: msgID{Origin: 4, Number: number}, origin: &o}
				(*stateMachine)(n.clusterNode).Receive("x", appendForward(newBatch(), r, nil), func(error) {})
			}
			receive(here, 0, 5)
			receive(here, 1, 0) // another message, with an identifier that was used before
			require.Len(t, s.collected, 2)
			knows(t, home, &core.Origin{PacketID: 7, At: 3}, func(n *sending) { receive(n, 0, 5) })
			home.state.origins.agree("p", &core.Origin{PacketID: 8, At: 3}, h)
			b, err := old.handOver(1, 0)
			require.NoError(t, err)
			whole, err := openRecord(b)
			require.NoError(t, err)
			require.Equal(t, answerSession, whole.Byte())
			whole.Uint()
			here.state.origins.over("p", exchangeKey{packetID: 7}, math.MaxUint64)
			require.NoError(t, here.install(s, whole))
			var got []uint64
			s.core.Entries(func(e *core.Entry) {
				require.True(t, e.Fresh)
				got = append(got, e.Msg.ID.Number)
			})
			require.Equal(t, []uint64{1}, got)
			_, remembered := here.state.origins.by["p"][exchangeKey{packetID: 7}]
			require.Equal(t, name == "its home alone knows", remembered, "what all knew, and is over, would be taken for what comes next with the identifier")
		})
	}
}
