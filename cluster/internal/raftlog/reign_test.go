package raftlog

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

const testLease = 1300 * time.Millisecond

// testReign is a reign of c01 over c01, c02 and c03, without raft; quorum tells whether it has one.
func testReign(quorum *bool) *reign {
	f, _ := newTestFSM()
	for i, name := range []string{"c01", "c02", "c03"} {
		f.apply(uint64(i+1), encodeNodeUp(shoal.Node{Name: name, Incarnation: 1}))
	}
	l := &Log{cfg: Config{Self: shoal.Node{Name: "c01"}, LeaseDuration: testLease}, fsm: f}
	r := newReign(l, 1)
	r.ready = true
	r.ownEnd = func() (time.Time, error) {
		if !*quorum {
			return time.Time{}, errNoQuorum
		}
		return time.Now().Add(testLease), nil
	}
	return r
}

// live lets time go by, while some nodes ask for their leases, and returns who is given up in the end, and when.
func live(t *testing.T, r *reign, long time.Duration, asking ...string) (lost []string, after time.Duration) {
	t.Helper()
	for began := time.Now(); time.Since(began) < long; time.Sleep(r.period()) {
		for _, name := range asking {
			_, err := r.grant(name, 1, 3)
			require.NoError(t, err)
		}
		for _, d := range r.overdue() {
			lost = append(lost, d.name)
		}
		if len(lost) > 0 {
			return lost, time.Since(began)
		}
	}
	return nil, 0
}

// A leader that has stood still has not seen that others were silent: it waits as long as for a node that has just asked. Those who are silent then are given up.
func TestLeaderThatStoodStillGivesNobodyUp(t *testing.T) {
	for _, stall := range []time.Duration{200 * time.Millisecond, testLease, 5 * time.Second, time.Hour} {
		t.Run(stall.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				quorum := true
				r := testReign(&quorum)
				lost, _ := live(t, r, 10*time.Second, "c01", "c02", "c03")
				require.Empty(t, lost)
				time.Sleep(stall)
				require.Empty(t, r.overdue(), "in the moment in which it wakes")
				lost, after := live(t, r, 10*time.Second, "c01", "c02")
				require.Equal(t, []string{"c03"}, lost)
				require.Greater(t, after, testLease-2*r.period()-min(stall, 2*r.period()))
				require.Less(t, after, testLease+testLease/4)
			})
		})
	}
}

// A leader that stands still again and again for a moment gives up no node that asks in between, and does give up one that does not.
func TestLeaderThatStumbles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quorum := true
		r := testReign(&quorum)
		lost := make(map[string]bool)
		for range 20 {
			time.Sleep(testLease - r.period())
			for _, d := range r.overdue() {
				lost[d.name] = true
			}
			_, err := r.grant("c02", 1, 3)
			require.NoError(t, err)
		}
		require.Equal(t, map[string]bool{"c01": true, "c03": true}, lost)
	})
}

// A leader that no majority has confirmed lately gives nobody up: not before it has renewed, and then it counts anew.
func TestLeaderWithoutQuorumGivesNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quorum := true
		r := testReign(&quorum)
		lost, _ := live(t, r, time.Second, "c01", "c02", "c03")
		require.Empty(t, lost)
		quorum = false
		lost, _ = live(t, r, 10*time.Second)
		require.Empty(t, lost)
		quorum = true
		require.Empty(t, r.overdue(), "they have had no chance to ask yet")
		lost, after := live(t, r, 10*time.Second, "c01", "c03")
		require.Equal(t, []string{"c02"}, lost)
		require.Greater(t, after, testLease-2*r.period())
	})
}
