package raftlog

import (
	"context"
	"net"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

// connection is one between the layers of two nodes of one cluster, as the one that is called has it. The caller writes a byte.
func connection(t *testing.T, from, to *streamLayer) net.Conn {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	from.dial = func(context.Context, string) (net.Conn, error) { return a, nil }
	to.accept = func() (net.Conn, error) { return b, nil }
	c, err := to.Accept()
	require.NoError(t, err)
	go func() {
		if d, err := from.Dial("there", rpcTimeout); err == nil {
			_, _ = d.Write([]byte("x"))
		}
	}()
	return c
}

func testLayer(name, peerAddr string) *streamLayer {
	s := &streamLayer{
		self: shoal.Node{Name: name, Attributes: map[string]string{AttributePeer: peerAddr}}, book: newAddressBook(),
		id: &identity{stable: raft.NewInmemStore(), id: 7}, conns: make(map[*dialled]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Raft listens to nobody who has the name of another node, from the first byte on or since that one has been seen.
func TestConnectionOfANamesake(t *testing.T) {
	first := shoal.Node{Name: "c02", Attributes: map[string]string{AttributePeer: "first"}}
	buf := make([]byte, 1)
	for _, known := range []bool{true, false} {
		at := testLayer("c01", "one")
		c := connection(t, testLayer("c02", "second"), at)
		if known {
			at.book.setLive([]shoal.Node{first})
			_, err := c.Read(buf)
			require.ErrorIs(t, err, errNamesake)
			continue
		}
		require.NoError(t, c.(*accepted).check())
		c.(*accepted).checked = true
		at.book.setLive([]shoal.Node{first})
		_, err := c.Read(buf)
		require.ErrorIs(t, err, errNamesake)
	}
	// The one that has the name is heard, also while nobody has seen it yet.
	for _, known := range []bool{true, false} {
		at := testLayer("c01", "one")
		c := connection(t, testLayer("c02", "first"), at)
		if known {
			at.book.setLive([]shoal.Node{first})
		}
		_, err := c.Read(buf)
		require.NoError(t, err)
	}
	// And a node that is not the one of its name says nothing, and hears nothing.
	mute := testLayer("c02", "second")
	mute.rivalled.Store(true)
	_, err := mute.Dial("there", rpcTimeout)
	require.ErrorIs(t, err, errNamesake)
	c := connection(t, testLayer("c01", "one"), mute)
	_, err = c.Read(buf)
	require.ErrorIs(t, err, errNamesake)
}
