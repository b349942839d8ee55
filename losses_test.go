package shoal

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

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
	sm.NodeDown(50, Node{Name: "x"}, "y")
	for name, tc := range map[string]struct {
		sent  uint64
		heirs []string
		index uint64
	}{
		"before all":                       {8, []string{"y"}, 9}, // by way of z, and of x again
		"routed before the loss":           {9, []string{"y"}, 9},
		"routed before, and late":          {14, []string{"y"}, 9},
		"when it was back":                 {15, []string{"y"}, 20},
		"before the second loss":           {19, []string{"y"}, 20},
		"routed before the second loss":    {29, []string{"y"}, 20},
		"when it was back the second time": {30, []string{"y"}, 40},
		"before it began anew":             {39, []string{"y"}, 40},
		"when it had begun anew":           {40, []string{"y"}, 50},
		"long after it had begun anew":     {44, []string{"y"}, 50},
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

// TestLostNodesThatWereEachOthersHeirsDoNotWaitForEachOther holds that what came back from two nodes
// that were heirs of each other gets to whoever has inherited from both.
func TestLostNodesThatWereEachOthersHeirsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x", "y", "z")
		n.step(4)
		n.publish("x", "1")
		n.publish("z", "2")
		n.publish("x", "3")
		sent := n.take()
		sm := (*stateMachine)(n.clusterNode)
		sm.NodeDown(9, Node{Name: "x"}, "z")
		sm.NodeUp(15, Node{Name: "x"})
		sm.NodeDown(18, Node{Name: "z"}, "x")
		sm.NodeDown(20, Node{Name: "x"}, "y")
		for _, f := range sent {
			f.fail()
		}
		synctest.Wait()
		require.ElementsMatch(t, []string{"1", "2", "3"}, n.accepted("y", n.take()))
		synctest.Wait()
		require.Equal(t, 3, n.acks)
		n.cancel()
		n.wg.Wait()
	})
}

// TestNodeThatBeganAnewTwiceDoesNotWaitForItself holds the same for a node that is its own heir.
func TestNodeThatBeganAnewTwiceDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSending(t, "x")
		n.step(9)
		n.publish("x", "1")
		sent := n.take()
		sm := (*stateMachine)(n.clusterNode)
		sm.NodeUp(9, Node{Name: "x"})
		sm.NodeUp(12, Node{Name: "x"})
		sent[0].fail()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"1"}, n.accepted("x", n.take()))
		n.cancel()
		n.wg.Wait()
	})
}
