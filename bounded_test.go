package shoal

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// stuckStore is a Storage in which nothing is committed before it is let go.
type stuckStore struct{ free chan struct{} }

func (s *stuckStore) Commit(ctx context.Context, _ []Op) error {
	select {
	case <-s.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (*stuckStore) Scan(context.Context, string, []byte, func(key, value []byte) error) error {
	return nil
}
func (*stuckStore) Close() error { return nil }

// What the program publishes while the store takes nothing waits for room in the journal, or is refused: neither many at a time nor many one after another
// get past its bound.
func TestJournalTakesNoMoreFromTheProgramThanItsBound(t *testing.T) {
	for name, atOnce := range map[string]int{"one after another": 1, "at once": 300} {
		t.Run(name, func(t *testing.T) {
			store := &stuckStore{make(chan struct{})}
			b, err := New(WithAnonymous(), WithStorage(store), WithLimits(Limits{QueuedBytes: 1 << 30}))
			require.NoError(t, err)
			require.NoError(t, b.Start(t.Context()))
			defer func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) }()
			defer close(store.free)
			s := b.newSession("lasting")
			s.enter(phaseHome)
			s.expiry = 1000
			s.mu.Lock()
			s.setDurable(true)
			s.mu.Unlock()
			b.sessions.put(s)
			_, err = s.subscribe(&subscription{s: s, filter: "t", match: "t", qos: 1})
			require.NoError(t, err)
			var wg sync.WaitGroup
			for range atOnce {
				wg.Go(func() {
					for range 300 / atOnce {
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
						err := b.Publish(ctx, Message{TopicName: "t", QoS: 1, Payload: make([]byte, 1<<20)})
						cancel()
						if err == nil {
							t.Error("nothing is stored")
						}
					}
				})
			}
			wg.Wait()
			j := b.journal.own
			j.mu.Lock()
			defer j.mu.Unlock()
			require.LessOrEqual(t, j.bytes, journalHigh+4<<20)
			require.Greater(t, j.bytes, journalHigh/2)
			require.Zero(t, j.entered)
		})
	}
}

// What gathers for a node while it waits for a lost one's counts like what was sent to it: QoS 0 is dropped beyond a bound, and publishers wait.
func TestWhatGathersForAnHeirIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x", "lost")
		p := n.peer("x").hold("lost")
		publish := func(qos packets.QoS) {
			sc := n.b.scratch()
			m := packets.Publish{TopicName: "t", QoS: qos, Payload: make([]byte, 1<<20)}
			sc.r.begin(&m, "publisher", nil, sc)
			p.send(sc, nil)
			if a := sc.r.wait; a != nil {
				a.then = func(packets.ReasonCode) {}
				a.finish(packets.Success)
			}
			sc.release()
		}
		for range 300 {
			publish(0)
		}
		require.Less(t, len(p.batch.buf), peerDropQoS0+2<<20)
		require.NoError(t, n.pause(t.Context()))
		for range 32 {
			publish(1)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, n.pause(ctx), context.DeadlineExceeded)
		p.unhold()
		go func() {
			for _, batch := range n.take() {
				batch.done(nil)
			}
		}()
		require.NoError(t, n.pause(t.Context()))
		require.Zero(t, p.outstanding)
		p.forward(&outgoing{buf: append(newBatch(), make([]byte, peerPause)...)}) // what comes back from a lost node counts
		require.ErrorIs(t, n.pause(ctx), context.DeadlineExceeded)
		n.take()[0].done(nil)
		require.Zero(t, p.outstanding)
	})
}

// Nodes that are replaced have ever new names. Of those that are gone only the latest are remembered, by all alike and over a snapshot.
func TestNamesOfReplacedNodesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "survivor")
		sm := (*stateMachine)(n.clusterNode)
		n.b.life = n.life
		index := uint64(10)
		for i := range 4 * heirsKept {
			node := Node{Name: fmt.Sprint("pod-", i)}
			sm.NodeUp(index, node)
			_, err := sm.Apply(index+1, node.Name, members{all: 1}.append(append(routesCommand(index), "\x01t"...))), error(nil)
			require.NoError(t, err)
			n.publish(node.Name, "m")
			for _, sent := range n.take() {
				sent.done(nil)
			}
			sm.NodeDown(index+2, node, "survivor")
			index += 3
			synctest.Wait()
		}
		require.Len(t, n.state.heirs, heirsKept)
		require.Contains(t, n.state.heirs, fmt.Sprint("pod-", 4*heirsKept-1))
		require.NotContains(t, n.state.heirs, fmt.Sprint("pod-", 3*heirsKept-1))
		require.LessOrEqual(t, len(n.peers), heirsKept+2)
		heirs, _ := n.state.heirsOf(fmt.Sprint("pod-", 3*heirsKept), 0)
		require.NotEmpty(t, heirs)

		write, err := sm.Snapshot()
		require.NoError(t, err)
		var snapshot bytes.Buffer
		require.NoError(t, write(&snapshot))
		other := newAgreed(t)
		require.NoError(t, (*stateMachine)(other.n).Restore(&snapshot))
		require.Equal(t, n.state.heirs, other.heirs)
	})
}

// A node that has come back is remembered however long ago it was lost: it may be an heir, and what was sent to it while it was away go where it was.
func TestNodesThatAreThereAreNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "survivor", "back")
		sm := (*stateMachine)(n.clusterNode)
		n.b.life = n.life
		sm.NodeDown(5, Node{Name: "back"}, "survivor")
		sm.NodeUp(6, Node{Name: "back"})
		queue := n.peer("back")
		for i := range uint64(2 * heirsKept) {
			node := Node{Name: fmt.Sprint("pod-", i)}
			sm.NodeUp(10+2*i, node)
			sm.NodeDown(11+2*i, node, "survivor")
			synctest.Wait()
		}
		require.Contains(t, n.state.heirs, "back")
		require.Same(t, queue, n.peer("back"))
		require.Len(t, n.state.heirs, heirsKept+1)
	})
}

// What a session had when it was adopted is forgotten when nothing can come twice any more, also if nothing comes.
func TestWhatAnAdoptedSessionHadIsForgottenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t)
		n.b.life = n.life
		s, later := n.b.newSession("s"), n.b.newSession("later")
		s.mu.Lock()
		for i := range uint64(1000) {
			s.inherit(msgID{Number: i})
		}
		s.upTo = map[stream]uint64{{1, "p"}: 3}
		s.mu.Unlock()
		time.Sleep(rerouteTime / 2)
		later.mu.Lock()
		later.inherit(msgID{Number: 1})
		later.mu.Unlock()
		had := func(s *session) int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.had) + len(s.upTo)
		}
		require.Equal(t, 1001, had(s))
		time.Sleep(rerouteTime/2 + time.Second)
		require.Zero(t, had(s))
		require.Equal(t, 1, had(later))
		time.Sleep(rerouteTime)
		require.Zero(t, had(later))
		require.False(t, n.hads.running)
	})
}
