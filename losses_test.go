package shoal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMessageIsForTheHeirsOfTheLossItWasSentBefore holds guarantee 5 where a sender hears of several
// losses of a node at once: what it had sent there before the first is for those who inherited then.
func TestMessageIsForTheHeirsOfTheLossItWasSentBefore(t *testing.T) {
	n := newSending(t, "x", "y", "z")
	sm := (*stateMachine)(n.clusterNode)
	sm.NodeDown(9, Node{Name: "x"}, "z")
	sm.NodeUp(15, Node{Name: "x"})
	sm.NodeDown(18, Node{Name: "z"}, "x")
	sm.NodeDown(20, Node{Name: "x"}, "y")
	sm.NodeUp(30, Node{Name: "x"})
	sm.NodeUp(40, Node{Name: "x"}) // it began anew at once
	sm.NodeUp(41, Node{Name: "z"})
	for name, tc := range map[string]struct {
		sent  uint64
		heirs []string
		index uint64
	}{
		"before all":                        {8, []string{"y"}, 9}, // by way of z, and of x again
		"routed before the loss":            {9, []string{"y"}, 9},
		"routed before, and late":           {14, []string{"y"}, 9},
		"when it was back":                  {15, []string{"y"}, 20},
		"before the second loss":            {19, []string{"y"}, 20},
		"routed before the second loss":     {29, []string{"y"}, 20},
		"when it was back the second time":  {30, []string{"x"}, 40},
		"before it began anew":              {39, []string{"x"}, 40},
		"routed before it began anew":       {40, []string{"x"}, 40},
		"to the one that has not been lost": {41, nil, 0},
	} {
		for _, restored := range []bool{false, true} {
			if restored {
				write, err := sm.Snapshot()
				require.NoError(t, err)
				var b bytes.Buffer
				require.NoError(t, write(&b))
				n = newSending(t)
				sm = (*stateMachine)(n.clusterNode)
				require.NoError(t, sm.Restore(&b))
			}
			heirs, index := n.state.heirsOf("x", tc.sent)
			require.Equal(t, tc.index, index, name)
			require.Equal(t, tc.heirs, heirs, name)
		}
	}
}

// TestLossesOfANodeAreBounded holds that a node that is lost again and again is not remembered for all
// of it.
func TestLossesOfANodeAreBounded(t *testing.T) {
	n := newSending(t, "x", "y")
	sm := (*stateMachine)(n.clusterNode)
	for index := uint64(10); index < 400; index += 2 {
		sm.NodeDown(index, Node{Name: "x"}, "y")
		sm.NodeUp(index+1, Node{Name: "x"})
	}
	require.Len(t, n.state.heirs["x"], earlierLimit)
	require.EqualValues(t, 398, n.state.lastLoss("x"))
}
