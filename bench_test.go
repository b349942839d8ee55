package shoal_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/packets"
)

// discard connects a client that subscribes and throws everything away.
func discard(b *testing.B, broker *shoal.Broker, id, filter string) {
	b.Helper()
	conn, err := broker.Dial(b.Context())
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	out, err := packets.Append(nil, &packets.Connect{ProtocolVersion: packets.V311, CleanStart: true, ClientID: id}, packets.V311)
	require.NoError(b, err)
	out, err = packets.Append(out, &packets.Subscribe{
		PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: filter}},
	}, packets.V311)
	require.NoError(b, err)
	_, err = conn.Write(out)
	require.NoError(b, err)
	for range 2 { // CONNACK, SUBACK
		_, err = packets.Read(conn, packets.V311, 1<<20)
		require.NoError(b, err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
}

// BenchmarkFanOut is one message of 64 bytes to so many clients; an operation is one message.
func BenchmarkFanOut(b *testing.B) {
	for _, clients := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			broker, err := shoal.New(shoal.WithAnonymous())
			require.NoError(b, err)
			require.NoError(b, broker.Start(b.Context()))
			b.Cleanup(func() { _ = broker.Shutdown(b.Context()) })
			for i := range clients {
				discard(b, broker, fmt.Sprint("c", i), "bench/fan")
			}
			m := shoal.Message{TopicName: "bench/fan", Payload: make([]byte, 64)}
			b.ReportAllocs()
			for b.Loop() {
				if err := broker.Publish(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*clients), "ns/delivery")
		})
	}
}

// TestPublishOfQoS0AllocatesOnlyItsMessage holds that a message of the program's that nothing waits for costs one allocation: its own copy.
func TestPublishOfQoS0AllocatesOnlyItsMessage(t *testing.T) {
	b := start(t)
	m := shoal.Message{TopicName: "t", Payload: make([]byte, 64)}
	least := 1000.0
	for range 10 { // another goroutine may allocate meanwhile
		least = min(least, testing.AllocsPerRun(100, func() { _ = b.Publish(t.Context(), m) }))
	}
	require.LessOrEqual(t, least, 1.0)
}
