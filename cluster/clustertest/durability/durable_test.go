package durability_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 5: kill -9 of any one node loses no persistent session and no acknowledged message. The client of the lost node was away, or
// connected; it comes back to each of the survivors.
func TestSessionSurvivesNodeLoss(t *testing.T) {
	for _, qos := range []packets.QoS{1, 2} {
		for lost := range 3 {
			for _, connected := range []bool{false, true} {
				t.Run(fmt.Sprintf("QoS %d/node %d/connected %t", qos, lost, connected), func(t *testing.T) {
					bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) { sessionSurvives(t, c, qos, lost, connected) })
				})
			}
		}
	}
}

func sessionSurvives(t *testing.T, c *clustertest.Cluster, qos packets.QoS, lost int, connected bool) {
	first, second := (lost+1)%3, (lost+2)%3
	sub := mqtt.Connect(t, c, lost, "sub", mqtt.Expiry(600))
	sub.Subscribe(qos, "t/+", "other")
	if !connected {
		sub.Leave()
	}
	pub := mqtt.Connect(t, c, first, "pub", mqtt.Clean)
	all := mqtt.Numbered(40)
	for _, p := range all[:20] {
		require.Equal(t, packets.Success, pub.Post("t/1", p, qos, false))
	}
	c.Kill(lost)
	for _, p := range all[20:30] { // nobody may tell the publisher that they are safe before they are
		require.Equal(t, packets.Success, pub.Post("t/1", p, qos, false))
	}
	sub = mqtt.Connect(t, c, second, "sub", mqtt.Expiry(600))
	require.True(t, sub.Ack.SessionPresent)
	for _, p := range all[30:] {
		require.Equal(t, packets.Success, pub.Post("t/1", p, qos, false))
	}
	for _, want := range all {
		require.Equal(t, want, string(sub.Receive().Payload))
	}
	sub.Silent(time.Second)
	sub.Drop()
	sub = mqtt.Connect(t, c, first, "sub", mqtt.Expiry(600))
	require.True(t, sub.Ack.SessionPresent)
	require.Equal(t, packets.Success, pub.Post("other", "still subscribed", qos, false))
	require.Equal(t, "still subscribed", string(sub.Receive().Payload))
}

// Guarantee 5: what a node has accepted and not answered when it is lost is not taken for lost by those who sent it there.
func TestLossUnderLoad(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600)).Subscribe(1, "t")
		pubs := []*mqtt.Client{mqtt.Connect(t, c, 1, "p1", mqtt.Clean), mqtt.Connect(t, c, 2, "p2", mqtt.Clean)}
		const each = 200
		for i := range each {
			for k, p := range pubs {
				p.Send(&packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(i + 1), Payload: fmt.Appendf(nil, "%d-%03d", k, i)})
			}
			if i == each/2 {
				c.Kill(0)
			}
		}
		for _, p := range pubs {
			for i := range each {
				a := mqtt.Expect[*packets.PubAck](p)
				require.Equal(t, uint16(i+1), a.PacketID)
				require.Equal(t, packets.Success, a.ReasonCode)
			}
		}
		sub := mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		next := []int{0, 0}
		for next[0] < each || next[1] < each {
			var k, i int
			_, err := fmt.Sscanf(string(sub.Receive().Payload), "%d-%d", &k, &i)
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
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		pub, sub := mqtt.Connect(t, c, 0, "pub", mqtt.Expiry(600)), mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600))
		sub.Subscribe(2, "t")
		watch := mqtt.Connect(t, c, 1, "watch", mqtt.Clean)
		watch.Subscribe(2, "t")
		pub.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Payload: []byte("once")})
		require.Equal(t, uint16(7), mqtt.Expect[*packets.PubRec](pub).PacketID)
		require.Equal(t, "once", string(watch.Receive().Payload))
		m := sub.Next()
		sub.Send(&packets.PubRec{PacketID: m.PacketID})
		require.Equal(t, m.PacketID, mqtt.Expect[*packets.PubRel](sub).PacketID)
		c.Kill(0)

		pub = mqtt.Connect(t, c, 2, "pub", mqtt.Expiry(600))
		require.True(t, pub.Ack.SessionPresent)
		pub.Send(&packets.Publish{TopicName: "t", QoS: 2, PacketID: 7, Dup: true, Payload: []byte("once")})
		require.Equal(t, uint16(7), mqtt.Expect[*packets.PubRec](pub).PacketID)
		pub.Send(&packets.PubRel{PacketID: 7})
		require.Equal(t, uint16(7), mqtt.Expect[*packets.PubComp](pub).PacketID)
		watch.Silent(time.Second)

		sub = mqtt.Connect(t, c, 1, "sub", mqtt.Expiry(600))
		require.True(t, sub.Ack.SessionPresent)
		rel, err := sub.Read(mqtt.Patience)
		require.NoError(t, err)
		require.Equal(t, m.PacketID, rel.(*packets.PubRel).PacketID, "the message itself must not come again")
		sub.Send(&packets.PubComp{PacketID: m.PacketID})
		sub.Silent(time.Second)
	})
}

// Sessions that are kept by the cluster's log on disk are there after all nodes were killed, on whichever node their clients come back to.
func TestSessionsSurviveLossOfAll(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		const clients = 6
		for i := range clients {
			s := mqtt.Connect(t, c, i%3, fmt.Sprint("s", i), mqtt.Expiry(600))
			s.Subscribe(packets.QoS(1+i%2), "all", fmt.Sprint("own/", i))
			if i%2 == 0 {
				s.Leave()
			}
		}
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		for _, p := range mqtt.Numbered(10) {
			require.Equal(t, packets.Success, pub.Post("all", p, 2, false))
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
		pub = mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		for i := range clients {
			s := mqtt.Connect(t, c, (i+1)%3, fmt.Sprint("s", i), mqtt.Expiry(600))
			require.True(t, s.Ack.SessionPresent, "client %d", i)
			for _, want := range mqtt.Numbered(10) {
				require.Equal(t, want, string(s.Receive().Payload), "client %d", i)
			}
			require.Equal(t, packets.Success, pub.Post(fmt.Sprint("own/", i), "new", 1, false))
			require.Equal(t, "new", string(s.Receive().Payload))
			s.Silent(time.Second)
		}
	}, clustertest.WithDisk())
}

// A session that its heir has adopted expires there, in time; nothing of it is left.
func TestAdoptedSessionExpires(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(60)).Subscribe(1, "t")
		pub := mqtt.Connect(t, c, 1, "pub", mqtt.Clean)
		c.Kill(0)
		require.Equal(t, packets.Success, mqtt.AwaitCode(pub, "t", packets.Success))
		time.Sleep(40 * time.Second)
		require.Equal(t, packets.Success, pub.Post("t", "kept", 1, false))
		time.Sleep(30 * time.Second)
		require.Equal(t, packets.NoMatchingSubscribers, mqtt.AwaitCode(pub, "t", packets.NoMatchingSubscribers))
		require.False(t, mqtt.Connect(t, c, 2, "sub", mqtt.Expiry(60)).Ack.SessionPresent)
	})
}

// Guarantee 10: a node that stops leaves its sessions, and everything in them, to the others; one after another, all nodes are restarted.
func TestSessionSurvivesStop(t *testing.T) {
	bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
		mqtt.Connect(t, c, 0, "sub", mqtt.Expiry(600)).Subscribe(2, "t")
		all := mqtt.Numbered(60)
		for node := range 3 {
			c.Stop(node)
			pub := mqtt.Connect(t, c, (node+1)%3, "pub", mqtt.Clean)
			for _, p := range all[node*20 : node*20+10] {
				require.Equal(t, packets.Success, pub.Post("t", p, 2, false))
			}
			c.StartAgain(node)
			c.AwaitServing(node)
			for _, p := range all[node*20+10 : node*20+20] {
				require.Equal(t, packets.Success, pub.Post("t", p, 2, false))
			}
			sub := mqtt.Connect(t, c, node, "sub", mqtt.Expiry(600))
			require.True(t, sub.Ack.SessionPresent)
			for _, p := range all[node*20 : node*20+20] {
				require.Equal(t, p, string(sub.Receive().Payload))
			}
			sub.Silent(time.Second)
		}
	})
}
