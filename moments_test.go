package shoal

import (
	"testing"

	"github.com/stretchr/testify/require"

	core "github.com/shoalmq/shoal/internal/session"
)

// TestMomentsGrow holds that a node's moments are all different and grow, with the commands that it applies and between them.
func TestMomentsGrow(t *testing.T) {
	n := newAgreed(t).n
	last := n.moments.next()
	for i := range 100 {
		if i%10 == 9 {
			n.state.now.Add(1)
			require.GreaterOrEqual(t, n.moments.next(), momentAfter(n.state.now.Load()))
		}
		next := n.moments.next()
		require.Greater(t, next, last)
		last = next
	}
}

// TestEndOfAnExchangeDoesNotEndTheNext holds guarantee 4 where the end of a QoS 2 exchange is agreed late, after the publisher has begun another one
// with the same packet identifier: the node it goes to when its own is lost must know who has had that message.
func TestEndOfAnExchangeDoesNotEndTheNext(t *testing.T) {
	h := holder{kind: holderSession, name: "subscriber"}
	for name, end := range map[string]func(n *clusterNode, pub *session) []byte{
		"replicated log": func(n *clusterNode, pub *session) []byte {
			n.b.journal.completed(pub, 7)
			return changesNow(pub)
		},
		"session begun anew": func(n *clusterNode, pub *session) []byte {
			n.b.journal.forget(pub)
			return changesNow(pub)
		},
		"shared store": func(n *clusterNode, pub *session) []byte {
			return append(command(cmdNotes), pub.noteOver(7)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgreed(t)
			n := a.n
			pub := n.b.newSession("pub")
			pub.epoch = 1
			a.owners["pub"] = &owner{node: "self", home: "self", epoch: 1, settled: 1}
			a.keep("pub").expiry = 60
			first := &core.Origin{PacketID: 7, At: n.moments.next()}
			require.True(t, a.origins.take("pub", first, h, false))
			require.True(t, a.origins.arrive("pub", first))
			ended := end(n, pub)

			second := &core.Origin{PacketID: 7, At: n.moments.next()}
			require.True(t, a.origins.take("pub", second, h, false), "it is another message")
			require.True(t, a.origins.arrive("pub", second), "it is another message")
			(*stateMachine)(n).Apply(1, "self", ended)

			since := n.moments.next()
			again := &core.Origin{PacketID: 7, At: n.moments.next(), Again: since}
			require.False(t, a.origins.take("pub", again, h, false), "the subscriber has had it")
			require.False(t, a.origins.arrive("pub", again), "those whose sessions do not last have had it")
		})
	}
}

// changesNow returns the command that tells of a session's changes.
func changesNow(s *session) []byte {
	enc := new(changeEncoder)
	enc.session(s, s.changes)
	s.changes = nil
	return enc.take()
}
