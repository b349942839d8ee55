package clustertest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/packets"
)

// Guarantee 9: what a node does for its clients in a minority, and after healing. The third node is cut off, and its lease is over.
func TestMinority(t *testing.T) {
	const minority = 2
	refused := func(t *testing.T, code packets.ReasonCode, p *packets.Properties) {
		t.Helper()
		require.Contains(t, []packets.ReasonCode{packets.UseAnotherServer, packets.ServerUnavailable}, code)
		require.Equal(t, code == packets.UseAnotherServer, p.ServerReference.Set)
		require.Equal(t, packets.UseAnotherServer, code, "there are others, and the node knows them")
	}
	// ends expects the connection to end with the name of another node.
	ends := func(t *testing.T, c *client) {
		t.Helper()
		d := c.closed()
		require.NotNil(t, d, "the connection ended without a word")
		refused(t, d.ReasonCode, &d.Properties)
	}
	// publishing expects a PUBLISH not to be accepted.
	publishing := func(qos packets.QoS) func(t *testing.T, c *clustertest.Cluster, there *client) {
		return func(t *testing.T, c *clustertest.Cluster, there *client) {
			there.send(&packets.Publish{TopicName: "t", QoS: qos, PacketID: uint16(qos), Payload: []byte("minority")})
			for {
				p, err := there.read(patience)
				if err != nil {
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "neither refused nor ended")
					return
				}
				switch p := p.(type) {
				case *packets.PubAck:
					require.True(t, p.ReasonCode.IsError(), "accepted: %s", p.ReasonCode)
				case *packets.PubRec:
					require.True(t, p.ReasonCode.IsError(), "accepted: %s", p.ReasonCode)
				case *packets.Disconnect:
					refused(t, p.ReasonCode, &p.Properties)
				}
			}
		}
	}
	for name, do := range map[string]func(t *testing.T, c *clustertest.Cluster, there *client){
		"publish QoS 0": publishing(0),
		"publish QoS 1": publishing(1),
		"publish QoS 2": publishing(2),
		"subscribe": func(t *testing.T, _ *clustertest.Cluster, there *client) {
			there.send(&packets.Subscribe{PacketID: 9, Subscriptions: []packets.Subscription{{TopicFilter: "new", QoS: 1}}})
			for {
				p, err := there.read(patience)
				if err != nil {
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "neither refused nor ended")
					return
				}
				switch p := p.(type) {
				case *packets.SubAck:
					require.True(t, p.ReasonCodes[0].IsError(), "granted: %s", p.ReasonCodes[0])
				case *packets.Disconnect:
					refused(t, p.ReasonCode, &p.Properties)
				}
			}
		},
		"connect": func(t *testing.T, c *clustertest.Cluster, _ *client) {
			cl := dial(t, c, minority)
			cl.sendConnect("new", clean)
			ack := expect[*packets.ConnAck](cl)
			refused(t, ack.ReasonCode, &ack.Properties)
		},
		"connect with the version that has no reference": func(t *testing.T, c *clustertest.Cluster, _ *client) {
			cl := dial(t, c, minority)
			cl.v = packets.V311
			cl.send(&packets.Connect{ProtocolVersion: packets.V311, ClientID: "new", CleanStart: true})
			require.Equal(t, packets.ServerUnavailable, expect[*packets.ConnAck](cl).ReasonCode)
		},
		"take over there": func(t *testing.T, c *clustertest.Cluster, _ *client) {
			mine := connect(t, c, 0, "mine", expiry(600))
			thief := dial(t, c, minority)
			thief.sendConnect("mine", expiry(600))
			ack := expect[*packets.ConnAck](thief)
			refused(t, ack.ReasonCode, &ack.Properties)
			mine.send(&packets.PingReq{})
			expect[*packets.PingResp](mine)
		},
		"take over from there": func(t *testing.T, c *clustertest.Cluster, there *client) {
			again := connect(t, c, 1, "there", expiry(600))
			require.True(t, again.ack.SessionPresent)
			ends(t, there)
			pub := connect(t, c, 0, "pub", clean)
			require.Equal(t, packets.Success, pub.post("t", "on this side", 2, false))
			require.Equal(t, "on this side", string(again.receive().Payload))
		},
		"stay": func(t *testing.T, _ *clustertest.Cluster, there *client) { ends(t, there) },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, c *clustertest.Cluster) {
				there := connect(t, c, minority, "there", expiry(600))
				there.subscribe(2, "t")
				c.Partition([]int{0, 1}, []int{minority})
				time.Sleep(2 * time.Second)
				do(t, c, there)

				// Nothing but healing is needed for all to be well.
				time.Sleep(5 * time.Second)
				c.Heal()
				c.AwaitServing(minority)
				for node := range 3 {
					again := connect(t, c, node, "there", expiry(600))
					require.True(t, again.ack.SessionPresent)
					for qos := range packets.QoS(3) {
						pub := connect(t, c, (node+1)%3, fmt.Sprint("pub", qos), clean)
						want := fmt.Sprint(node, qos)
						require.False(t, pub.post("t", want, qos, false).IsError())
						m := again.receive()
						require.Equal(t, want, string(m.Payload))
						pub.leave()
					}
					again.silent(time.Second)
				}
			})
		})
	}
}
