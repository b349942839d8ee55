package shoal

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/internal/outbox"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// adoptedAt makes a session that was adopted in a step, with a plain subscription.
func (s *sending) adoptedAt(step uint64, id, filter string) *session {
	s.t.Helper()
	kept := &keptSession{expiry: 60, subs: map[string][]byte{filter: appendSubscription(nil, &subscription{filter: filter, qos: 1})}}
	m := s.makeInherited(&inherited{id: id, kept: kept, owner: owner{since: step}})
	m.adoptionEnds()
	return m
}

// receives has a message come from another node that had begun to take a step when it sent it.
func (s *sending) receives(step, number, inherited uint64) {
	s.t.Helper()
	s.receivesBack(step, number, inherited, inherited)
}

// receivesBack is receives of a message that was sent, in another step, to a node that was lost.
func (s *sending) receivesBack(step, number, inherited, sent uint64) {
	s.t.Helper()
	r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msgID{Origin: 4, Number: number}, publisher: "p"}
	r.inherited, r.sent = inherited, sent
	b := appendForward(newBatch(), r, nil)
	stampBatch(b, step)
	(*stateMachine)(s.clusterNode).Receive("x", b, func(err error) { require.NoError(s.t, err) })
}

// numbers returns the numbers of a session's messages, in order.
func numbers(s *session) (list []uint64) {
	s.core.Entries(func(e *core.Entry) { list = append(list, e.Msg.ID.Number) })
	return list
}

// Guarantee 8: what another node sent here, and to a node that was lost, before it knew of the loss, comes to the lost node's sessions from there, behind
// what had been sent there alone; and once.
func TestWhatWasSentBeforeTheLossWasKnown(t *testing.T) {
	n := newSending(t, "x")
	n.step(5)
	own, adopted := n.member("own", "t"), n.adoptedAt(5, "adopted", "t")
	n.receives(4, 2, 0)
	require.Equal(t, []uint64{2}, numbers(own), "is not for x to send again")
	require.Empty(t, numbers(adopted))
	n.receives(5, 1, 5)
	n.receives(5, 2, 5)
	n.receives(5, 3, 0)
	require.Equal(t, []uint64{1, 2, 3}, numbers(adopted))
	require.Equal(t, []uint64{2, 3}, numbers(own))
}

// A message of QoS 0 that was sent here and to the lost node comes to that node's sessions at most once, although it does not come back from there.
func TestQoS0SentBeforeTheLossWasKnownComesNotAgain(t *testing.T) {
	n := newSending(t, "x")
	n.step(5)
	m := n.adoptedAt(5, "adopted", "t")
	one, other := net.Pipe()
	defer func() { _, _ = one.Close(), other.Close() }()
	m.conn = newConn(n.b, one, inProcess)
	m.conn.writing = true // what leaves stays in the outbox
	m.core.Attach(core.Conn{Version: packets.V5, ReceiveMaximum: 10})
	receives := func(step, number uint64) int {
		r := &routing{p: &packets.Publish{TopicName: "t"}, id: msgID{Origin: 4, Number: number}, publisher: "p"}
		b := appendForward(newBatch(), r, nil)
		stampBatch(b, step)
		(*stateMachine)(n.clusterNode).Receive("x", b, func(err error) { require.NoError(t, err) })
		return m.conn.out.Len()
	}
	require.Zero(t, receives(4, 1))
	require.NotZero(t, receives(5, 2))
}

// Guarantee 3: what x had routed before it knew, and sends here when it has sent again what came back, was among that.
func TestWhatIsSentAfterTheLossAndCameBack(t *testing.T) {
	n := newSending(t, "x")
	n.step(5)
	m := n.adoptedAt(5, "adopted", "t")
	n.receives(5, 1, 5)
	withdraw(m) // its client has it
	n.receives(5, 1, 0)
	require.Empty(t, numbers(m))
	n.receives(5, 2, 0)
	require.Equal(t, []uint64{2}, numbers(m))
}

// Guarantees 5 and 8: a node that is given up before it has accepted what it was sent does not
// answer. Its sender sends that to the heirs, in order with what the node has not looked at; had it
// been refused, its publisher would send it again, behind the rest.
func TestNodeThatIsGivenUpAnswersNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(n *sending)
		answers bool
	}{
		"given up": {func(n *sending) { (*stateMachine)(n.clusterNode).NodeDown(7, n.self, "x") }, false},
		"given up, and back": {func(n *sending) {
			(*stateMachine)(n.clusterNode).NodeDown(7, n.self, "x")
			n.up.Store(true)
			n.state.enter("self", member{since: 8})
		}, false},
		"it cannot keep it": {func(*sending) {}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newSending(t, "x")
			p := proposals{n.c.(idle), new([]proposed)}
			n.c = p
			n.state.owners["m"] = &owner{node: "self", home: "self", epoch: 3}
			m := n.member("m", "t")
			m.expiry = 60
			m.setDurable(true)
			n.step(5)
			var answers []error
			r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msgID{Origin: 4, Number: 1}, publisher: "p"}
			b := appendForward(newBatch(), r, nil)
			stampBatch(b, 5)
			(*stateMachine)(n.clusterNode).Receive("x", b, func(err error) { answers = append(answers, err) })
			n.b.journal.replication.propose()
			require.Empty(t, answers, name)
			require.NotEmpty(t, *p.made)
			tc.happens(n)
			for _, made := range *p.made {
				made.done(nil, ErrNotReplicated)
			}
			synctest.Wait()
			require.Len(t, answers, map[bool]int{true: 1}[tc.answers], name)
			n.cancel()
			n.wg.Wait()
		})
	}
}

// What has gathered for the heir of a lost node leaves before the loss changes any route, and says so; what gathers from then on waits for what comes back.
func TestHeirIsToldWhatPrecedesTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x", "y")
		n.step(4)
		n.publish("x", "1")
		toX := n.take()
		sc := n.b.scratch()
		p := packets.Publish{TopicName: "t", QoS: 1, Payload: []byte("2")}
		sc.r.begin(&p, "publisher", nil, sc)
		n.peer("y").send(sc, nil)
		sc.r.wait.then = func(packets.ReasonCode) { n.acks++ }
		a := sc.r.wait
		(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "y")
		sc.release()
		a.finish(packets.Success)
		before := n.take()
		require.Equal(t, []string{"2"}, n.accepted("y", before))
		require.Equal(t, uint64(4), stepOfBatch(before[0].buf))
		n.publish("y", "3")
		require.Empty(t, n.take())
		toX[0].fail()
		after := n.take()
		require.Equal(t, []string{"1", "3"}, n.accepted("y", after))
		require.Equal(t, uint64(9), stepOfBatch(after[0].buf))
		require.Equal(t, 3, n.acks)
		n.cancel()
		n.wg.Wait()
	})
}

// A queue to an heir that need not wait for anything is not held for good.
func TestHeirWithNothingToWaitFor(t *testing.T) {
	n := newSending(t, "x", "y", "z")
	(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "y")
	for _, node := range []string{"y", "z"} {
		n.publish(node, node)
		require.Equal(t, []string{node}, n.accepted(node, n.take()))
	}
}

// A message that one of a group may have had, or has let go of, comes to another, who answers it. If it comes to the group again, because the first leaves without
// an answer, or its node is lost that has not said yet that the message was there, the other has had it.
func TestGroupHasAnswered(t *testing.T) {
	const group = "$share/g/t"
	for name, tc := range map[string]struct {
		handed, doubtful bool
		ends             func(m *session)
		again            int
	}{
		"answered":                     {true, true, func(m *session) { m.core.PubAck(1, packets.Success) }, 0},
		"refused":                      {true, true, func(m *session) { m.core.PubAck(1, packets.NotAuthorized) }, 0},
		"left":                         {true, true, func(m *session) { withdraw(m) }, 1},
		"answered, and sent to nobody": {true, false, func(m *session) { m.core.PubAck(1, packets.Success) }, 0},
		"left, and sent to nobody":     {true, false, func(m *session) { withdraw(m) }, 1},
		"had by no other":              {false, false, func(m *session) { m.core.PubAck(1, packets.Success) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t, "x")
			m := n.member("m", group)
			comes := func(handed, doubtful bool) {
				r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msgID{Origin: 4, Number: 2}, groupsOnly: handed, doubtful: doubtful}
				(*stateMachine)(n.clusterNode).Receive("x", appendForward(newBatch(), r, []string{group}), func(err error) { require.NoError(t, err) })
			}
			comes(tc.handed, tc.doubtful)
			m.core.Attach(core.Conn{Version: packets.V5, ReceiveMaximum: 10})
			m.core.Pump(&outbox.Buffer{Pool: &n.b.pool}, 0)
			require.Equal(t, 1, m.core.InFlight())
			tc.ends(m)
			comes(true, true)
			require.Equal(t, tc.again, m.core.Len())
			m.core.Detach()
		})
	}
}

// Guarantees 4 and 7: another member of a group gets what one has left when the cluster knows that the group has had it, and not before: if this node was lost,
// and its publisher sent the message again, it would come to the group a second time.
func TestWhatIsNotAgreedIsNotHandedOn(t *testing.T) {
	const group = "$share/g/t"
	msg := &core.Message{ID: msgID{Origin: 1, Number: 1}, Publisher: "p", TopicName: "t", QoS: 2, Origin: &core.Origin{PacketID: 7, At: 3}}
	for name, leaves := range map[string]func(*session){"client away": (*session).redispatch, "session over": (*session).end} {
		for _, lost := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				n := newSending(t, "x")
				p := proposals{idle{forwarded: n.sent}, new([]proposed)}
				n.c = p
				n.state.setRoute("x", group, members{all: 1, online: 1})
				n.state.owners["m"] = &owner{node: "self", home: "self", epoch: 3}
				m := n.member("m", group)
				m.expiry = max(m.expiry, 60)
				m.setDurable(true)
				sc := n.b.scratch()
				pub := publishOfMessage(msg)
				sc.r.again(&pub, msg, sc.nano)
				sc.r.origin = msg.Origin
				require.True(t, n.b.deliverShared(sc, n.b.groups.get(group)))
				sc.release()
				go leaves(m)
				synctest.Wait()
				require.Empty(t, n.take(), name)
				n.b.journal.replication.propose()
				require.NotEmpty(t, *p.made)
				for _, made := range *p.made {
					if lost {
						made.done(nil, ErrNodeLost)
						continue
					}
					n.state.origins.agree("p", msg.Origin, holder{kind: holderGroup, name: group})
					made.done(nil, nil)
				}
				synctest.Wait()
				n.peer("x").flush()
				if sent := n.take(); lost {
					require.Empty(t, sent, name)
				} else {
					require.Len(t, sent, 1, name)
				}
				time.Sleep(leftPatience) // for somebody to accept it
				n.cancel()
				n.wg.Wait()
			})
		}
	}
}

// Guarantee 8: two nodes that had been sent the same messages are lost one soon after the other. What comes back from the first is for the sessions that
// were there, also by way of the second; the second's own get theirs from its queue, in order.
func TestWhatComesBackFromOneOfTwoLostNodes(t *testing.T) {
	n := newSending(t, "x")
	n.step(9)
	adopted := func(id string, steps ...uint64) *session {
		kept := &keptSession{expiry: 60, subs: map[string][]byte{"t": appendSubscription(nil, &subscription{filter: "t", qos: 1})}}
		var o owner
		for _, step := range steps {
			o.lostIn(step)
		}
		s := n.makeInherited(&inherited{id: id, kept: kept, owner: o})
		s.adoptionEnds()
		return s
	}
	first, second, both := adopted("first", 5), adopted("second", 7), adopted("both", 5, 7)
	n.receivesBack(9, 1, 7, 4)
	n.receivesBack(9, 3, 7, 4)
	n.receivesBack(9, 2, 5, 4)
	n.receivesBack(9, 3, 5, 4)
	n.receivesBack(9, 4, 7, 5)
	require.Equal(t, []uint64{2, 3}, numbers(first))
	require.Equal(t, []uint64{1, 3, 4}, numbers(second))
	require.Equal(t, []uint64{2, 3, 4}, numbers(both), "what was sent to the second node before it had this session is not for it")
}

// The losses that a session has been through are forgotten when it moves, and when there are too many.
func TestEarlierLosses(t *testing.T) {
	var o owner
	for step := range uint64(2*earlierLimit + 1) {
		before := o
		earlier := slices.Clone(o.earlier)
		o.lostIn(step + 1)
		require.Equal(t, earlier, before.earlier, "owners do not change")
	}
	require.Equal(t, uint64(2*earlierLimit+1), o.since)
	require.Len(t, o.earlier, earlierLimit)
	require.Equal(t, uint64(2*earlierLimit), o.earlier[earlierLimit-1])
	require.True(t, slices.IsSorted(o.earlier))
	a := newAgreed(t)
	o.home, o.node, o.epoch = "x", "self", 4
	a.owners["m"] = &o
	m := movedCommand{claimResult: claimResult{epoch: 4, home: "x"}, id: "m", what: movedWhole, expiry: 60}
	cmd := codec.AppendUint(codec.AppendUint(m.append(), 0), 0)
	require.Equal(t, true, (*stateMachine)(a.n).Apply(30, "self", cmd))
	require.Empty(t, a.owner("m").earlier)
}

// What came back for the sessions of a lost node is held while one of them, which another node had and lost as well, is not here yet.
func TestReturnedWaitsForLaterAdoptions(t *testing.T) {
	n := newSending(t, "x")
	m := n.adoptedAt(7, "m", "t")
	accepted := 0
	hold := func(number uint64, returned bool) {
		a := newAcceptance()
		a.then = func(code packets.ReasonCode) {
			require.Equal(t, packets.Success, code)
			accepted++
		}
		msg := &core.Message{ID: msgID{Origin: 4, Number: number}, Publisher: "p", TopicName: "t", QoS: 1}
		n.adoptions.held = append(n.adoptions.held, heldMessage{msg: msg, lost: 5, wait: a, returned: returned})
	}
	hold(1, true)
	hold(2, false)
	n.adoptions.queue = []*adoption{{index: 7}}
	deliver := func(index uint64) (list []uint64) {
		for _, h := range n.adoptions.release(index) {
			list = append(list, h.msg.ID.Number)
			n.deliverInherited(h)
		}
		return list
	}
	require.Equal(t, []uint64{1, 2}, deliver(5))
	require.Zero(t, accepted)
	n.adoptions.queue = nil
	require.Equal(t, []uint64{1}, deliver(7))
	require.Equal(t, []uint64{2}, numbers(m), "what this node routed while it had not all is for all who came")
	require.Equal(t, 1, accepted, "and waits until it is kept")
}
