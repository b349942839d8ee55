package shoal

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

func newAgreed(t testing.TB) *agreed {
	t.Helper()
	b, err := New(WithAnonymous())
	require.NoError(t, err)
	n := newClusterNode(b, idle{forwarded: new([]forwardedBatch)})
	b.cluster, b.journal = n, newClusterJournal(newReplication(n, false), nil)
	n.life, n.cancel = context.WithCancel(t.Context())
	b.life = n.life
	return &n.state
}

// ownOnly is a Storage that belongs to one node.
type ownOnly struct{ Storage }

// sharedUnfenced is a Storage that several nodes see, and that does not know who of them has a session.
type sharedUnfenced struct{ Storage }

func (sharedUnfenced) Shared() bool { return true }

// A cluster has one truth for each session: a node's own store beside the replicated log, or a shared store that cannot tell its writers
// apart, is refused, with what to do instead.
func TestNodeOfAClusterTakesNoStorageOfItsOwn(t *testing.T) {
	for name, s := range map[string]Storage{"of one node": ownOnly{}, "shared without fences": sharedUnfenced{}} {
		t.Run(name, func(t *testing.T) {
			_, err := New(WithAnonymous(), WithCluster(idle{}), WithStorage(s))
			require.ErrorContains(t, err, "WithStorage")
			require.ErrorContains(t, err, "cluster.Config.Dir")
			require.ErrorContains(t, err, "storage/redis")
		})
	}
}

// TestSessionsAreKeptWhereTheFirstNodeKeepsThem holds that the place where a cluster keeps sessions is agreed with its first node, also over a snapshot,
// and that what is applied asks for that, and not for what this node was given.
func TestSessionsAreKeptWhereTheFirstNodeKeepsThem(t *testing.T) {
	node := func(where string) Node {
		return Node{Name: "x", Attributes: map[string]string{AttributeSessions: where}}
	}
	for first, other := range map[string]string{SessionsInLog: SessionsInStore, SessionsInStore: SessionsInLog} {
		a := newAgreed(t)
		sm := (*stateMachine)(a.n)
		require.NoError(t, sm.Admits(node(first)))
		require.NoError(t, sm.Admits(node(other)))
		sm.NodeUp(1, node(first))
		require.NoError(t, sm.Admits(node(first)))
		require.ErrorContains(t, sm.Admits(node(other)), first)
		require.Equal(t, first == SessionsInStore, a.sharesStore())

		write, err := sm.Snapshot()
		require.NoError(t, err)
		var buf bytes.Buffer
		require.NoError(t, write(&buf))
		again := newAgreed(t)
		require.NoError(t, (*stateMachine)(again.n).Restore(&buf))
		require.Equal(t, first == SessionsInStore, again.sharesStore())
		require.Error(t, (*stateMachine)(again.n).Admits(node(other)))
	}
}

// shareStore makes the node one of those that share a store.
func shareStore(n *clusterNode) { shareLog(n, newCommonLog(nil, n.b.log)) }

func shareLog(n *clusterNode, common *commonLog) {
	n.b.journal = newClusterJournal(newReplication(n, true), common)
	n.state.common.sessions = SessionsInStore
}

// withdraw takes everything out of a session, as if others had it.
func withdraw(s *session) []core.Entry {
	list := s.core.Lend(func(*core.Entry) bool { return true })
	for i := range list {
		s.core.Given(list[i].Seq)
	}
	return list
}

// idle is a cluster in which nothing happens by itself. It notes what is forwarded.
type idle struct {
	Cluster
	forwarded *[]forwardedBatch
}

type forwardedBatch struct {
	node string
	buf  []byte
	done func(error)
}

func (idle) Self() (Node, error) { return Node{Name: "self"}, nil }

func (idle) Serving() bool { return true }

func (idle) ProposeAsync([]byte, func(any, error)) {}

func (i idle) Forward(node string, batch []byte, done func(error)) bool {
	if i.forwarded == nil {
		return false // closed
	}
	*i.forwarded = append(*i.forwarded, forwardedBatch{node, batch, done})
	return true
}

// payloads returns what a batch carries.
func (f forwardedBatch) payloads(t *testing.T) (list []string) {
	t.Helper()
	r, err := openRecord(f.buf)
	require.NoError(t, err)
	r.Fixed64()
	for r.More() {
		m := readForwarded(r, 0)
		list = append(list, string(m.p.Payload))
	}
	require.NoError(t, r.Err())
	return list
}

// The sessions of a lost node are with its heir, or with the heir of that, if it was lost after it had them.
func TestHeirs(t *testing.T) {
	for name, c := range map[string]struct {
		heirs map[string][]loss
		up    string
		want  string
	}{
		"nobody was lost":                    {map[string][]loss{}, "a b c", ""},
		"one was":                            {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}}, "b c", "b"},
		"its heir was lost later":            {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"c"}, index: 6}}}, "c", "c"},
		"its heir was lost later, and back":  {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"c"}, index: 6}}}, "b c", "c"},
		"its heir had been lost earlier":     {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"c"}, index: 4}}}, "b c", "b"},
		"they were each other's":             {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"a"}, index: 6}}}, "a", "a"},
		"its heir started again at once":     {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"b"}, index: 6}}}, "b c", "b"},
		"it started again at once":           {map[string][]loss{"a": {{nodes: []string{"a"}, index: 5}}}, "a b c", "a"},
		"nobody is left":                     {map[string][]loss{"a": {{nodes: []string{"b"}, index: 5}}, "b": {{nodes: []string{"a"}, index: 6}}}, "", ""},
		"there was nobody to be its heir":    {map[string][]loss{"a": {{nodes: []string{"a"}, index: 5}}}, "", ""},
		"the last of a chain has itself":     {map[string][]loss{"a": {{nodes: []string{"b"}, index: 1}}, "b": {{nodes: []string{"c"}, index: 2}}, "c": {{nodes: []string{"c"}, index: 3}}}, "c", "c"},
		"the chain ends with the youngest":   {map[string][]loss{"a": {{nodes: []string{"b"}, index: 1}}, "b": {{nodes: []string{"c"}, index: 2}}, "c": {{nodes: []string{"a"}, index: 3}}}, "a", "a"},
		"an older link of a chain is passed": {map[string][]loss{"a": {{nodes: []string{"b"}, index: 7}}, "b": {{nodes: []string{"c"}, index: 8}}, "c": {{nodes: []string{"a"}, index: 2}}}, "a c", "c"},
		"several":                            {map[string][]loss{"a": {{nodes: []string{"b", "c"}, index: 5}}}, "b c", "b c"},
		"one of several was lost later":      {map[string][]loss{"a": {{nodes: []string{"b", "c"}, index: 5}}, "b": {{nodes: []string{"c", "d"}, index: 6}}}, "c d", "c d"},
		"one of several has no heir":         {map[string][]loss{"a": {{nodes: []string{"b", "c"}, index: 5}}, "b": {{nodes: []string{"b"}, index: 6}}}, "c", ""},
		"two of several, one after another":  {map[string][]loss{"a": {{nodes: []string{"b", "c", "d"}, index: 5}}, "b": {{nodes: []string{"c", "d"}, index: 6}}, "c": {{nodes: []string{"d"}, index: 7}}}, "d", "d"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgreed(t)
			a.heirs = c.heirs
			for _, node := range strings.Fields(c.up) {
				a.enter(node, member{})
			}
			got, index := a.heirsOf("a", 0)
			require.Equal(t, c.want, strings.Join(got, " "))
			if len(got) > 0 {
				require.Equal(t, c.heirs["a"][0].index, index)
			}
		})
	}
}

// changesOf encodes what a session of a client with an epoch says: it has one message more.
func changesOf(epoch, seq uint64, text string) []byte {
	s := &session{clientID: "client", epoch: epoch}
	enc := new(changeEncoder)
	m := &core.Message{TopicName: "t", Payload: []byte(text)}
	enc.session(s, &sessionChanges{entries: []core.Entry{{Msg: m, Seq: seq, QoS: 1}}})
	return enc.take()
}

// Guarantee 3: what a node that had the session earlier says of it changes nothing, also when the session has come back to it since.
func TestStaleChangesAreVoid(t *testing.T) {
	a := newAgreed(t)
	sm := (*stateMachine)(a.n)
	claim := func(node string) uint64 {
		cmd := codec.AppendBool(codec.AppendBytes(codec.AppendString(command(cmdClaim), "client"), nil), false)
		return sm.Apply(1, node, cmd).(claimResult).epoch
	}
	move := func(home, node string, epoch, from uint64, what byte) any {
		m := movedCommand{claimResult{epoch, home}, "client", what, 600}
		return sm.Apply(1, node, codec.AppendUint(codec.AppendUint(m.append(), from), 0))
	}
	moved := func(home, node string, epoch, from uint64, what byte) {
		require.Equal(t, true, move(home, node, epoch, from, what))
	}
	first := claim("a")
	moved("", "a", first, 0, movedNone)
	require.Nil(t, sm.Apply(1, "a", changesOf(first, 1, "one")))
	require.Nil(t, sm.Apply(1, "b", changesOf(first, 2, "not its own")))
	second := claim("b")
	require.Nil(t, sm.Apply(1, "a", changesOf(first, 2, "until it has moved"))) // a still has it
	require.Equal(t, false, move("c", "b", second, 2, movedNone), "it was not c that had the session")
	moved("a", "b", second, 2, movedWhole)
	require.Nil(t, sm.Apply(1, "a", changesOf(first, 3, "too late")))
	third := claim("a")
	moved("b", "a", third, 2, movedWhole)
	require.Nil(t, sm.Apply(1, "a", changesOf(first, 3, "much too late")))
	require.Nil(t, sm.Apply(1, "a", changesOf(third, 3, "three")))
	var texts []string
	for _, e := range a.kept["client"].entries {
		texts = append(texts, string(e.Msg.Payload))
	}
	require.Equal(t, []string{"one", "until it has moved", "three"}, texts)
}

// Guarantee 4: a session that all nodes keep is not ended by a node that does not find it, or has no say any more.
func TestKeptSessionIsNotTakenForOver(t *testing.T) {
	for name, c := range map[string]struct {
		owner owner
		by    string
		what  byte
		moves bool
	}{
		"moved":                           {owner{node: "b", home: "a", epoch: 5}, "b", movedWhole, true},
		"the home does not find it":       {owner{node: "b", home: "a", epoch: 5}, "b", movedNone, false},
		"the client discards it":          {owner{node: "b", home: "a", epoch: 5}, "b", movedDiscarded, true},
		"the claiming node was lost":      {owner{node: "", home: "a", epoch: 5}, "b", movedWhole, false},
		"and the client discards it":      {owner{node: "", home: "a", epoch: 5}, "b", movedDiscarded, false},
		"it was lost and claimed again":   {owner{node: "b", home: "a", epoch: 6}, "b", movedWhole, false},
		"the home was lost, with an heir": {owner{node: "b", home: "c", epoch: 5}, "b", movedWhole, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgreed(t)
			a.owners["client"] = &c.owner
			a.keep("client").expiry = 600
			a.kept["client"].add(core.Entry{Msg: &core.Message{TopicName: "t"}, Seq: 1, QoS: 1})
			m := movedCommand{claimResult{5, "a"}, "client", c.what, 600}
			result := (*stateMachine)(a.n).Apply(1, c.by, codec.AppendUint(codec.AppendUint(m.append(), 1), 0))
			require.Equal(t, c.moves, result)
			require.Len(t, a.kept["client"].entries, map[bool]int{true: 0, false: 1}[c.moves && c.what == movedDiscarded])
			require.Equal(t, c.moves, a.owners["client"].home == "b")
		})
	}
}

// Guarantee 4: what a node says of the end of a session that is another's by now is void.
func TestOnlyTheHomeEndsASession(t *testing.T) {
	for name, c := range map[string]struct {
		owner owner
		over  bool
	}{
		"at home":                      {owner{node: "a", home: "a", epoch: 5}, true},
		"claimed again":                {owner{node: "a", home: "a", epoch: 6}, false},
		"inherited by this node":       {owner{home: "a", epoch: 4}, true},
		"inherited by another":         {owner{home: "b", epoch: 5}, false},
		"claimed by another":           {owner{node: "b", home: "a", epoch: 5}, false},
		"claimed, and not brought yet": {owner{node: "a", home: "b", epoch: 5}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgreed(t)
			a.owners["client"] = &c.owner
			a.keep("client").expiry = 600
			(*stateMachine)(a.n).Apply(1, "a", codec.AppendUint(codec.AppendString(command(cmdRelease), "client"), 5))
			require.Equal(t, c.over, a.owners["client"] == nil)
			require.Equal(t, c.over, a.kept["client"] == nil)
		})
	}
}

// What is handed out, to a snapshot or an adoption, does not change any more; and a snapshot restores all there is.
func TestKeptSessionsInSnapshots(t *testing.T) {
	a := newAgreed(t)
	sm := (*stateMachine)(a.n)
	a.owners["client"] = &owner{node: "a", home: "a", epoch: 3, settled: 2, since: 7, earlier: []uint64{4, 5}}
	a.heirs["x"], a.step = []loss{{nodes: []string{"a"}, index: 7}}, 7
	a.enter("a", member{})
	a.keep("client").expiry = 60
	a.kept["client"].setSubscription("f", []byte("encoded"))
	a.kept["client"].setReceived(9, true)
	require.Nil(t, sm.Apply(1, "a", changesOf(3, 1, "one")))
	write, err := sm.Snapshot()
	require.NoError(t, err)
	require.Nil(t, sm.Apply(2, "a", changesOf(3, 2, "after the snapshot")))
	var buf bytes.Buffer
	require.NoError(t, write(&buf))

	again := newAgreed(t)
	require.NoError(t, (*stateMachine)(again.n).Restore(&buf))
	k := again.kept["client"]
	require.Len(t, k.entries, 1)
	require.Equal(t, "one", string(k.entries[0].Msg.Payload))
	require.Equal(t, map[string][]byte{"f": []byte("encoded")}, k.subs)
	require.Contains(t, k.received, uint16(9))
	require.Equal(t, uint32(60), k.expiry)
	require.Equal(t, uint64(1), k.top)
	require.Equal(t, a.owners["client"], again.owners["client"])
	require.Equal(t, a.heirs, again.heirs)
	require.Equal(t, a.up, again.up)
	require.Equal(t, a.step, again.step)
	require.Len(t, a.kept["client"].entries, 2)
}

// C3: a node that goes on running after it was given a snapshot lets go of its sessions, and has what is its own by that, and nothing else, once it is
// up again; or others have it.
func TestSnapshotForARunningNode(t *testing.T) {
	for name, up := range map[string]bool{"that takes part": true, "that was given up": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := newAgreed(t)
				if up {
					source.enter("self", member{since: 2, reference: "self:1883"})
				}
				source.step = 8
				source.owners["mine"] = &owner{home: "self", epoch: 3, settled: 2, since: 7, earlier: []uint64{4, 5}}
				source.keep("mine").expiry = 60
				source.kept["mine"].add(core.Entry{Msg: &core.Message{TopicName: "t"}, Seq: 1, QoS: 1})
				source.owners["moved"] = &owner{home: "other", epoch: 4, settled: 4}
				source.keep("moved").expiry = 60
				write, err := (*stateMachine)(source.n).Snapshot()
				require.NoError(t, err)
				var buf bytes.Buffer
				require.NoError(t, write(&buf))

				n := newAgreed(t).n
				n.up.Store(true)
				n.step(5)
				n.b.sessions.put(n.b.newSession("moved"))
				n.b.sessions.put(n.b.newSession("mine"))
				require.NoError(t, (*stateMachine)(n).Restore(&buf))
				go n.adoptions.run()
				synctest.Wait()
				require.False(t, n.up.Load())
				require.Nil(t, n.b.sessions.get("moved"))
				require.Nil(t, n.b.sessions.get("mine"))
				require.Equal(t, uint64(5), n.adoptions.done.Load(), "nothing that came later is accepted before it is back")
				if up {
					n.up.Store(true)
					n.inherit(9, "self", "self")
					synctest.Wait()
					require.Nil(t, n.b.sessions.get("moved"))
					s := n.b.sessions.get("mine")
					require.Equal(t, 1, s.core.Len())
					require.True(t, s.durable)
					require.Equal(t, uint64(9), s.adopted)
					require.Equal(t, uint64(9), n.adoptions.done.Load())
					s.stopExpiry()
				}
				n.cancel()
			})
		})
	}
}

// What a session that is let go had not handed on does not count any more against what may wait.
func TestLettingGoMakesRoom(t *testing.T) {
	n := newAgreed(t).n
	r := n.b.journal.replication
	s := n.b.newSession("client")
	s.expiry = max(s.expiry, 60)
	s.setDurable(true)
	s.core.Push(core.Entry{Msg: &core.Message{TopicName: "t", Payload: make([]byte, 1000)}, QoS: 1})
	require.Greater(t, r.bytes.Load(), int64(1000))
	s.abandon()
	require.Zero(t, r.bytes.Load())
}

// A message held for sessions of a later step is not given to those of an earlier one.
func TestHeldMessagesWaitForTheirStep(t *testing.T) {
	q := &newAgreed(t).n.adoptions
	q.busy = true
	q.hold(heldMessage{lost: 5})
	q.hold(heldMessage{lost: 9})
	require.Equal(t, []heldMessage{{lost: 5}}, q.release(5))
	require.Equal(t, []heldMessage{{lost: 9}}, q.held)
}

// Guarantee 8: what a lost node had been sent comes to its sessions in front of what this node has routed since, whichever comes back here first; and
// whatever comes while that is delivered, behind it.
func TestHeldMessagesStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t)
		q := &n.adoptions
		q.busy = true
		s := n.b.newSession("s")
		sub, err := n.b.parseSubscription(&packets.Subscription{TopicFilter: "t", QoS: 1}, nil)
		require.NoError(t, err)
		sub.s, s.adopted = s, 9
		_, err = s.subscribe(sub)
		require.NoError(t, err)
		var hold func(payload string, returned bool)
		hold = func(payload string, returned bool) {
			a := newAcceptance()
			a.then = func(packets.ReasonCode) {
				if payload == "1" {
					hold("5", false)
				}
			}
			msg := &core.Message{ID: msgID{Number: uint64(payload[0])}, TopicName: "t", QoS: 1, Payload: []byte(payload)}
			q.hold(heldMessage{msg: msg, lost: 9, wait: a, returned: returned})
		}
		hold("3", false)
		hold("1", true)
		hold("4", false)
		hold("2", true)
		require.Len(t, q.held, 4)
		q.finish()
		require.Empty(t, q.held)
		require.False(t, q.busy)
		var got []string
		s.core.Entries(func(e *core.Entry) { got = append(got, string(e.Msg.Payload)) })
		require.Equal(t, []string{"1", "2", "3", "4", "5"}, got)
		n.cancel()
	})
}

// Guarantee 5: the routes of a lost node are its heir's at once, so that nothing is missed that comes before the heir speaks.
func TestRoutesGoToTheHeir(t *testing.T) {
	for _, heirName := range []string{"y", "self"} {
		t.Run(heirName, func(t *testing.T) {
			a := newAgreed(t)
			a.n.up.Store(true)
			sm := (*stateMachine)(a.n)
			for i, node := range []string{"self", "x", "y"} {
				a.enter(node, member{})
				a.n.step(uint64(i + 1))
			}
			for _, filter := range []string{"t/+", "$share/g/s", "of/guests"} {
				a.setRoute("x", filter, members{2, 1, 1})
			}
			e := a.estateOf("x", heirName)
			for i := 0; len(a.owners) < 2; i++ {
				if id := fmt.Sprint(i); e.heirOf(id) == heirName {
					a.owners[id] = &owner{node: "x", home: "x"}
					a.keep(id).subs = map[string][]byte{"t/+": {1}, "$share/g/s": {1}}
				}
			}
			sm.NodeDown(4, Node{Name: "x"}, heirName)
			found := a.routes.Load().AppendMatches(nil, "t/1")
			require.Len(t, found, 1)
			require.Equal(t, heirName, found[0].node)
			require.Equal(t, heirName == "self", found[0].held())
			require.Equal(t, &route{node: heirName, peer: found[0].peer, filter: "s", group: "$share/g/s", members: members{all: 2, keep: 2}},
				withPeer(a.shares["$share/g/s"][heirName], found[0].peer))
			require.Empty(t, a.routes.Load().AppendMatches(nil, "of/guests"), "of sessions that ended with the node")
			require.Empty(t, a.nodes["x"])
		})
	}
}

func withPeer(rt *route, p *peerQueue) *route {
	same := *rt
	same.peer = p
	return &same
}

// Guarantees 3 and 9: what a node sent before the cluster gave it up is not taken when it arrives afterwards.
func TestReceiveRefusesWhoWasGivenUp(t *testing.T) {
	n := newAgreed(t).n
	n.up.Store(true)
	n.state.enter("self", member{since: 2})
	n.state.enter("x", member{since: 3})
	n.step(4)
	receive := func(step uint64) (answer error) {
		batch := newBatch()
		stampBatch(batch, step)
		(*stateMachine)(n).Receive("x", batch, func(err error) { answer = err })
		return answer
	}
	require.NoError(t, receive(4))
	n.state.leave(2, "x")
	require.ErrorIs(t, receive(4), errGivenUp)
	n.step(7)
	n.state.enter("x", member{since: 7})
	require.ErrorIs(t, receive(6), errGivenUp, "of the run before")
	require.NoError(t, receive(7))
}

// Guarantee 5: a node takes nothing from one that has gone further in the agreed order than itself: it may have inherited sessions there.
func TestReceiveWaitsForTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newAgreed(t).n
		n.up.Store(true)
		n.state.enter("self", member{since: 2})
		n.state.enter("x", member{since: 3})
		n.step(4)
		accepted := 0
		receive := func(step uint64) {
			batch := newBatch()
			stampBatch(batch, step)
			(*stateMachine)(n).Receive("x", batch, func(err error) {
				require.NoError(t, err)
				accepted++
			})
		}
		receive(4)
		require.Equal(t, 1, accepted)
		go receive(5)
		synctest.Wait()
		require.Equal(t, 1, accepted)
		n.adoptions.add(&adoption{index: 5, lost: "y"})
		n.step(5)
		synctest.Wait()
		require.Equal(t, 1, accepted, "the sessions are not made yet")
		go n.adoptions.run()
		synctest.Wait()
		require.Equal(t, 2, accepted)
		n.cancel()
	})
}

// Guarantee 4: a node that is asked for a session it has inherited answers when it knows that it has, and not that there is none.
func TestOfferWaitsForTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newAgreed(t).n
		n.up.Store(true)
		n.step(4)
		var answers [][]byte
		ask := func(step uint64) {
			req := codec.AppendUint(codec.AppendString(request(callOffer), "client"), 1)
			b, err := (*stateMachine)(n).Serve(t.Context(), "x", codec.AppendUint(codec.AppendBool(req, false), step))
			require.NoError(t, err)
			answers = append(answers, b)
		}
		ask(4)
		go ask(5)
		synctest.Wait()
		require.Len(t, answers, 1)
		n.step(5)
		synctest.Wait()
		require.Len(t, answers, 2)
		n.cancel()
	})
}

// sending is a node that publishers send messages through.
type sending struct {
	*clusterNode
	t    *testing.T
	sent *[]forwardedBatch
	acks int
}

func newSending(t *testing.T, others ...string) *sending {
	t.Helper()
	n := newAgreed(t).n
	n.up.Store(true)
	for _, node := range append(others, "self") {
		n.state.enter(node, member{})
	}
	return &sending{clusterNode: n, t: t, sent: n.c.(idle).forwarded}
}

// publish sends one message to a node, in a batch of its own.
func (s *sending) publish(to, payload string) {
	sc := s.b.scratch()
	p := packets.Publish{TopicName: "t", QoS: 1, Payload: []byte(payload)}
	sc.r.begin(&p, "publisher", nil, sc)
	s.peer(to).send(sc, nil)
	a := sc.r.wait
	a.then = func(code packets.ReasonCode) {
		require.Equal(s.t, packets.Success, code)
		s.acks++
	}
	sc.release()
	a.finish(packets.Success)
}

// take returns what was forwarded since the last call.
func (s *sending) take() []forwardedBatch {
	list := *s.sent
	*s.sent = nil
	return list
}

// fail has a batch come back.
func (f forwardedBatch) fail() {
	go f.done(ErrNodeLost)
	synctest.Wait()
}

// accepted has batches accepted, all of which must have gone to a node, and returns what they carry.
func (s *sending) accepted(node string, batches []forwardedBatch) (payloads []string) {
	s.t.Helper()
	for _, f := range batches {
		require.Equal(s.t, node, f.node)
		payloads = append(payloads, f.payloads(s.t)...)
		f.done(nil)
	}
	return payloads
}

// Guarantee 8: what comes back from a lost node goes on in order, also when its heirs change while the first of it waits for the node to be back.
func TestWhatComesBackStaysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x", "y")
		n.publish("x", "1")
		n.publish("x", "2")
		batches := n.take()
		n.state.heirs["x"] = []loss{{nodes: []string{"x"}, index: 9}} // it was back at once
		batches[0].fail()
		n.state.mu.Lock()
		n.state.heirs["x"] = []loss{{nodes: []string{"y"}, index: 11}} // and was lost again
		n.state.mu.Unlock()
		batches[1].fail()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"1", "2"}, n.accepted("y", n.take()))
		n.wg.Wait()
	})
}

// Guarantee 8: what comes back from a lost node goes to its heir in front of what was sent to the heir since, and is marked as inherited.
func TestWhatComesBackGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x", "y")
		n.publish("x", "1")
		n.publish("x", "2")
		batches := n.take()
		(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "y")
		n.publish("y", "3")
		for _, f := range batches {
			f.fail()
		}
		batches = n.take()
		require.Equal(t, []string{"1", "2", "3"}, n.accepted("y", batches))
		require.Equal(t, 3, n.acks)
		r, err := openRecord(batches[0].buf)
		require.NoError(t, err)
		require.Equal(t, uint64(9), r.Fixed64())
		f := readForwarded(r, 0)
		require.Equal(t, uint64(9), f.inherited)
		n.cancel()
	})
}

// Guarantee 8: the heir of a lost node is lost in turn, before it was sent anything of what the lost node had been sent, after some, or all of that.
func TestWhatComesBackFromALostHeirGoesFirst(t *testing.T) {
	for before := range 3 {
		t.Run(fmt.Sprint("after ", before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newSending(t, "x", "y", "z")
				n.publish("x", "1")
				n.publish("x", "2")
				fromX := n.take()
				(*stateMachine)(n.clusterNode).NodeDown(9, Node{Name: "x"}, "y")
				n.publish("y", "3")
				for _, f := range fromX[:before] {
					f.fail()
				}
				toY := n.take()
				(*stateMachine)(n.clusterNode).NodeDown(11, Node{Name: "y"}, "z")
				n.publish("z", "4")
				for _, f := range fromX[before:] {
					f.fail()
				}
				var toZ []forwardedBatch
				for on := slices.Concat(toY, n.take()); len(on) > 0; on = on[1:] {
					if on[0].node == "z" {
						toZ = append(toZ, on[0])
						continue
					}
					on[0].fail()
					on = append(on, n.take()...)
				}
				require.Equal(t, []string{"1", "2", "3", "4"}, n.accepted("z", toZ))
				synctest.Wait()
				require.Equal(t, 4, n.acks)
				n.cancel()
				n.wg.Wait()
			})
		})
	}
}

// A message that comes too late to be forwarded, because the node is stopping, is refused, and nobody waits for ever.
func TestForwardWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newAgreed(t).n
		n.c = idle{} // closed
		sc := n.b.scratch()
		p := packets.Publish{TopicName: "t", QoS: 1}
		sc.r.begin(&p, "publisher", nil, sc)
		n.peer("x").send(sc, nil)
		a, code := sc.r.wait, packets.Success
		a.then = func(c packets.ReasonCode) { code = c }
		sc.release()
		a.finish(packets.Success)
		n.wg.Wait()
		require.Equal(t, packets.ServerShuttingDown, code)
		require.NoError(t, n.peer("x").await(t.Context(), func() bool { return true }))
		n.cancel()
	})
}

// Damaged commands change nothing and do no harm.
func FuzzChanges(f *testing.F) {
	f.Add(changesOf(1, 1, "one"))
	s := &session{clientID: "client", epoch: 1}
	enc := new(changeEncoder)
	enc.session(s, &sessionChanges{
		meta: true, sent: 4, released: []uint64{3}, ended: []uint64{1, 2}, received: map[uint16]identifier{7: {taken: true, moment: 5}},
		subs: map[string]*subscription{"a/+": {filter: "a/+", qos: 1}, "gone": nil},
	})
	f.Add(enc.take())
	f.Add(append(command(cmdNotes), append(s.noteEntry(entryFrom("pub", 3, 10)), over("pub")...)...))
	f.Fuzz(func(t *testing.T, cmd []byte) {
		a := newAgreed(t)
		a.owners["client"] = &owner{home: "a"}
		a.keep("client").entries = []core.Entry{{Msg: new(core.Message), Seq: 1}, {Msg: new(core.Message), Seq: 4}}
		_ = (*stateMachine)(a.n).Apply(1, "a", cmd)
		if k := a.kept["client"]; k != nil {
			for _, e := range k.entries {
				require.True(t, e.Msg != nil || e.State == core.Done)
			}
		}
	})
}

// With a store that all nodes share, the agreed order has of a session that it is kept, and nothing of what is in it.
func TestNarrowReplication(t *testing.T) {
	a := newAgreed(t)
	n := a.n
	shareStore(n)
	s := n.b.newSession("x")
	s.expiry, s.epoch = 60, 1
	s.expiry = max(s.expiry, 60)
	s.setDurable(true)
	n.b.journal.whole(s)
	sub, err := n.b.parseSubscription(&packets.Subscription{TopicFilter: "t", QoS: 1}, nil)
	require.NoError(t, err)
	sub.s = s
	_, err = s.subscribe(sub)
	require.NoError(t, err)
	s.mu.Lock()
	s.core.Push(core.Entry{Msg: &core.Message{TopicName: "t", Payload: []byte("secret"), QoS: 1}, QoS: 1})
	s.logMeta()
	enc := &changeEncoder{narrow: true}
	enc.session(s, s.changes)
	s.mu.Unlock()
	a.owners["x"] = &owner{node: "self", home: "self", epoch: 1, settled: 1}
	(*stateMachine)(n).Apply(1, "self", enc.take())
	require.Equal(t, &keptSession{gen: a.gen, expiry: 60, claimed: 1}, a.kept["x"])
	require.Len(t, n.b.journal.common.units, 4, "all of it goes to the store")
}

// A node whose clock was set back before it started takes no earlier run of its own, of which the agreed order tells, for this one, though its incarnation is greater.
func TestEarlierRunIsNotThisOne(t *testing.T) {
	n := newAgreed(t).n
	n.self.Incarnation = 100
	earlier := Node{Name: n.self.Name, Incarnation: 200, Attributes: map[string]string{AttributeRun: "earlier"}}
	(*stateMachine)(n).NodeUp(1, earlier)
	require.False(t, n.up.Load())
	n.up.Store(true) // as this run does later
	(*stateMachine)(n).NodeDown(2, earlier, "other")
	require.True(t, n.up.Load())
}
