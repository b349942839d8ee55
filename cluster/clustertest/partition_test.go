package clustertest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
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
	ends := func(t *testing.T, c *mqtt.Client) {
		t.Helper()
		d := c.Closed()
		require.NotNil(t, d, "the connection ended without a word")
		refused(t, d.ReasonCode, &d.Properties)
	}
	// publishing expects a PUBLISH not to be accepted.
	publishing := func(qos packets.QoS) func(t *testing.T, c *clustertest.Cluster, there *mqtt.Client) {
		return func(t *testing.T, c *clustertest.Cluster, there *mqtt.Client) {
			there.Send(&packets.Publish{TopicName: "t", QoS: qos, PacketID: uint16(qos), Payload: []byte("minority")})
			for {
				p, err := there.Read(mqtt.Patience)
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
	for name, do := range map[string]func(t *testing.T, c *clustertest.Cluster, there *mqtt.Client){
		"publish QoS 0": publishing(0),
		"publish QoS 1": publishing(1),
		"publish QoS 2": publishing(2),
		"subscribe": func(t *testing.T, _ *clustertest.Cluster, there *mqtt.Client) {
			there.Send(&packets.Subscribe{PacketID: 9, Subscriptions: []packets.Subscription{{TopicFilter: "new", QoS: 1}}})
			for {
				p, err := there.Read(mqtt.Patience)
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
		"connect": func(t *testing.T, c *clustertest.Cluster, _ *mqtt.Client) {
			cl := mqtt.Dial(t, c, minority)
			cl.SendConnect("new", mqtt.Clean)
			ack := mqtt.Expect[*packets.ConnAck](cl)
			refused(t, ack.ReasonCode, &ack.Properties)
		},
		"connect with the version that has no reference": func(t *testing.T, c *clustertest.Cluster, _ *mqtt.Client) {
			cl := mqtt.Dial(t, c, minority)
			cl.Version = packets.V311
			cl.Send(&packets.Connect{ProtocolVersion: packets.V311, ClientID: "new", CleanStart: true})
			require.Equal(t, packets.ServerUnavailable, mqtt.Expect[*packets.ConnAck](cl).ReasonCode)
		},
		"take over there": func(t *testing.T, c *clustertest.Cluster, _ *mqtt.Client) {
			mine := mqtt.Connect(t, c, 0, "mine", mqtt.Expiry(600))
			thief := mqtt.Dial(t, c, minority)
			thief.SendConnect("mine", mqtt.Expiry(600))
			ack := mqtt.Expect[*packets.ConnAck](thief)
			refused(t, ack.ReasonCode, &ack.Properties)
			mine.Send(&packets.PingReq{})
			mqtt.Expect[*packets.PingResp](mine)
		},
		"take over from there": func(t *testing.T, c *clustertest.Cluster, there *mqtt.Client) {
			again := mqtt.Connect(t, c, 1, "there", mqtt.Expiry(600))
			require.True(t, again.Ack.SessionPresent)
			ends(t, there)
			pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
			require.Equal(t, packets.Success, pub.Post("t", "on this side", 2, false))
			require.Equal(t, "on this side", string(again.Receive().Payload))
		},
		"stay": func(t *testing.T, _ *clustertest.Cluster, there *mqtt.Client) { ends(t, there) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
				there := mqtt.Connect(t, c, minority, "there", mqtt.Expiry(600))
				there.Subscribe(2, "t")
				c.Partition([]int{0, 1}, []int{minority})
				time.Sleep(2 * time.Second)
				do(t, c, there)

				// Nothing but healing is needed for all to be well.
				time.Sleep(5 * time.Second)
				c.Heal()
				c.AwaitServing(minority)
				for node := range 3 {
					again := mqtt.Connect(t, c, node, "there", mqtt.Expiry(600))
					require.True(t, again.Ack.SessionPresent)
					for qos := range packets.QoS(3) {
						pub := mqtt.Connect(t, c, (node+1)%3, fmt.Sprint("pub", qos), mqtt.Clean)
						want := fmt.Sprint(node, qos)
						require.False(t, pub.Post("t", want, qos, false).IsError())
						m := again.Receive()
						require.Equal(t, want, string(m.Payload))
						pub.Leave()
					}
					again.Silent(time.Second)
				}
			})
		})
	}
}
