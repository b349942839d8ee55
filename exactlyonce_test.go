package shoal

import (
	"testing"

	"github.com/stretchr/testify/require"

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
		{packets.ImplementationSpecificError, true},
		{packets.QuotaExceeded, true},
	} {
		t.Run(c.code.String(), func(t *testing.T) {
			n := newSending(t)
			s := n.b.newSession("pub")
			s.durable = true
			p := new(pendingAnswer)
			slot := ackSlot{id: 7, typ: packets.TypePubRec, pending: p}
			s.core.Reserve(7, p)
			s.routed(p, slot, DurabilityMemory, c.code)
			taken, said := n.b.journal.replication.changes(s).received[7]
			require.Equal(t, c.over, said, "that the identifier is free is for all to hear")
			require.False(t, taken)
			_, pending := s.core.Pending(7)
			require.False(t, pending)
		})
	}
}
