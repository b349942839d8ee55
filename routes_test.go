package shoal

import (
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
)

// scribe is a cluster that takes routes down, unless it is told to fail, a second each.
type scribe struct {
	Cluster
	mu       sync.Mutex
	fail     bool
	announce []map[string]bool // by filter, whether there are subscribers
	sizes    []int
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
	for r.More() {
		filter, m := r.String(), readMembers(r)
		said[filter] = m.all > 0
	}
	s.announce = append(s.announce, said)
	return nil, r.Err()
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
