package shoal

import (
	"testing"

	"github.com/stretchr/testify/require"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 5: two nodes are lost, one after another, and the sessions of the first take their time. When those are here, what is published for the sessions
// of the second still waits for them.
func TestMessagesWaitForEachAdoptionOfTheirOwn(t *testing.T) {
	n := newSending(t)
	n.state.bequeath(5, "self", map[string]int{"first": 1})
	n.state.bequeath(7, "self", map[string]int{"second": 1})
	n.adoptions.queue = []*adoption{{index: 7}} // not taken yet
	held := func(topic string) int {
		n.adoptions.held = nil
		sc := n.b.scratch()
		m := &core.Message{TopicName: topic, QoS: 1}
		p := publishOfMessage(m)
		sc.r.again(&p, m, sc.nano)
		require.Equal(t, packets.QoS(1), sc.r.qos())
		n.route(sc)
		return len(n.adoptions.held)
	}
	require.Equal(t, 1, held("first"))
	require.Equal(t, 1, held("second"))
	n.state.endWaiting(5)
	require.Zero(t, held("first"))
	require.Equal(t, 1, held("second"))
	n.state.endWaiting(7)
	require.Zero(t, held("second"))
}
