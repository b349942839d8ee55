package shoal

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// Guarantee 3: a connection answers a PINGREQ [MQTT-3.12.4-1] no more when its client has another one.
func TestOldConnectionAnswersNoPing(t *testing.T) {
	b, err := New(WithAnonymous())
	require.NoError(t, err)
	s := b.newSession("client")
	_, server := net.Pipe()
	c := newConn(b, server, inProcess)
	c.s, s.conn = s, c
	sc := b.scratch()
	_, goesOn := c.handlePing(sc)
	require.True(t, goesOn)
	require.Equal(t, len(pingResp), c.out.Len())
	s.conn = &conn{b: b, s: s}
	end, goesOn := c.handlePing(sc)
	require.False(t, goesOn)
	require.Equal(t, packets.SessionTakenOver, end.code)
	require.Equal(t, len(pingResp), c.out.Len())
}
