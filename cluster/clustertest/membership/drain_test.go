package membership_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// load is a population of roamers: publishers and subscribers of QoS 1 and 2, some on each node.
type load struct {
	t    *testing.T
	pubs []*publisher
	subs []*subscriber
	wg   sync.WaitGroup
	stop chan struct{} // for publishers
	over chan struct{} // for subscribers
}

func startLoad(t *testing.T, c *clustertest.Cluster, pause time.Duration) *load {
	l := &load{t: t, stop: make(chan struct{}), over: make(chan struct{})}
	for i := range 2 * c.Nodes() {
		node, qos := i%c.Nodes(), packets.QoS(1+i/c.Nodes())
		s := &subscriber{
			roamer: newRoamer(t, c, fmt.Sprint("sub", i), node), qos: qos, stop: l.over,
			got: make(map[string]map[string]int), last: make(map[string]string),
		}
		s.subscribe("load/#")
		l.subs = append(l.subs, s)
	}
	for i := range 2 * c.Nodes() {
		p := &publisher{roamer: newRoamer(t, c, fmt.Sprint("pub", i), i%c.Nodes()), qos: packets.QoS(1 + i/c.Nodes()), stop: l.stop}
		l.pubs = append(l.pubs, p)
	}
	for _, s := range l.subs {
		l.wg.Go(s.run)
	}
	for i, p := range l.pubs {
		l.wg.Go(func() { p.run(fmt.Sprint("load/", i), pause) })
	}
	return l
}

// end stops the publishers, waits until everything has arrived, and checks what everybody saw.
func (l *load) end() {
	l.t.Helper()
	close(l.stop)
	time.Sleep(10 * time.Second)
	close(l.over)
	l.wg.Wait()
	var outage, ack, arrival time.Duration
	var sent, moves, refs int
	for i, p := range l.pubs {
		sent, moves, refs = sent+p.sent, moves+p.moves, refs+p.refs
		ack, outage = max(ack, p.longest), max(outage, p.outage)
		for _, s := range l.subs {
			missing, twice := s.missing(fmt.Sprint("load/", i), p.sent)
			require.Zero(l.t, missing, "messages of QoS %d from %s to %s were lost", p.qos, p.id, s.id)
			if p.qos == 2 && s.qos == 2 {
				require.Zero(l.t, twice, "messages of QoS 2 came twice from %s to %s", p.id, s.id)
			}
		}
	}
	for _, s := range l.subs {
		moves, refs = moves+s.moves, refs+s.refs
		outage, arrival = max(outage, s.outage), max(arrival, s.longest)
	}
	l.t.Logf("%d messages, %d moves, %d of them by Server Reference; the longest: outage %s, acknowledgement %s, arrival %s", sent, moves, refs, outage, ack, arrival)
	require.LessOrEqual(l.t, outage, time.Second, "from the end of a connection to the next CONNACK")
	require.LessOrEqual(l.t, ack, 2*time.Second)
	require.LessOrEqual(l.t, arrival, 2*time.Second)
	require.Positive(l.t, moves)
}

// A node that drains sends its clients away at the pace it is told, to the other nodes in turn, gives up the leadership first, and serves everybody until
// their turn comes. Nobody new is let in.
func TestDrain(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		node := leaderOf(t, c)
		const clients = 40
		var list []*mqtt.Client
		for i := range clients {
			list = append(list, mqtt.Connect(t, c, node, fmt.Sprint("c", i), mqtt.Clean))
		}
		began := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- c.Node(node).Broker().Drain(context.Background(), shoal.DrainOptions{Rate: 20}) }()
		time.Sleep(500 * time.Millisecond)
		require.NotEqual(t, node, leaderOf(t, c))
		_, err := c.DialContext(t.Context(), node)
		require.Error(t, err)
		sent := make(map[string]int)
		var served []*mqtt.Client
		for _, cl := range list { // their turns come in no order
			cl.Send(&packets.PingReq{})
			p, err := cl.Read(time.Second)
			require.NoError(t, err)
			if d, ok := p.(*packets.Disconnect); ok {
				sent[d.Properties.ServerReference.Value]++
			} else {
				require.IsType(t, &packets.PingResp{}, p)
				served = append(served, cl)
			}
		}
		require.InDelta(t, clients-10, len(served), 2, "those whose turn has not come are served")
		require.NoError(t, <-drained)
		require.InDelta(t, 2, time.Since(began).Seconds(), 0.1)
		for _, cl := range served {
			d := cl.Closed()
			require.Equal(t, packets.UseAnotherServer, d.ReasonCode)
			sent[d.Properties.ServerReference.Value]++
		}
		require.Len(t, sent, 2)
		for ref, n := range sent {
			require.Equal(t, clients/2, n, ref)
		}
		require.ErrorContains(t, c.Node(node).Broker().Drain(t.Context(), shoal.DrainOptions{Rate: -1}), "Rate")
		c.Stop(node)
	})
}

// Shutdown ends a slow Drain, and does not take longer than the time it has.
func TestShutdownEndsDrain(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		for i := range 20 {
			mqtt.Connect(t, c, 0, fmt.Sprint("c", i), mqtt.Clean)
		}
		b := c.Node(0).Broker()
		drained := make(chan error, 1)
		go func() { drained <- b.Drain(context.Background(), shoal.DrainOptions{Rate: 1}) }()
		time.Sleep(3 * time.Second)
		began := time.Now()
		c.Stop(0)
		require.ErrorIs(t, <-drained, shoal.ErrClosed)
		require.Less(t, time.Since(began), 3*time.Second)
		require.ErrorIs(t, b.Drain(t.Context(), shoal.DrainOptions{}), shoal.ErrClosed)
	})
}

// Guarantee 10: all nodes are restarted, one after another, under load. Nothing is lost, nothing of QoS 2 comes twice, and no client waits for longer
// than its own reconnect and a second.
func TestRollingRestartUnderLoad(t *testing.T) {
	for _, drained := range []bool{false, true} {
		t.Run(fmt.Sprintf("drained first %t", drained), func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				l := startLoad(t, c, 50*time.Millisecond)
				for i := range c.Nodes() {
					time.Sleep(2 * time.Second)
					if drained {
						require.NoError(t, c.Node(i).Broker().Drain(t.Context(), shoal.DrainOptions{Rate: 4}))
					}
					c.Stop(i)
					time.Sleep(time.Second)
					c.Restart(i)
				}
				time.Sleep(2 * time.Second)
				l.end()
			})
		})
	}
}

// Guarantee 5: a message that a lost node had, and had not told its sender so, comes to the heir on two ways. When the second one arrives
// the client has completed the first already.
func TestLateMessageOfALostNode(t *testing.T) {
	bubble.Of(t, 5, func(t *testing.T, c *clustertest.Cluster) { // so that the others decide without the slow one
		heir := leaderOf(t, c)
		lost, at := (heir+4)%5, (heir+1)%5
		sub := mqtt.Connect(t, c, lost, "sub", mqtt.Expiry(600))
		sub.Subscribe(2, "t")
		sub.Leave()
		pub := mqtt.Connect(t, c, at, "pub", mqtt.Clean)
		c.Cut(lost, at) // no acknowledgement comes back
		pub.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 1, Payload: []byte("once")})
		time.Sleep(200 * time.Millisecond) // all nodes have it now
		c.Network().SetDelay(c.Node(at).Host(), c.Node(heir).Host(), 200*time.Millisecond)
		c.Kill(lost)
		sub = mqtt.Connect(t, c, heir, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		require.Equal(t, "once", string(sub.Receive().Payload))
		require.Equal(t, packets.Success, mqtt.Expect[*packets.PubRec](pub).ReasonCode)
		sub.Silent(5 * time.Second)
	})
}

func leaderOf(t *testing.T, c *clustertest.Cluster) int {
	t.Helper()
	for i := range c.Nodes() {
		if s := c.Node(i).Status(); s.Leader != "" && s.Leader == c.Node(i).Name {
			return i
		}
	}
	require.Fail(t, "nobody leads")
	return -1
}
