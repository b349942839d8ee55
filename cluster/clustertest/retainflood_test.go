package clustertest_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/cluster/clustertest"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/bubble"
	"github.com/shoalmq/shoal/cluster/clustertest/internal/mqtt"
	"github.com/shoalmq/shoal/packets"
)

// TestFloodOfRetainedMessagesIsPaced holds guarantees 6 and 11 for a publisher that sends retained messages of QoS 0 faster than the nodes agree on them: it is
// not read from for a while, and none is lost.
func TestFloodOfRetainedMessagesIsPaced(t *testing.T) {
	bubble.In(t, func(t *testing.T, c *clustertest.Cluster) {
		const messages = 1500
		payload := bytes.Repeat([]byte("x"), 64<<10)
		pub := mqtt.Connect(t, c, 0, "pub", mqtt.Clean)
		c.Partition([]int{0}, []int{1, 2}) // shorter than a lease
		time.AfterFunc(200*time.Millisecond, c.Heal)
		for i := range messages {
			pub.Send(&packets.Publish{TopicName: fmt.Sprint("r/", i), Payload: payload, Retain: true})
		}
		pub.Post("r/last", "x", 1, true)
		for i := range 3 {
			require.Equal(t, messages+1, c.Node(i).Broker().Metrics().RetainedMessages, "node %d", i)
			require.Empty(t, c.Node(i).Broker().Metrics().Dropped)
		}
	})
}
