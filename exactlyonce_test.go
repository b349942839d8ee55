package shoal

import (
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
// be the only one to know, and says so when it hands the session over.
func TestMessageComesAgainWhileASessionIsOnItsWay(t *testing.T) {
	for name, agreed := range map[string]bool{"its home knows": false, "all nodes know": true} {
		t.Run(name, func(t *testing.T) {
			home, here := newSending(t, "x"), newSending(t, "x")
			h := holder{kind: holderSession, name: "m"}
			old, s := home.member("m", "t"), here.member("m", "t")
			s.phase = phaseGathering
			for number := range uint64(2) {
				o := core.Origin{PacketID: 7 + uint16(number), At: 5}
				if number == 0 {
					o.Again = 5
				}
				r := &routing{p: &packets.Publish{TopicName: "t", QoS: 2}, publisher: "p", id: msgID{Origin: 4, Number: number}, origin: &o}
				(*stateMachine)(here.clusterNode).Receive("x", appendForward(newBatch(), r, nil), func(error) {})
				first := core.Origin{PacketID: 7 + uint16(number), At: 3}
				if agreed {
					here.state.origins.agree("p", &first, h)
				} else {
					require.True(t, home.state.origins.take("p", &first, h, false))
				}
			}
			require.Len(t, s.collected, 2)
			b, err := old.handOver(1, 0)
			require.NoError(t, err)
			whole, err := openRecord(b)
			require.NoError(t, err)
			require.Equal(t, answerSession, whole.Byte())
			whole.Uint()
			require.NoError(t, here.install(s, whole))
			var got []uint64
			s.core.Entries(func(e *core.Entry) {
				require.True(t, e.Fresh)
				got = append(got, e.Msg.ID.Number)
			})
			require.Equal(t, []uint64{1}, got)
		})
	}
}
