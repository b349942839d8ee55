package shoal

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// during runs fn when it is read from first.
type during struct {
	io.Reader
	fn func()
}

func (d *during) Read(b []byte) (int, error) {
	if d.fn != nil {
		d.fn()
		d.fn = nil
	}
	return d.Reader.Read(b)
}

// TestNothingIsAcceptedWhileASnapshotIsRestored holds guarantees 1 and 2 where a node that serves is given the state anew: a message that comes
// meanwhile, when the node knows of no subscriber, is not acknowledged, and neither is one whose matching began before.
func TestNothingIsAcceptedWhileASnapshotIsRestored(t *testing.T) {
	a := newAgreed(t)
	n := a.n
	n.state.enter("self", member{})
	a.setRoute("other", "t", members{all: 1})
	n.up.Store(true)
	n.announced.Store(true)
	write, err := (*stateMachine)(n).Snapshot()
	require.NoError(t, err)
	var snapshot bytes.Buffer
	require.NoError(t, write(&snapshot))

	var meanwhile packets.ReasonCode
	publish := func(code *packets.ReasonCode) {
		require.NoError(t, n.b.publish(&Message{TopicName: "t", QoS: 1}, "pub", nil, func(c packets.ReasonCode) { *code = c }))
	}
	read := &during{Reader: &snapshot, fn: func() { publish(&meanwhile) }}
	tenure := n.tenure.Load()
	require.NoError(t, (*stateMachine)(n).Restore(read))
	require.Equal(t, packets.ServerUnavailable, meanwhile)
	require.NotEqual(t, tenure, n.tenure.Load(), "what was being matched before is not acknowledged either")
	require.False(t, n.serving(), "it is up again by a NodeUp of its own")
	require.False(t, n.up.Load())
	require.Contains(t, a.nodes["other"], "t")
}
