package clustertest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 5: kill -9 of any one node loses no persistent session and no acknowledged message. The client of the lost node was away, or
// connected; it comes back to each of the survivors.
func TestSessionSurvivesNodeLoss(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		for lost := range 3 {
			for _, connected := range []bool{false, true} {
				t.Run(fmt.Sprintf("QoS %d/node %d/connected %t", qos, lost, connected), func(t *testing.T) {
					both(t, func(t *testing.T, c *clustertest.Cluster) { sessionSurvives(t, c, qos, lost, connected) })
				})
			}
		}
	}
}

func sessionSurvives(t *testing.T, c *clustertest.Cluster, qos packets.QoS, lost int, connected bool) {
	first, second := (lost+1)%3, (lost+2)%3
	sub := connect(t, c, lost, "sub", expiry(600))
	sub.subscribe(qos, "t/+", "other")
	if !connected {
		sub.leave()
	}
	pub := connect(t, c, first, "pub", clean)
	all := numbered(40)
	for _, p := range all[:20] {
		require.Equal(t, packets.Success, pub.post("t/1", p, qos, false))
	}
	c.Kill(lost)
	for _, p := range all[20:30] { // nobody may tell the publisher that they are safe before they are
		require.Equal(t, packets.Success, pub.post("t/1", p, qos, false))
	}
	sub = connect(t, c, second, "sub", expiry(600))
	require.True(t, sub.ack.SessionPresent)
	for _, p := range all[30:] {
		require.Equal(t, packets.Success, pub.post("t/1", p, qos, false))
	}
	for _, want := range all {
		require.Equal(t, want, string(sub.receive().Payload))
	}
	sub.silent(time.Second)
	sub.drop()
	sub = connect(t, c, first, "sub", expiry(600))
	require.True(t, sub.ack.SessionPresent)
	require.Equal(t, packets.Success, pub.post("other", "still subscribed", qos, false))
	require.Equal(t, "still subscribed", string(sub.receive().Payload))
}

// Guarantee 5: what a node has accepted and not answered when it is lost is not taken for lost by those who sent it there.
func TestLossUnderLoad(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		connect(t, c, 0, "sub", expiry(600)).subscribe(1, "t")
		pubs := []*client{connect(t, c, 1, "p1", clean), connect(t, c, 2, "p2", clean)}
		const each = 200
		for i := range each {
			for k, p := range pubs {
				p.send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(i + 1), Payload: fmt.Appendf(nil, "%d-%03d", k, i)})
			}
			if i == each/2 {
				c.Kill(0)
			}
		}
		for _, p := range pubs {
			for i := range each {
				a := expect[*packets.PubAck](p)
				require.Equal(t, uint16(i+1), a.PacketID)
				require.Equal(t, packets.Success, a.ReasonCode)
			}
		}
		sub := connect(t, c, 1, "sub", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		next := []int{0, 0}
		for next[0] < each || next[1] < each {
			var k, i int
			_, err := fmt.Sscanf(string(sub.receive().Payload), "%d-%d", &k, &i)
			require.NoError(t, err)
			if i >= next[k] { // a repetition of what the killed node had sent is allowed, a gap is not
				require.Equal(t, next[k], i, "publisher %d", k)
				next[k]++
			}
		}
	})
}

// Guarantee 5: the state of QoS 2 exchanges, in both directions, survives the node.
func TestQoS2StateSurvivesNodeLoss(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub, sub := connect(t, c, 0, "pub", expiry(600)), connect(t, c, 0, "sub", expiry(600))
		sub.subscribe(2, "t")
		watch := connect(t, c, 1, "watch", clean)
		watch.subscribe(2, "t")
		pub.send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")})
		require.Equal(t, uint16(7), expect[*packets.PubRec](pub).PacketID)
		require.Equal(t, "once", string(watch.receive().Payload))
		m := sub.publish()
		sub.send(&packets.PubRec{PacketID: m.PacketID})
		require.Equal(t, m.PacketID, expect[*packets.PubRel](sub).PacketID)
		c.Kill(0)

		pub = connect(t, c, 2, "pub", expiry(600))
		require.True(t, pub.ack.SessionPresent)
		pub.send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Dup: true, Payload: []byte("once")})
		require.Equal(t, uint16(7), expect[*packets.PubRec](pub).PacketID)
		pub.send(&packets.PubRel{PacketID: 7})
		require.Equal(t, uint16(7), expect[*packets.PubComp](pub).PacketID)
		watch.silent(time.Second)

		sub = connect(t, c, 1, "sub", expiry(600))
		require.True(t, sub.ack.SessionPresent)
		rel, err := sub.read(patience)
		require.NoError(t, err)
		require.Equal(t, m.PacketID, rel.(*packets.PubRel).PacketID, "the message itself must not come again")
		sub.send(&packets.PubComp{PacketID: m.PacketID})
		sub.silent(time.Second)
	})
}

// Sessions that are kept by the cluster's log on disk are there after all nodes were killed, on whichever node their clients come back to.
func TestSessionsSurviveLossOfAll(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		const clients = 6
		for i := range clients {
			s := connect(t, c, i%3, fmt.Sprint("s", i), expiry(600))
			s.subscribe(packets.QoS(1+i%2), "all", fmt.Sprint("own/", i))
			if i%2 == 0 {
				s.leave()
			}
		}
		pub := connect(t, c, 0, "pub", clean)
		for _, p := range numbered(10) {
			require.Equal(t, packets.Success, pub.post("all", p, 2, false))
		}
		for i := range 3 {
			c.Kill(i)
		}
		for i := range 3 {
			c.StartAgain(i)
		}
		for i := range 3 {
			c.AwaitServing(i)
		}
		pub = connect(t, c, 1, "pub", clean)
		for i := range clients {
			s := connect(t, c, (i+1)%3, fmt.Sprint("s", i), expiry(600))
			require.True(t, s.ack.SessionPresent, "client %d", i)
			for _, want := range numbered(10) {
				require.Equal(t, want, string(s.receive().Payload), "client %d", i)
			}
			require.Equal(t, packets.Success, pub.post(fmt.Sprint("own/", i), "new", 1, false))
			require.Equal(t, "new", string(s.receive().Payload))
			s.silent(time.Second)
		}
	}, clustertest.WithDisk())
}

// A session that its heir has adopted expires there, in time; nothing of it is left.
func TestAdoptedSessionExpires(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		connect(t, c, 0, "sub", expiry(60)).subscribe(1, "t")
		pub := connect(t, c, 1, "pub", clean)
		c.Kill(0)
		require.Equal(t, packets.Success, awaitCode(pub, "t", packets.Success))
		time.Sleep(40 * time.Second)
		require.Equal(t, packets.Success, pub.post("t", "kept", 1, false))
		time.Sleep(30 * time.Second)
		require.Equal(t, packets.NoMatchingSubscribers, awaitCode(pub, "t", packets.NoMatchingSubscribers))
		require.False(t, connect(t, c, 2, "sub", expiry(60)).ack.SessionPresent)
	})
}

// Guarantee 10: a node that stops leaves its sessions, and everything in them, to the others; one after another, all nodes are restarted.
func TestSessionSurvivesStop(t *testing.T) {
	both(t, func(t *testing.T, c *clustertest.Cluster) {
		connect(t, c, 0, "sub", expiry(600)).subscribe(2, "t")
		all := numbered(60)
		for node := range 3 {
			c.Stop(node)
			pub := connect(t, c, (node+1)%3, "pub", clean)
			for _, p := range all[node*20 : node*20+10] {
				require.Equal(t, packets.Success, pub.post("t", p, 2, false))
			}
			c.StartAgain(node)
			c.AwaitServing(node)
			for _, p := range all[node*20+10 : node*20+20] {
				require.Equal(t, packets.Success, pub.post("t", p, 2, false))
			}
			sub := connect(t, c, node, "sub", expiry(600))
			require.True(t, sub.ack.SessionPresent)
			for _, p := range all[node*20 : node*20+20] {
				require.Equal(t, p, string(sub.receive().Payload))
			}
			sub.silent(time.Second)
		}
	})
}
