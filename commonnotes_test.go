package shoal

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// noted is a session of this node's, in a store that all nodes share.
func noted(t *testing.T, a *agreed) *session {
	t.Helper()
	s := a.n.b.newSession("x")
	s.fence = Fence{Epoch: 4, Step: 2}
	a.owners["x"] = &owner{node: "self", home: "self", epoch: 9, settled: 4, since: 2}
	a.keep("x").expiry = 60
	return s
}

func entryFrom(publisher string, seq, at uint64) *core.Entry {
	return &core.Entry{Seq: seq, Fresh: true, Msg: &core.Message{Publisher: publisher, Origin: &core.Origin{PacketID: 7, At: at}}}
}

func over(publisher string) []byte {
	b := codec.AppendUint(codec.AppendString([]byte{noteOver}, publisher), 7)
	return codec.AppendUint(b, momentAfter(1))
}

func (a *agreed) apply(node string, notes ...[]byte) any {
	cmd := command(cmdNotes)
	for _, note := range notes {
		cmd = append(cmd, note...)
	}
	return (*stateMachine)(a.n).Apply(1, node, cmd)
}

// What a session has had is known until the exchange is over. An older note that comes again afterwards, since the session was written anew, does not
// bring it back: the next message with the identifier would be taken for a repetition.
func TestNotes(t *testing.T) {
	a := newAgreed(t)
	s := noted(t, a)
	a.now.Store(100)
	again := &core.Origin{PacketID: 7, At: 20, Again: 15}
	has := func() bool { return a.origins.has("pub", again, holder{kind: holderSession, name: "x"}) }
	require.Nil(t, a.apply("self", s.noteEntry(entryFrom("pub", 3, 10))))
	require.True(t, has())
	require.Nil(t, a.apply("self", over("pub")))
	require.False(t, has())
	require.Nil(t, a.apply("self", s.noteEntry(entryFrom("pub", 3, 10))))
	require.False(t, has())
	require.Nil(t, a.apply("self", s.noteEntry(entryFrom("pub", 4, 12))))
	require.True(t, has())
}

// What a node notes of a session that is not its own, or not any more, is void.
func TestNotesOfAnother(t *testing.T) {
	a := newAgreed(t)
	s := noted(t, a)
	note := s.noteEntry(entryFrom("pub", 3, 10))
	require.Nil(t, a.apply("other", note))
	s.fence.Step++
	require.Nil(t, a.apply("self", s.noteEntry(entryFrom("pub", 3, 10))))
	require.Empty(t, a.origins.by)
	require.Nil(t, s.noteEntry(&core.Entry{Seq: 1, Msg: &core.Message{}}), "there is nothing to note")
	require.Error(t, a.apply("self", []byte{77}).(error))
}

// heldStore commits, and has what is agreed wait for a word.
type heldStore struct {
	FencedStorage
	stale []string
}

func (h *heldStore) CommitFenced(context.Context, []Op, map[string]Fence) ([]string, error) {
	return h.stale, nil
}

// Whoever waits for the store waits for what is agreed after that, too, also when nothing is left to be stored.
func TestStoreWaitsForNotes(t *testing.T) {
	store := new(heldStore)
	j := newCommonLog(store, newAgreed(t).n.b.log)
	var agreed []*acceptance
	var noted [][]byte
	j.note = func(notes [][]byte, wait *acceptance) {
		wait.add()
		agreed, noted = append(agreed, wait), append(noted, notes...)
	}
	j.stale = func(_ []staleSpace, done func(packets.ReasonCode)) { done(packets.Success) }
	results := make(chan packets.ReasonCode, 3)
	wait := func() {
		a := newAcceptance()
		a.then = func(c packets.ReasonCode) { results <- c }
		j.await(a)
		a.finish(packets.Success)
	}
	wait()
	require.Equal(t, packets.Success, <-results, "there is nothing to wait for")

	j.write("session/x", Fence{Epoch: 1}, []byte("old"))
	j.write("session/x", Fence{Epoch: 2}, []byte("note"), Op{Space: "session/x", Key: []byte("q")})
	wait()
	require.False(t, j.commit(t.Context()))
	require.Equal(t, [][]byte{[]byte("note")}, noted, "what was written before the session came here the last time is void")
	wait()
	require.False(t, j.commit(t.Context()))
	require.Empty(t, results)
	agreed[0].finish(packets.Success)
	require.Equal(t, packets.Success, <-results)
	require.Equal(t, packets.Success, <-results)

	store.stale = []string{"session/x"}
	j.write("session/x", Fence{Epoch: 2}, []byte("refused"), Op{Space: "session/x", Key: []byte("q")})
	wait()
	require.False(t, j.commit(t.Context()))
	require.Equal(t, packets.Success, <-results)
	require.Len(t, noted, 1)

	store.stale = nil
	j.write("session/x", Fence{Epoch: 3}, []byte("fails"))
	wait()
	require.False(t, j.commit(t.Context()))
	agreed[1].finish(packets.ServerUnavailable)
	require.Equal(t, packets.ServerUnavailable, <-results)
}

// What came to the new home of a session while that was being moved is noted with the move, and what was noted before that is void then is not.
func TestMoveNotes(t *testing.T) {
	a := newAgreed(t)
	a.now.Store(100)
	a.owners["x"] = &owner{node: "self", home: "other", epoch: 9, settled: 4}
	k := a.keep("x")
	k.expiry, k.noted, k.top = 60, 6, 6
	m := movedCommand{claimResult{9, "other"}, "x", movedWhole, 60}
	enc := &changeEncoder{buf: codec.AppendUint(m.append(), 4), msgs: make(map[*core.Message]uint64)}
	e := entryFrom("pub", 5, 10)
	e.Msg.TopicName = "t"
	enc.entries([]core.Entry{*e})
	require.Equal(t, true, (*stateMachine)(a.n).Apply(1, "self", enc.buf))
	require.Equal(t, uint64(5), a.kept["x"].noted)
	require.True(t, a.origins.has("pub", &core.Origin{PacketID: 7, At: 20, Again: 15}, holder{kind: holderSession, name: "x"}))
}

// An entry says that its message may come again for as long as it is there: it is written anew when its session moves.
func TestEntryStaysFresh(t *testing.T) {
	a := newAgreed(t)
	s := a.n.b.newSession("x")
	s.core.Push(*entryFrom("pub", 0, 10))
	s.core.Entries(func(e *core.Entry) { require.True(t, e.Fresh) })
}

// What leaves for a QoS 2 message waits for a word of the cluster, after the store has it, even if there is nothing to note.
func TestQoS2WaitsForTheCluster(t *testing.T) {
	a := newAgreed(t)
	j := newCommonLog(new(heldStore), a.n.b.log)
	shareLog(a.n, j)
	s := noted(t, a)
	s.expiry, s.durable = 60, true
	last := func() []byte { return j.units[len(j.units)-1].note }
	e := core.Entry{Seq: 1, QoS: 1, Msg: new(core.Message)}
	(*sessionLog)(s).Enqueued(&e)
	require.Empty(t, last())
	e.QoS = 2
	(*sessionLog)(s).Enqueued(&e)
	require.Equal(t, []byte{noteHere}, last())
	(*sessionLog)(s).Sent(&e)
	require.Empty(t, last())
	(*sessionLog)(s).PubRecReceived(&e)
	require.Equal(t, []byte{noteHere}, last())
	require.Nil(t, a.apply("self", last(), s.noteEntry(entryFrom("pub", 3, 10))))
	require.Equal(t, uint64(3), a.kept["x"].noted)
}

// Guarantee 5: what the last home of a session notes between its handing over and the move is of entries that the new home may not have had yet. If that is lost
// before it has, the message comes to its heir; and what the new home notes itself, with the same numbers, counts.
func TestNotesAfterHandingOver(t *testing.T) {
	message := func(publisher string) *core.Message { return entryFrom(publisher, 0, 10).Msg }
	h := holder{kind: holderSession, name: "x"}
	for name, tc := range map[string]struct {
		newHome bool // has had the second message before the move
		from    uint64
		has     []bool // before the new home notes anything
	}{
		"not had by the new home": {false, 3, []bool{true, false}},
		"had by the new home":     {true, 3, []bool{true, true}},
		"handed over with it":     {false, 5, []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAgreed(t)
			s := noted(t, a)
			a.n.state.owners["x"].node, a.n.state.owners["x"].epoch = "other", 9
			if tc.newHome {
				require.True(t, a.origins.take("second", message("second").Origin, h, false))
			}
			require.Nil(t, a.apply("self", s.noteEntry(entryFrom("first", 3, 10)), s.noteEntry(entryFrom("second", 5, 10))))
			m := movedCommand{claimResult: claimResult{epoch: 9, home: "self"}, id: "x", what: movedWhole, expiry: 60}
			cmd := codec.AppendUint(codec.AppendUint(m.append(), tc.from), 0)
			require.Equal(t, true, (*stateMachine)(a.n).Apply(2, "other", cmd))
			for i, publisher := range []string{"first", "second"} {
				require.Equal(t, tc.has[i], a.origins.has(publisher, message(publisher).Origin, h), publisher)
			}
			require.Equal(t, tc.newHome, a.origins.isOwn("second", message("second").Origin, h))
			require.Equal(t, !tc.has[1], a.origins.take("second", message("second").Origin, h, true), "by way of the new home, when that is lost")
			s.fence = a.owner("x").fence()
			require.Nil(t, a.apply("other", s.noteEntry(entryFrom("third", tc.from+1, 10))))
			require.True(t, a.origins.has("third", message("third").Origin, h))
		})
	}
}

// How far a session had come when it was handed over is agreed with the move, also where its messages are in a store.
func TestMoveTellsHowFarTheSessionHadCome(t *testing.T) {
	n := newSending(t, "x")
	var proposed [][]byte
	n.c = proposing{n.c.(idle), &proposed}
	shareStore(n.clusterNode)
	old := n.member("m", "t")
	for number := range uint64(3) {
		old.core.Push(core.Entry{Msg: &core.Message{ID: msgID{Origin: 1, Number: number}, TopicName: "t", QoS: 1}, QoS: 1})
	}
	b, err := old.handOver(1, 0)
	require.NoError(t, err)
	whole, err := openRecord(b)
	require.NoError(t, err)
	require.Equal(t, answerSession, whole.Byte())
	whole.Uint()
	s := n.b.newSession("m")
	s.enter(phaseGathering)
	s.collected = []collected{{Entry: core.Entry{Msg: &core.Message{ID: msgID{Origin: 1, Number: 9}, TopicName: "t", QoS: 1}, QoS: 1}}}
	require.NoError(t, n.install(s, whole))
	require.Equal(t, 4, s.core.Len())
	require.ErrorIs(t, n.settleCommon(t.Context(), s, movedCommand{claimResult: claimResult{epoch: 9, home: "x"}, id: "m", what: movedWhole, expiry: 60}), errOutclaimed)
	require.Len(t, proposed, 1)
	r, err := openRecord(proposed[0])
	require.NoError(t, err)
	require.Equal(t, cmdMoved, r.Byte())
	require.Equal(t, "m", r.String())
	require.Equal(t, uint64(9), r.Uint())
	require.Equal(t, "x", r.String())
	require.Equal(t, movedWhole, r.Byte())
	require.Equal(t, uint32(60), r.Uint32())
	require.Equal(t, uint64(3), r.Uint())
}

// What a node alone knows of a session goes with it: when the session comes back, it brings what it has had.
func TestHomeForgetsWhatItHandedOver(t *testing.T) {
	a := newAgreed(t)
	a.n.up.Store(true)
	s := a.n.b.newSession("x")
	a.n.b.sessions.put(s)
	h := holder{kind: holderSession, name: "x"}
	o := &core.Origin{PacketID: 7, At: 10}
	require.True(t, a.origins.take("pub", o, h, false))
	a.n.handedOver("x")
	a.n.wg.Wait()
	require.False(t, a.origins.has("pub", o, h))
}
