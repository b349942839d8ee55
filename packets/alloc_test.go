package packets_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// messages are what the allocation tests and the benchmarks work on: 64 bytes of payload, with and without properties.
func messages() map[string]*packets.Publish {
	full := packets.Properties{
		PayloadFormatIndicator:  packets.Some[byte](1),
		MessageExpiryInterval:   packets.Some[uint32](3600),
		ContentType:             packets.Some("application/json"),
		ResponseTopic:           packets.Some("replies/é/7"), // not all ASCII: the slow way must not allocate either
		CorrelationData:         []byte("0123456789abcdef"),
		SubscriptionIdentifiers: []uint32{1, 300},
		UserProperties:          []packets.UserProperty{{Key: "trace", Value: "00-4bf92f35"}, {Key: "unit", Value: "°C"}},
	}
	message := func(qos packets.QoS, id uint16, p packets.Properties) *packets.Publish {
		return &packets.Publish{
			QoS: qos, PacketID: id, TopicName: "site/7/line/3/temperature", Payload: make([]byte, 64), Properties: p,
		}
	}
	return map[string]*packets.Publish{
		"QoS0":           message(0, 0, packets.Properties{}),
		"QoS1":           message(1, 1, packets.Properties{}),
		"QoS1Properties": message(1, 1, full),
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	for name, p := range messages() {
		for _, v := range versions {
			t.Run(fmt.Sprint(name, " ", v), func(t *testing.T) {
				b, err := p.Append(nil, v)
				require.NoError(t, err)
				var q packets.Publish
				require.Zero(t, testing.AllocsPerRun(100, func() {
					if b, err = p.Append(b[:0], v); err != nil {
						t.Fatal(err)
					}
				}), "Append")
				require.Zero(t, testing.AllocsPerRun(100, func() {
					h, err := packets.ParseFixedHeader(b)
					if err == nil {
						err = q.Decode(h, b[h.Size:], v)
					}
					if err != nil {
						t.Fatal(err)
					}
				}), "Decode")
				require.Zero(t, testing.AllocsPerRun(100, func() { _ = q.Size(v) }), "Size")
				require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = q.Clone() }), 4.0, "Clone")
			})
		}
	}
}

func TestAckAllocatesNothing(t *testing.T) {
	types := []packets.Type{packets.TypePubAck, packets.TypePubRec, packets.TypePubRel, packets.TypePubComp}
	dst := make([]byte, 0, 5)
	for _, pt := range types {
		p := packets.New(pt)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			b := packets.AppendAck(dst, pt, packets.V5, 7, packets.PacketIdentifierInUse)
			b = packets.AppendAck(b[:0], pt, packets.V5, 7, packets.Success)
			h, err := packets.ParseFixedHeader(b)
			if err == nil {
				err = p.Decode(h, b[h.Size:], packets.V5)
			}
			if err != nil {
				t.Fatal(err)
			}
		}), "%v", pt)
	}
}

// TestAppendAck holds that the quick way writes what the packets write.
func TestAppendAck(t *testing.T) {
	for _, v := range versions {
		for _, c := range []struct {
			packet packets.Packet
			code   packets.ReasonCode
		}{
			{&packets.PubAck{PacketID: 258}, packets.Success},
			{&packets.PubAck{PacketID: 258, ReasonCode: packets.QuotaExceeded}, packets.QuotaExceeded},
			{&packets.PubRec{PacketID: 258}, packets.Success},
			{&packets.PubRel{PacketID: 258}, packets.Success},
			{&packets.PubRel{PacketID: 258, ReasonCode: packets.PacketIdentifierNotFound}, packets.PacketIdentifierNotFound},
			{&packets.PubComp{PacketID: 258}, packets.Success},
		} {
			want, err := c.packet.Append(nil, v)
			require.NoError(t, err)
			require.Equal(t, want, packets.AppendAck(nil, c.packet.Type(), v, 258, c.code))
		}
	}
}
