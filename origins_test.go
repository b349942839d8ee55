package shoal

import (
	"bytes"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// What is a repetition follows from where in the agreed order the exchanges and the connections began; see origins.
func TestOrigins(t *testing.T) {
	s := holder{kind: holderSession, name: "s"}
	at := func(at, again uint64) *core.Origin { return &core.Origin{PacketID: 7, At: at, Again: again} }
	var x origins
	x.reset()
	require.True(t, x.take("p", at(10, 0), s, false))
	require.True(t, x.take("p", at(10, 0), s, false), "the same transmission, to both homes of a session that moves")
	require.False(t, x.take("p", at(10, 0), s, true), "to the heir, after it was lost on the way to the session's home")
	require.False(t, x.take("p", at(15, 13), s, false), "sent again on a connection that began later")
	require.True(t, x.take("p", at(16, 0), s, false), "the identifier is used for another message, and this node has not heard yet that the first is over")
	require.False(t, x.take("p", at(10, 0), s, false), "the first, late")
	require.True(t, x.take("p", at(20, 12), s, false), "DUP on the connection on which the second exchange began")
	require.True(t, x.take("q", at(20, 18), s, false), "another publisher's")
	require.True(t, x.take("p", at(20, 18), holder{kind: holderGroup, name: "s"}, false), "a group of that name")

	x.over("p", exchangeKey{packetID: 7}, 20)
	require.True(t, x.has("p", at(21, 21), s), "it began at 20")
	x.over("p", exchangeKey{packetID: 7}, 21)
	require.False(t, x.has("p", at(21, 21), s))
	x.publisherOver("q", 21)
	require.False(t, x.some())

	require.True(t, x.arrive("p", at(30, 0)))
	require.False(t, x.arrive("p", at(33, 32)))
	require.True(t, x.arrive("p", at(33, 0)))
}

// Guarantee 4: what a session has had and was done with before any other node heard of it is known where the session moves.
func TestOriginsMoveWithTheirSession(t *testing.T) {
	o := &core.Origin{PacketID: 7, At: 3}
	from, to := newAgreed(t), newAgreed(t)
	s := from.n.b.newSession("client")
	had := holder{kind: holderSession, name: "client", filter: "f"}
	from.origins.take("p", o, had, false)
	from.origins.take("p", o, holder{kind: holderSession, name: "another", filter: "f"}, false)
	answer, err := s.handOver(0, 0)
	require.NoError(t, err)
	r, err := openRecord(answer)
	require.NoError(t, err)
	require.Equal(t, answerSession, r.Byte())
	require.Zero(t, r.Uint())
	arriving := to.n.b.newSession("client")
	arriving.enter(phaseGathering)
	require.NoError(t, to.n.install(arriving, r))
	require.False(t, to.origins.take("p", &core.Origin{PacketID: 7, At: 9, Again: 5}, had, false))
	require.False(t, to.origins.has("p", o, holder{kind: holderSession, name: "another", filter: "f"}))
	require.False(t, r.More())
}

// What a node alone knows goes with its sessions; what all know stays, also over a snapshot.
func TestOriginsAgreed(t *testing.T) {
	a := newAgreed(t)
	o := &core.Origin{PacketID: 7, At: 3}
	known, own := holder{kind: holderSession, name: "known", seq: 4}, holder{kind: holderSession, name: "own"}
	a.origins.take("p", o, known, false)
	a.origins.take("p", o, own, false)
	a.origins.agree("p", o, known)
	a.origins.forgetSession("own")
	require.False(t, a.origins.has("p", o, own))
	a.origins.take("p", o, own, false)
	a.origins.arrive("p", o)
	a.origins.forgetOwn()
	require.False(t, a.origins.has("p", o, own))
	require.True(t, a.origins.has("p", o, known))
	a.now.Store(42)

	write, err := (*stateMachine)(a.n).Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, write(&b))
	other := newAgreed(t)
	require.NoError(t, (*stateMachine)(other.n).Restore(&b))
	require.True(t, other.origins.has("p", o, known))
	require.Equal(t, uint64(42), other.now.Load())
	other.origins.unagree("known", 4)
	require.True(t, other.origins.has("p", o, known))
	other.origins.unagree("known", 3)
	require.False(t, other.origins.has("p", o, known))
}

// A will that two nodes published, since one was given up, comes once, also when one of the two messages was held up until nobody remembers the other.
func TestLateWillIsKnown(t *testing.T) {
	n := newSending(t, "x", "y")
	n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 4, node: "x"}}}
	m := n.member("m", "w")
	will := func(id, again uint64) []byte {
		r := &routing{p: &packets.Publish{TopicName: "w", QoS: 1}, publisher: "ill", id: msgID{Number: id}, origin: &core.Origin{Will: 4, At: 3, Again: again}}
		return appendForward(newBatch(), r, nil)
	}
	receive := func(from string, batch []byte) {
		(*stateMachine)(n.clusterNode).Receive(from, batch, func(err error) { require.NoError(t, err) })
	}
	receive("x", will(1, 0))
	require.Equal(t, 1, m.core.Len())
	n.state.willDone("ill", 4)
	receive("y", will(2, math.MaxUint64))
	require.Equal(t, 1, m.core.Len())

	// One that comes late to those who have not had it does come.
	n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 5, node: "x"}}}
	n.state.willDone("ill", 5)
	late := &routing{p: &packets.Publish{TopicName: "w", QoS: 1}, publisher: "ill", id: msgID{Number: 3}, origin: &core.Origin{Will: 5, At: 3}}
	receive("x", appendForward(newBatch(), late, nil))
	require.Equal(t, 2, m.core.Len())
}

// proposing is idle, and notes what is proposed.
type proposing struct {
	idle
	proposed *[][]byte
}

func (p proposing) ProposeAsync(cmd []byte, done func(any, error)) {
	*p.proposed = append(*p.proposed, cmd)
	if done != nil {
		done(nil, nil)
	}
}

// Guarantee 5: a will that another node has not taken is published again, by the node that is to publish it for as long as that is there, and as one that
// somebody may have had.
func TestWillIsPublishedUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x")
		var proposed [][]byte
		n.c = proposing{n.c.(idle), &proposed}
		n.b.life = n.life
		n.announced.Store(true)
		n.state.setRoute("x", "w", members{all: 1})
		n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 4, node: "self"}}}
		w := &will{b: n.b, client: ClientInfo{ClientID: "ill"}, message: Message{TopicName: "w", QoS: 1, Publisher: "ill"}, epoch: 4}
		w.publish()
		for try := range 3 {
			batches := n.take()
			require.Len(t, batches, 1, try)
			r, err := openRecord(batches[0].buf)
			require.NoError(t, err)
			r.Fixed64()
			origin := readForwarded(r, 0).origin
			require.Equal(t, uint64(4), origin.Will)
			require.Equal(t, try > 0, origin.Again != 0)
			if try < 2 {
				batches[0].done(errGivenUp)
			} else {
				batches[0].done(nil)
			}
			require.Len(t, proposed, try/2, "it is done when all have it")
			time.Sleep(willPauseMost)
			synctest.Wait()
		}
		require.Empty(t, n.take())
		n.cancel()
		n.wg.Wait()
	})
}

// A node that is not to publish a will any more, because it was given up meanwhile, leaves it to the one that is.
func TestWillIsLeftToItsHeir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x")
		n.b.life = n.life
		n.announced.Store(true)
		n.state.setRoute("x", "w", members{all: 1})
		n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 4, node: "self"}}}
		w := &will{b: n.b, client: ClientInfo{ClientID: "ill"}, message: Message{TopicName: "w", QoS: 1, Publisher: "ill"}, epoch: 4}
		w.publish()
		n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 4, node: "x", adopted: true}}}
		n.take()[0].done(errGivenUp)
		time.Sleep(willPauseMost)
		synctest.Wait()
		require.Empty(t, n.take())
		n.cancel()
		n.wg.Wait()
	})
}

// Guarantee 5: a node adopts a will, is given up before anybody has it, and adopts it again from the node that had it then.
func TestWillThatIsAdoptedTwiceIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x")
		n.b.life = n.life
		n.announced.Store(true)
		n.state.setRoute("x", "w", members{all: 1})
		record := encodeWill(&will{b: n.b, message: Message{TopicName: "w", QoS: 1}}, 0)
		adopted := func(by string) {
			n.state.mu.Lock()
			defer n.state.mu.Unlock()
			n.state.owners["ill"] = &owner{due: []dueWill{{epoch: 4, node: by, adopted: true, will: record}}}
		}
		adopted("self")
		n.publishOrphans()
		batches := n.take()
		require.Len(t, batches, 1)
		adopted("x")
		batches[0].done(errGivenUp)
		time.Sleep(willPauseMost)
		synctest.Wait()
		require.Empty(t, n.take(), "it is the other node's")
		require.Empty(t, n.wills)
		adopted("self")
		n.publishOrphans()
		n.publishOrphans()
		batches = n.take()
		require.Len(t, batches, 1)
		batches[0].done(nil)
		synctest.Wait()
		n.cancel()
		n.wg.Wait()
	})
}

// What a session holds of several publishers is forgotten one by one, in whatever order their exchanges end, and all of the rest with the session.
func TestWhatASessionHoldsEndsInAnyOrder(t *testing.T) {
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}, {"b", "a", "c"}, {"b", "c", "a"}} {
		x := &newAgreed(t).origins
		o := &core.Origin{PacketID: 7, At: 3}
		s := holder{kind: holderSession, name: "s"}
		has := func() (names []string) {
			for h := x.sessions["s"]; h != nil; h = h.next {
				names = append(names, h.ex.publisher)
			}
			return names
		}
		left := map[string]bool{}
		for _, p := range []string{"a", "b", "c", "d", "e"} {
			require.True(t, x.take(p, o, s, false))
			left[p] = true
		}
		for _, p := range order {
			x.over(p, exchangeKey{packetID: 7}, 4)
			delete(left, p)
			require.Len(t, has(), len(left))
			for _, name := range has() {
				require.True(t, left[name])
			}
		}
		x.forgetSession("s")
		require.False(t, x.some())
		require.Empty(t, x.sessions)
	}
}
