package shoal_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/storage/memory"
)

// writeCalls returns how many times the process has called write(2).
func writeCalls(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("the kernel does not tell: ", err)
	}
	var rchar, wchar, syscr int
	_, err = fmt.Sscanf(string(b), "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d", &rchar, &wchar, &syscr, &n)
	require.NoError(t, err)
	return n
}

// TestDeferredAnswersLeaveTogether holds that the PUBACKs of messages that one commit has made durable leave in few writes.
func TestDeferredAnswersLeaveTogether(t *testing.T) {
	store := stuckStore{memory.New(), stuck{make(chan struct{})}, make(chan struct{})}
	b := start(t, shoal.WithStorage(store), shoal.WithListen("tcp://127.0.0.1:0"))
	sub, _ := connectWith(t, b, lasting("sub", true))
	sub.Subscribe(1, "t")
	sub.Disconnect()
	pub := overTCP(t, b, packets.V5)
	pub.Connect(&packets.Connect{ClientID: "pub", CleanStart: true})
	close(store.now)
	const n = 1000
	var all []byte
	for i := range n {
		all = append(all, encoded(t, packets.V5, &packets.Publish{TopicName: "t", QoS: 1, PacketID: uint16(i + 1)})...)
	}
	pub.SendRaw(all)
	require.Eventually(t, func() bool { return b.Metrics().MessagesReceived == n }, 5*time.Second, time.Millisecond)
	before := writeCalls(t)
	close(store.release)
	for i := range n {
		ack, ok := pub.Expect(packets.TypePubAck).(*packets.PubAck)
		require.True(t, ok)
		require.EqualValues(t, i+1, ack.PacketID)
	}
	require.Less(t, writeCalls(t)-before, n/4)
}
