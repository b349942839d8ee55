package clustertest_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
)

// far is the system at the other end of a bridge: it notes what has crossed, and by which node.
type far struct {
	mu   sync.Mutex
	got  []string
	by   map[string]int
	slow time.Duration // how long the bridge takes for each message
}

func (f *far) put(node, payload string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, payload)
	if f.by == nil {
		f.by = make(map[string]int)
	}
	f.by[node]++
}

// crossed returns what has crossed, each message where it came first, and how many came more than once.
func (f *far) crossed() (list []string, repeated int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.got {
		if slices.Contains(list, p) {
			repeated++
		} else {
			list = append(list, p)
		}
	}
	return list, repeated
}

func (f *far) nodes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for n := range f.by {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (f *far) await(t *testing.T, n int) []string {
	t.Helper()
	for range 600 {
		if list, _ := f.crossed(); len(list) >= n {
			return list
		}
		time.Sleep(100 * time.Millisecond)
	}
	list, _ := f.crossed()
	require.Len(t, list, n, "%v", list)
	return nil
}

// ferry is a node's end of a bridge to far.
type ferry struct {
	far    *far
	spread bool
}

func (*ferry) Name() string           { return "ferry" }
func (*ferry) Bind(*shoal.BridgeHost) {}

func (f *ferry) Run(ctx context.Context, h *shoal.BridgeHost) error {
	sub, err := h.Subscribe(ctx, shoal.BridgeSubscription{Filters: []string{"t/#"}, QoS: 1, Spread: f.spread})
	if err != nil {
		return err
	}
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if f.far.slow > 0 {
			select {
			case <-time.After(f.far.slow):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		f.far.put(h.Node(), string(m.Payload))
		m.Acknowledge()
	}
}

func ferried(f *far, spread bool) clustertest.Option {
	return clustertest.WithBroker(func(int) []shoal.Option {
		return []shoal.Option{shoal.WithAnonymous(), shoal.WithBridge(&ferry{far: f, spread: spread})}
	})
}

func send(t *testing.T, c *clustertest.Cluster, node, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		m := shoal.Message{TopicName: "t/1", Payload: []byte(strconv.Itoa(i)), QoS: 1}
		require.NoError(t, c.Node(node).Broker().Publish(t.Context(), m))
	}
}

func numbers(n int) (list []string) {
	for i := range n {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

// at returns the node that has the bridge's session, once it is one.
func at(t *testing.T, c *clustertest.Cluster) int {
	t.Helper()
	for range 600 {
		var running []int
		for i := range c.Nodes() {
			if b := c.Node(i).Broker(); b != nil && b.Bridges()[0].State == shoal.BridgeRunning {
				running = append(running, i)
			}
		}
		if len(running) == 1 {
			return running[0]
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("not one node has the bridge")
	return -1
}

// In a cluster each message crosses a bridge once, in order, by one node; the others stand by.
func TestBridgeCrossesOnce(t *testing.T) {
	f := new(far)
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		owner := at(t, c)
		for i := range 30 {
			send(t, c, i%3, i, i+1)
		}
		require.Equal(t, numbers(30), f.await(t, 30))
		time.Sleep(time.Minute)
		_, repeated := f.crossed()
		require.Zero(t, repeated)
		require.Equal(t, []string{c.Node(owner).Name}, f.nodes())
		require.Equal(t, owner, at(t, c))
	}, ferried(f, false))
}

// When the node of a bridge is lost, another one goes on with what was not acknowledged, in order.
func TestBridgeSurvivesItsNode(t *testing.T) {
	for name, end := range map[string]func(c *clustertest.Cluster, i int){
		"killed": (*clustertest.Cluster).Kill, "stopped": (*clustertest.Cluster).Stop,
	} {
		t.Run(name, func(t *testing.T) {
			f := &far{slow: 50 * time.Millisecond}
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				f.mu.Lock()
				f.got, f.by = nil, nil
				f.mu.Unlock()
				owner := at(t, c)
				pub := (owner + 1) % 3
				send(t, c, pub, 0, 40)
				f.await(t, 5)
				end(c, owner)
				send(t, c, pub, 40, 60)
				require.Equal(t, numbers(60), f.await(t, 60))
				_, repeated := f.crossed()
				require.LessOrEqual(t, repeated, 2, "more than what was in the bridge's hands came twice")
				require.NotEqual(t, owner, at(t, c))
				require.Len(t, f.nodes(), 2)
				c.Restart(owner)
				send(t, c, owner, 60, 70)
				require.Equal(t, numbers(70), f.await(t, 70))
			}, ferried(f, false))
		})
	}
}

// The whole cluster goes down and comes back: the bridge goes on where it was.
func TestBridgeSurvivesRestartOfAll(t *testing.T) {
	f := &far{slow: 50 * time.Millisecond}
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		at(t, c)
		send(t, c, 0, 0, 40)
		for i := range 3 {
			c.Kill(i)
		}
		for i := range 3 {
			c.StartAgain(i)
		}
		for i := range 3 {
			c.AwaitServing(i)
		}
		send(t, c, 1, 40, 50)
		require.Equal(t, numbers(50), f.await(t, 50))
	}, ferried(f, false), clustertest.WithDisk())
}

// A node that is cut off loses the bridge to the others, and what it had is not lost.
func TestBridgeLeavesMinority(t *testing.T) {
	f := &far{slow: 20 * time.Millisecond}
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		owner := at(t, c)
		one, two := (owner+1)%3, (owner+2)%3
		send(t, c, one, 0, 20)
		c.Partition([]int{owner}, []int{one, two})
		time.Sleep(30 * time.Second)
		send(t, c, one, 20, 30)
		f.await(t, 30)
		c.Heal()
		c.AwaitServing(owner)
		send(t, c, owner, 30, 40)
		require.Equal(t, numbers(40), f.await(t, 40))
		require.NotEqual(t, owner, at(t, c))
	}, ferried(f, false))
}

// A bridge that is spread works on all nodes at once; each message still crosses once, and what a lost node had crosses by others.
func TestBridgeSpreads(t *testing.T) {
	f := &far{slow: 10 * time.Millisecond}
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		for i := range 3 {
			for c.Node(i).Broker().Bridges()[0].State != shoal.BridgeRunning {
				time.Sleep(100 * time.Millisecond)
			}
		}
		for i := range 60 {
			send(t, c, i%3, i, i+1)
		}
		f.await(t, 60)
		time.Sleep(10 * time.Second)
		list, repeated := f.crossed()
		require.ElementsMatch(t, numbers(60), list)
		require.Zero(t, repeated)
		require.Len(t, f.nodes(), 3)
		f.mu.Lock()
		f.slow = time.Second
		f.mu.Unlock()
		for i := range 12 {
			send(t, c, i%3, 60+i, 61+i)
		}
		c.Kill(2)
		list = f.await(t, 72)
		require.ElementsMatch(t, numbers(72), list, fmt.Sprint(list))
	}, ferried(f, true))
}
