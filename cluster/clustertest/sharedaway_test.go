package clustertest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestSharedMemberThatKeepsNothingIsPassedOver holds guarantees 2 and 7 where all members of a group are away: a member whose subscription has QoS 0 has
// nothing kept for it, and so does not stand in the way of one that has, on whichever nodes they are.
func TestSharedMemberThatKeepsNothingIsPassedOver(t *testing.T) {
	for publisher, name := range []string{"beside the member of QoS 0", "beside the member of QoS 1", "beside nobody"} {
		t.Run(name, func(t *testing.T) {
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				for qos := range 2 {
					m := mqtt.Connect(t, c, qos, []string{"forgets", "keeps"}[qos], mqtt.Expiry(600))
					m.Subscribe(packets.QoS(qos), "$share/g/t")
					m.Drop()
				}
				time.Sleep(time.Second) // that they are away is told in the background
				pub := mqtt.Connect(t, c, publisher, "pub", mqtt.Clean)
				for _, p := range mqtt.Numbered(10) {
					require.Equal(t, packets.Success, pub.Post("t", p, 1, false))
				}
				keeps := mqtt.Connect(t, c, 1, "keeps", mqtt.Expiry(600))
				for _, want := range mqtt.Numbered(10) {
					require.Equal(t, want, string(keeps.Receive().Payload))
				}
			})
		})
	}
}

// TestSharedGroupThatKeepsNothing holds guarantee 11: what a group cannot have, since all its members are away and have QoS 0, is dropped with a reason.
func TestSharedGroupThatKeepsNothing(t *testing.T) {
	for publisher, name := range []string{"beside the member", "elsewhere"} {
		t.Run(name, func(t *testing.T) {
			drops := make(chan shoal.DroppedEvent, 100)
			bubble.Both(t, func(t *testing.T, c *clustertest.Cluster) {
				m := mqtt.Connect(t, c, 0, "forgets", mqtt.Expiry(600))
				m.Subscribe(0, "$share/g/t")
				m.Drop()
				time.Sleep(time.Second)
				pub := mqtt.Connect(t, c, publisher, "pub", mqtt.Clean)
				require.Equal(t, packets.Success, pub.Post("t", "m", 1, false))
				require.Equal(t, shoal.DroppedEvent{TopicName: "t", QoS: 1, Reason: shoal.DropOffline}, <-drops)
			}, clustertest.WithBroker(func(int) []shoal.Option {
				return []shoal.Option{shoal.WithAnonymous(), shoal.WithHook(dropHook(drops))}
			}))
		})
	}
}
