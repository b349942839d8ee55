package shoal

import (
	"context"
	"errors"
	"slices"
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
	m.setDurable(false) // nothing commits here
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
		req := codec.AppendUint(codec.AppendFixed64(request(callPass), 0), 0)
		req = appendMessage(codec.AppendBool(codec.AppendString(req, group), false), msg)
		for i := range 2 { // the first answer may be lost
			b, err := (*stateMachine)(n.clusterNode).Serve(t.Context(), "x", req)
			require.NoError(t, err)
			require.Equal(t, answer(passTaken), b)
			require.Len(t, withdraw(m), 1-i)
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
			n.peer("x").forward(&outgoing{buf: appendForward(newBatch(), r, []string{group}), waits: []*acceptance{a}, picks: []pick{{groups: []string{group}, msg: msg, wait: a}}})
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

// Guarantees 5 and 7: a node that was given up, and is back, does nothing more with what it had been sent before: that was sent elsewhere since.
func TestWhatCameBeforeBeingGivenUpIsVoid(t *testing.T) {
	const group = "$share/g/t"
	batch := func(step uint64) []byte {
		r := &routing{p: &packets.Publish{TopicName: "t", QoS: 1}, id: msgID{Origin: 4, Number: step}}
		b := appendForward(newBatch(), r, []string{group})
		stampBatch(b, step)
		return b
	}
	// back makes a node that was given up in step 5 and has come back in step 7.
	back := func(t *testing.T) *sending {
		t.Helper()
		n := newSending(t, "x", "y")
		n.state.enter("self", member{since: 7})
		n.step(8)
		return n
	}
	receive := func(n *sending, step uint64) (answered bool) {
		(*stateMachine)(n.clusterNode).Receive("x", batch(step), func(err error) {
			require.NoError(n.t, err)
			answered = true
		})
		return answered
	}
	pass := func(t *testing.T, n *sending, taken, from uint64) error {
		t.Helper()
		req := codec.AppendUint(codec.AppendFixed64(request(callPass), taken), from)
		msg := &core.Message{ID: msgID{Origin: 5, Number: taken}, TopicName: "t", QoS: 1}
		_, err := (*stateMachine)(n.clusterNode).Serve(t.Context(), "x", appendMessage(codec.AppendBool(codec.AppendString(req, group), false), msg))
		return err
	}
	t.Run("forwarded", func(t *testing.T) {
		n := back(t)
		m := n.member("m", group)
		require.False(t, receive(n, 4), "it comes back to x with everything that was sent here")
		require.Zero(t, m.core.Len())
		require.True(t, receive(n, 8))
		require.Equal(t, 1, m.core.Len())
	})
	t.Run("passed on to it", func(t *testing.T) {
		n := back(t)
		m := n.member("m", group)
		require.ErrorIs(t, pass(t, n, 4, 4), ErrNotServing)
		require.Zero(t, m.core.Len())
		require.NoError(t, pass(t, n, 8, 4), "that x has had it for longer does no harm")
		require.Equal(t, 1, m.core.Len())
	})
	t.Run("passed on by another that was given up", func(t *testing.T) {
		n := back(t)
		m := n.member("m", group)
		n.state.enter("x", member{since: 8})
		require.ErrorIs(t, pass(t, n, 8, 4), ErrNotServing)
		require.Zero(t, m.core.Len())
	})
	t.Run("to be passed on", func(t *testing.T) {
		n := back(t)
		m := n.member("m", group)
		msg := &core.Message{TopicName: "t", QoS: 1}
		require.Equal(t, packets.ServerUnavailable, n.passOne(&passing{msg: msg, group: group, step: 4, until: time.Now()}))
		require.Zero(t, m.core.Len())
		require.Equal(t, packets.Success, n.passOne(&passing{msg: msg, group: group, step: 8, until: time.Now()}))
		require.Equal(t, 1, m.core.Len())
	})
	t.Run("held for sessions that were being adopted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newSending(t)
			var code packets.ReasonCode
			a := newAcceptance()
			a.then = func(c packets.ReasonCode) { code = c }
			n.adoptions.held = []heldMessage{{msg: &core.Message{TopicName: "t", QoS: 1}, wait: a}}
			n.givenUp()
			go n.adoptions.run()
			synctest.Wait()
			require.Equal(t, packets.ServerUnavailable, code)
			n.cancel()
		})
	})
}

// Guarantees 5 and 7: what a session has left of a shared group is given to others by its home alone.
func TestOnlyTheHomeHandsOn(t *testing.T) {
	const group = "$share/g/t"
	for name, c := range map[string]struct {
		home string
		up   bool
		want int
	}{
		"at home":                 {"self", true, 1},
		"its heir has it":         {"x", true, 0},
		"given up a moment ago":   {"self", false, 0},
		"not kept, and node lost": {"", true, 0},
	} {
		for how, goes := range map[string]func(*session){"client away": (*session).redispatch, "session over": (*session).end} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newSending(t, "x")
					n.up.Store(c.up)
					n.state.setRoute("x", group, members{all: 1, online: 1})
					m := n.member("m", group)
					if c.home != "" {
						n.state.owners["m"] = &owner{node: c.home, home: c.home, epoch: 3}
					}
					m.core.Push(core.Entry{Msg: &core.Message{TopicName: "t", QoS: 1}, QoS: 1, Share: group})
					go goes(m)
					synctest.Wait()
					require.Len(t, n.take(), c.want)
					time.Sleep(leftPatience) // for somebody to accept it
				})
			})
		}
	}
}

// [MQTT-3.3.1-1]: what a member was sent and has not acknowledged may come to the same client again, which is a member elsewhere by then.
func TestWhatIsHandedOnMayHaveBeenHad(t *testing.T) {
	const group = "$share/g/t"
	for name, c := range map[string]struct {
		e   core.Entry
		dup bool
	}{
		"queued":                       {core.Entry{State: core.Queued}, false},
		"sent":                         {core.Entry{State: core.Sent}, true},
		"perhaps sent by another node": {core.Entry{State: core.Queued, Doubtful: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t, "x")
			n.state.setRoute("x", group, members{all: 1, online: 1})
			c.e.Msg, c.e.QoS, c.e.Share = &core.Message{TopicName: "t", QoS: 1}, 1, group
			n.b.handOn([]core.Entry{c.e}, func(*core.Entry, bool) {})
			batches := n.take()
			require.Len(t, batches, 1)
			r, err := openRecord(batches[0].buf)
			require.NoError(t, err)
			r.Fixed64()
			require.Equal(t, c.dup, readForwarded(r, 0).flags&forwardDoubtful != 0)
		})
	}
}

// What waits for sessions that are being adopted is as doubtful when they are there as it was before: its client may have had it.
func TestHeldForAGroupStaysDoubtful(t *testing.T) {
	const group = "$share/g/t"
	for _, doubtful := range []bool{false, true} {
		n := newSending(t)
		n.adoptions.busy = true
		sc := n.b.scratch()
		p := publishOfMessage(&core.Message{TopicName: "t", QoS: 1})
		sc.r.again(&p, &core.Message{TopicName: "t", QoS: 1}, sc.nano)
		sc.r.doubtful = doubtful
		n.routeGroup(sc, group)
		a := sc.r.wait
		a.then = func(code packets.ReasonCode) { require.Equal(t, packets.Success, code) }
		sc.release()
		a.finish(packets.Success)
		m := n.member("m", group)
		n.adoptions.finish()
		require.Equal(t, 1, m.core.Len())
		m.core.Entries(func(e *core.Entry) { require.Equal(t, doubtful, e.Doubtful) })
	}
}

// What was on its way to a lost node, and had come there, is not for a subscription that was made there afterwards: the node gets what a publisher sends by
// one node in order.
func TestWhatTheLostNodeHadDealtWith(t *testing.T) {
	id := func(origin, number uint64) msgID { return msgID{Origin: origin, Number: number} }
	for name, tc := range map[string]struct {
		m    core.Message
		want bool
	}{
		"before":                 {core.Message{ID: id(5, 6), Publisher: "p"}, false},
		"after":                  {core.Message{ID: id(5, 8), Publisher: "p"}, true},
		"another publisher":      {core.Message{ID: id(5, 6), Publisher: "other"}, true},
		"by another node":        {core.Message{ID: id(4, 6), Publisher: "p"}, true},
		"behind what was passed": {core.Message{ID: id(5, 4), Publisher: "group"}, true},
		"behind what was kept":   {core.Message{ID: id(5, 4), Publisher: "retained"}, true},
		"of nobody":              {core.Message{ID: id(5, 6)}, true},
	} {
		for _, early := range []bool{false, true} {
			n := newSending(t)
			kept := &keptSession{expiry: 60, subs: map[string][]byte{"t": appendSubscription(nil, &subscription{filter: "t", qos: 1})}}
			for seq, e := range []core.Entry{
				{Msg: &core.Message{ID: id(5, 7), Publisher: "p", TopicName: "t", QoS: 1}},
				{Msg: &core.Message{ID: id(5, 7), Publisher: "group", TopicName: "t", QoS: 1}, Share: "$share/g/t"},
				{Msg: &core.Message{ID: id(5, 7), Publisher: "retained", TopicName: "t", QoS: 1}, Retain: true},
				{Msg: &core.Message{ID: id(5, 7), TopicName: "t", QoS: 1}},
			} {
				e.Seq, e.QoS = uint64(1+seq), 1
				kept.entries = append(kept.entries, e)
			}
			s := n.makeInherited(&inherited{id: "s", kept: kept, owner: owner{since: 3}})
			had := s.core.Len()
			tc.m.TopicName, tc.m.QoS = "t", 1
			a := newAcceptance()
			a.then = func(packets.ReasonCode) {}
			if !early {
				s.adoptionEnds()
			}
			n.deliverInherited(heldMessage{msg: &tc.m, lost: 3, wait: a})
			if early {
				s.adoptionEnds()
			}
			require.Equal(t, tc.want, s.core.Len() > had, "%s, early %v", name, early)
		}
	}
}

// Guarantee 4: a member has lent a message of its group, and has been given it itself, and its node was lost before it withdrew the first one. Its heir has one,
// and so has whoever inherits from that.
func TestMemberThatWasGivenWhatItHadLentHasItOnce(t *testing.T) {
	const group = "$share/g/t"
	for name, tc := range map[string]struct {
		first, second core.Entry
		left          int
	}{
		"QoS 2":              {core.Entry{QoS: 2, State: core.Queued}, core.Entry{QoS: 2, State: core.Sent, PacketID: 7}, 1},
		"QoS 1":              {core.Entry{QoS: 1, State: core.Sent, PacketID: 6}, core.Entry{QoS: 1, State: core.Queued}, 1},
		"of another group":   {core.Entry{QoS: 2, State: core.Queued}, core.Entry{QoS: 2, State: core.Queued, Share: "$share/h/t"}, 2},
		"its delivery began": {core.Entry{QoS: 2, State: core.Sent, PacketID: 6}, core.Entry{QoS: 2, State: core.Queued}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t)
			var proposed [][]byte
			n.c = proposing{n.c.(idle), &proposed}
			n.state.owners["s"] = &owner{node: "self", home: "self", epoch: 3, settled: 3, since: 3}
			kept := n.state.keep("s")
			kept.expiry = 60
			kept.subs = map[string][]byte{group: appendSubscription(nil, &subscription{filter: group, qos: 2, shared: true})}
			for i, e := range []core.Entry{tc.first, tc.second} {
				e.Seq, e.Msg = uint64(1+i), &core.Message{ID: msgID{Origin: 5, Number: 7}, Publisher: "p", TopicName: "t", QoS: 2}
				if e.Share == "" {
					e.Share = group
				}
				kept.add(e)
			}
			s := n.makeInherited(&inherited{id: "s", kept: kept.share(), owner: *n.state.owners["s"]})
			s.adoptionEnds()
			defer s.stopExpiry()
			require.Equal(t, tc.left, s.core.Len())
			n.b.journal.replication.propose()
			for _, cmd := range proposed {
				(*stateMachine)(n.clusterNode).Apply(9, "self", cmd)
			}
			live := 0
			for i := range n.state.kept["s"].entries {
				if n.state.kept["s"].entries[i].State != core.Done {
					live++
				}
			}
			require.Equal(t, tc.left, live)
		})
	}
}

// Guarantee 7: what a session here has handed on comes back when the node it went to is lost before it has it, though all nodes know that the group had it. What
// the node was given at first does not: it is known then that one of the group has it.
func TestHandedOnAndLost(t *testing.T) {
	const group = "$share/g/t"
	for name, want := range map[string]int{"handed on": 1, "given at first": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newSending(t, "x")
				m := n.member("m", group)
				n.state.setRoute("x", group, members{all: 1, online: 1})
				msg := &core.Message{ID: msgID{Origin: 1, Number: 1}, Publisher: "p", TopicName: "t", QoS: 2, Origin: &core.Origin{PacketID: 7, At: 3}}
				n.state.origins.agree("p", msg.Origin, holder{kind: holderGroup, name: group})
				if name == "handed on" {
					n.b.handOn([]core.Entry{{Msg: msg, QoS: 2, Share: group}}, func(*core.Entry, bool) {})
				} else {
					sc := n.b.scratch()
					p := publishOfMessage(msg)
					sc.r.again(&p, msg, sc.nano)
					sc.r.origin = msg.Origin
					n.routeGroup(sc, group)
					sc.r.wait.then = func(packets.ReasonCode) {}
					sc.release()
				}
				n.peer("x").flush()
				synctest.Wait()
				sent := n.take()
				require.Len(t, sent, 1)
				require.Zero(t, m.core.Len())
				(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "self")
				sent[0].fail()
				synctest.Wait()
				require.Equal(t, want, m.core.Len())
				n.cancel()
				n.wg.Wait()
			})
		})
	}
}

// calling is a cluster whose nodes answer as told. It notes who was asked.
type calling struct {
	Cluster
	answer func(node string) ([]byte, error)
	asked  *[]string
}

func (c calling) Call(_ context.Context, node string, _ []byte) ([]byte, error) {
	*c.asked = append(*c.asked, node)
	return c.answer(node)
}

// Guarantee 7: what is passed on to a node whose store fails is that node's until it says what has become of it, and comes to one member there.
func TestPassedOnWhileTheStoreFails(t *testing.T) {
	const group = "$share/g/t"
	msg := &core.Message{ID: msgID{Origin: 4, Number: 2}, TopicName: "t", QoS: 1}
	t.Run("to this node", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newSending(t, "x")
			var members []*session
			for _, id := range []string{"m1", "m2"} {
				m := n.member(id, group)
				m.expiry, m.durable = 60, true
				members = append(members, m)
			}
			log := newCommonLog(new(heldStore), n.b.log)
			log.note = func([][]byte, *acceptance) {}
			shareLog(n.clusterNode, log)
			log.health.phase.Store(uint32(storeRefuses))
			pass := func(limit time.Duration) ([]byte, error) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				req := codec.AppendUint(codec.AppendFixed64(request(callPass), 0), 0)
				req = appendMessage(codec.AppendBool(codec.AppendString(req, group), false), msg)
				return (*stateMachine)(n.clusterNode).Serve(ctx, "x", req)
			}
			for range 3 {
				_, err := pass(time.Second)
				require.Error(t, err)
			}
			answered := make(chan []byte, 1)
			go func() {
				b, _ := pass(time.Hour)
				answered <- b
			}()
			synctest.Wait()
			require.Empty(t, answered)
			log.commit(t.Context())
			require.Equal(t, answer(passTaken), <-answered)
			b, err := pass(time.Second)
			require.NoError(t, err)
			require.Equal(t, answer(passTaken), b)
			require.Equal(t, 1, members[0].core.Len()+members[1].core.Len())
			require.Empty(t, n.givings)
		})
	})
	t.Run("from this node", func(t *testing.T) {
		for name, c := range map[string]struct {
			patient bool
			fails   int
			want    packets.ReasonCode
			asked   int
		}{
			"its publisher has a limit":    {false, 1000, packets.ServerUnavailable, 0},
			"the answer was lost":          {false, 3, packets.Success, 4},
			"a member leaves it to others": {true, 1000, packets.Success, 1001},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newSending(t, "x", "y")
					for _, node := range []string{"x", "y"} {
						n.state.setRoute(node, group, members{all: 1, online: 1})
					}
					var asked []string
					n.c = calling{n.c, func(string) ([]byte, error) {
						if len(asked) > c.fails {
							return answer(passTaken), nil
						}
						return nil, errors.New("the store fails")
					}, &asked}
					p := &passing{msg: msg, group: group, until: time.Now().Add(passPatience), patient: c.patient}
					require.Equal(t, c.want, n.passOne(p))
					if c.asked > 0 {
						require.Len(t, asked, c.asked)
					}
					require.Len(t, slices.Compact(asked), 1, "whoever was asked may have it")
				})
			})
		}
	})
}
