package shoal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/internal/codec"
)

// scribe is a cluster that takes routes down, unless it is told to fail, a second each.
type scribe struct {
	Cluster
	mu       sync.Mutex
	fail     bool
	announce []map[string]bool // by filter, whether there are subscribers
	sizes    []int
	leave    []string // what is not taken down the first time
}

func (*scribe) Self() (Node, error) { return Node{Name: "self"}, nil }

func (s *scribe) Propose(_ context.Context, cmd []byte) (any, error) {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return nil, ErrNotReplicated
	}
	s.sizes = append(s.sizes, len(cmd))
	r, err := openRecord(cmd)
	if err != nil || r.Byte() != cmdRoutes {
		return nil, errors.New("not routes")
	}
	said := make(map[string]bool)
	r.Uint()
	for r.More() {
		filter, m := r.String(), readMembers(r)
		said[filter] = m.all > 0
	}
	s.announce = append(s.announce, said)
	left := s.leave
	s.leave = nil
	return left, r.Err()
}

func (s *scribe) failing(fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// known returns what was announced last of each filter.
func (s *scribe) known() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[string]bool)
	for _, said := range s.announce {
		maps.Copy(known, said)
	}
	return known
}

func (*scribe) Barrier(context.Context) error { return nil }

func announcing(t *testing.T) (*localRoutes, *scribe) {
	t.Helper()
	b, err := New(WithAnonymous())
	require.NoError(t, err)
	s := new(scribe)
	n := newClusterNode(b, s)
	n.life, n.cancel = context.WithCancel(t.Context())
	n.wg.Go(n.routes.announce)
	t.Cleanup(func() {
		n.cancel()
		n.wg.Wait()
	})
	return &n.routes, s
}

// TestRoutesAreAnnouncedInTurn holds that no announcement is larger than a command may be, and that those who came first do not wait for those
// who came after.
func TestRoutesAreAnnouncedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := announcing(t)
		subs := make([]*subscription, 50)
		for i := range subs {
			subs[i] = &subscription{filter: fmt.Sprint(strings.Repeat("x", 60_000), i)}
			l.add(subs[i])
		}
		began := time.Now()
		require.NoError(t, l.settle(t.Context(), subs[:1]))
		first := time.Since(began)
		require.NoError(t, l.settle(t.Context(), subs))
		require.Greater(t, time.Since(began), first, "the first waited for the last")
		all := make(map[string]bool)
		for i, said := range s.announce {
			require.LessOrEqual(t, s.sizes[i], 2*announcedAtOnce)
			for f := range said {
				require.False(t, all[f], "announced twice")
				all[f] = true
			}
		}
		require.Len(t, all, len(subs))
		l.remove(subs[0])
		require.NoError(t, l.settle(t.Context(), subs[:1]))
		require.False(t, s.known()[subs[0].filter])
		require.Empty(t, l.changed, "something is left behind")
	})
}

// TestRoutesWaitWhileThereIsProgress holds that a subscription is refused when the cluster takes none, and not because many came before it.
func TestRoutesWaitWhileThereIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := announcing(t)
		var last *subscription
		for i := range 30 * announcedAtOnce / 50_000 {
			last = &subscription{filter: fmt.Sprint(strings.Repeat("x", 50_000), i)}
			l.add(last)
		}
		began := time.Now()
		require.NoError(t, l.settle(t.Context(), []*subscription{last}))
		require.Greater(t, time.Since(began), subscribeTimeout)

		s.failing(true)
		began = time.Now()
		l.add(&subscription{filter: "a"})
		last = &subscription{filter: "b"}
		l.add(last)
		require.ErrorIs(t, l.settle(t.Context(), []*subscription{last}), ErrNotReplicated)
		require.Equal(t, subscribeTimeout, time.Since(began))
		s.failing(false)
		l.remove(last)
		require.NoError(t, l.settleAll(t.Context()), "it goes on by itself")
		known := s.known()
		require.True(t, known["a"])
		require.False(t, known["b"])
		require.Empty(t, l.changed)
	})
}

// TestRoutesOfInheritedSessionsStayUntilTheirHeirHasThem holds guarantee 1 where a node that has just
// inherited sessions had announced, before it knew of that, that it has no subscribers any more.
func TestRoutesOfInheritedSessionsStayUntilTheirHeirHasThem(t *testing.T) {
	const group = "$share/g/t"
	one := members{all: 1, online: 1}
	routes := func(step uint64, m members) []byte {
		cmd := routesCommand(step)
		for _, filter := range []string{"t", group, "of others"} {
			cmd = m.append(codec.AppendString(cmd, filter))
		}
		return cmd
	}
	for name, restored := range map[string]bool{"from the log": false, "from a snapshot": true} {
		t.Run(name, func(t *testing.T) {
			n := newSending(t, "x", "y")
			sm := (*stateMachine)(n.clusterNode)
			id := ""
			for heirs := (&estate{spread: []string{"self", "x"}}); heirs.heirOf(id) != "x"; {
				id += "i"
			}
			kept := n.state.keep(id)
			kept.expiry, kept.subs = 60, map[string][]byte{"t": {}, group: {}}
			n.state.owners[id] = &owner{node: "y", home: "y", epoch: 1}
			n.state.setRoute("x", "of others", one)
			sm.NodeDown(9, Node{Name: "y"}, "x")
			if restored {
				write, err := sm.Snapshot()
				require.NoError(t, err)
				var b bytes.Buffer
				require.NoError(t, write(&b))
				n = newSending(t)
				sm = (*stateMachine)(n.clusterNode)
				require.NoError(t, sm.Restore(&b))
			}
			require.ElementsMatch(t, []string{"t", group, "of others"}, sm.Apply(10, "x", routes(8, members{})))
			require.True(t, n.state.hasRoute("x", "t"))
			require.True(t, n.state.hasRoute("x", group))
			require.Empty(t, sm.Apply(11, "x", routesCommand(8)))
			require.Empty(t, sm.Apply(12, "x", one.append(codec.AppendString(routesCommand(8), "new"))))
			require.True(t, n.state.hasRoute("x", "new"), "what comes is true at once")
			require.Empty(t, sm.Apply(13, "x", routes(9, members{})))
			require.False(t, n.state.hasRoute("x", "t"))
			require.False(t, n.state.hasRoute("x", group))
		})
	}
}

// TestRoutesThatWereLeftAreAnnouncedAgain holds that the others know in the end what there is.
func TestRoutesThatWereLeftAreAnnouncedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := announcing(t)
		s.leave = []string{"gone"}
		l.add(&subscription{filter: "gone"})
		l.remove(&subscription{filter: "gone"})
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		require.Equal(t, []map[string]bool{{"gone": false}, {"gone": false}}, s.announce)
	})
}

// TestAnnouncementsTellWhatInheritedSessionsTheyCount holds that a node says it counts the sessions of
// a step when it has made them.
func TestAnnouncementsTellWhatInheritedSessionsTheyCount(t *testing.T) {
	n := newAgreed(t).n
	q := &n.adoptions
	q.reach(4)
	require.EqualValues(t, 4, q.made())
	q.add(&adoption{discard: true}, &adoption{index: 7}, &adoption{index: 9})
	require.EqualValues(t, 6, q.made())
	q.reach(9)
	require.EqualValues(t, 6, q.made())
	q.queue, q.making = q.queue[2:], 7
	require.EqualValues(t, 6, q.made())
	q.haveMade()
	require.EqualValues(t, 8, q.made())
	q.queue = nil
	require.EqualValues(t, 9, q.made())
}
