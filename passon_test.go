package shoal

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// member makes a session that has a shared subscription.
func (s *sending) member(id, filter string) *session {
	s.t.Helper()
	m := s.b.newSession(id)
	sub, err := s.b.parseSubscription(&packets.Subscription{TopicFilter: filter, QoS: 1}, nil)
	require.NoError(s.t, err)
	sub.s = m
	_, err = m.subscribe(sub)
	require.NoError(s.t, err)
	return m
}

// Guarantee 7: a node that has passed a message for a shared group on to another is lost before it can say so. Whoever had sent it there sends it to
// another member, which is where it has been passed on.
func TestPassedOnAndSentAgain(t *testing.T) {
	const group = "$share/g/t"
	msg := &core.Message{ID: msgID{Origin: 4, Number: 2}, TopicName: "t", QoS: 1}
	pass := func(t *testing.T, n *sending) *session {
		t.Helper()
		m := n.member("m", group)
		req := codec.AppendFixed64(request(callPass), 0)
		req = appendMessage(codec.AppendBool(codec.AppendString(req, group), false), msg)
		for i := range 2 { // the first answer may be lost
			b, err := (*stateMachine)(n.clusterNode).Serve(t.Context(), "x", req)
			require.NoError(t, err)
			require.Equal(t, answer(passTaken), b)
			require.Len(t, m.core.Withdraw(func(*core.Entry) bool { return true }), 1-i)
		}
		return m
	}
	t.Run("by another node", func(t *testing.T) {
		n := newSending(t, "x", "y")
		m := pass(t, n)
		for _, c := range []struct {
			number uint64
			comes  int
		}{{2, 0}, {3, 1}} {
			r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msgID{Origin: 4, Number: c.number}, groupsOnly: true, doubtful: true}
			accepted := false
			(*stateMachine)(n.clusterNode).Receive("y", appendForward(newBatch(), r, []string{group}), func(err error) {
				require.NoError(t, err)
				accepted = true
			})
			require.True(t, accepted)
			require.Equal(t, c.comes, m.core.Len())
		}
	})
	t.Run("by this node", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newSending(t, "x")
			m := pass(t, n)
			a, answered := newAcceptance(), false
			a.then = func(code packets.ReasonCode) { answered = code == packets.Success }
			r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msg.ID, groupsOnly: true}
			n.peer("x").forward(&outgoing{buf: appendForward(newBatch(), r, []string{group}), waits: []*acceptance{a}, picks: []pick{{[]string{group}, msg, a}}})
			(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "self")
			n.take()[0].fail()
			synctest.Wait()
			require.True(t, answered)
			require.Zero(t, m.core.Len())
			n.cancel()
			n.wg.Wait()
		})
	})
}

// What was passed on is remembered for a while, and not without bounds.
func TestPassedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p passed
		id := func(i int) msgID { return msgID{Number: uint64(i)} }
		for i := range passedLimit + 10 {
			p.add(id(i), "g")
			p.add(id(i), "g")
		}
		require.Equal(t, passedLimit, len(p.order))
		require.Equal(t, passedLimit, len(p.until))
		require.False(t, p.has(id(9), "g"))
		require.True(t, p.has(id(10), "g"))
		require.False(t, p.has(id(10), "h"))
		time.Sleep(rerouteTime)
		require.False(t, p.has(id(10), "g"))
		p.add(id(0), "g")
		time.Sleep(time.Second)
		p.add(id(1), "g")
		require.Equal(t, 2, len(p.order), "those that are too old are gone")
	})
}
