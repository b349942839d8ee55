package shoal

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestPubRelsKeepTheirOrder holds [MQTT-4.6.0-4] when what two PUBRECs changed is known to be kept in the other order.
func TestPubRelsKeepTheirOrder(t *testing.T) {
	b, err := New(WithAnonymous())
	require.NoError(t, err)
	one, other := net.Pipe()
	defer func() { _, _ = one.Close(), other.Close() }()
	c := newConn(b, one, inProcess)
	c.writing = true // what leaves stays in the outbox
	s := &session{conn: c}
	var rels []*heldRel
	for id := range uint16(4) {
		rel := &heldRel{packet: packets.AppendAck(nil, packets.TypePubRel, packets.V5, 1+id, packets.Success)}
		rels = append(rels, rel)
		c.rels = append(c.rels, rel)
	}
	left := func() (ids []byte) {
		for p := range bytes.SplitSeq(c.out.Bytes(), []byte{0x62, 2, 0}) {
			ids = append(ids, p...)
		}
		return ids
	}
	for _, step := range []struct {
		rel  int
		left []byte
	}{{1, nil}, {0, []byte{1, 2}}, {3, []byte{1, 2}}, {2, []byte{1, 2, 3, 4}}} {
		s.release(c, rels[step.rel], packets.Success)
		require.Equal(t, step.left, left())
	}
	require.Empty(t, c.rels)
}
