package packets_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/packets"
)

// decode decodes the one packet in b into a new value.
func decode(b []byte, v packets.Version) (packets.Packet, error) {
	return decodeInto(nil, b, v)
}

// decodeInto decodes the one packet in b into p, or into a new value if p is of another type.
func decodeInto(p packets.Packet, b []byte, v packets.Version) (packets.Packet, error) {
	parse := packets.ParseFixedHeader
	if v == packets.V31 {
		parse = packets.ParseFixedHeaderV31
	}
	h, err := parse(b)
	if err != nil {
		return nil, err
	}
	if p == nil || p.Type() != h.Type {
		p = packets.New(h.Type)
	}
	return p, p.Decode(h, b[h.Size:], v)
}

// roundTrip is the property of TestRoundTrip and FuzzEncode: what is written is read back as it was.
func roundTrip(t *rapid.T) {
	v := rapid.SampledFrom(versions).Draw(t, "version")
	p := genPacket(t, v)
	prefix := []byte("before")
	b, err := packets.Append(prefix, p, v)
	require.NoError(t, err)
	require.Equal(t, "before", string(b[:len(prefix)]))
	b = b[len(prefix):]

	got, err := decode(b, v)
	require.NoError(t, err)
	require.Equal(t, p, got)

	if publish, ok := p.(*packets.Publish); ok {
		require.Equal(t, len(b), publish.Size(v))
		require.Equal(t, got, packets.Packet(got.(*packets.Publish).Clone()))
		header, err := publish.AppendHeader(nil, v)
		require.NoError(t, err)
		require.Equal(t, b, append(header, publish.Payload...))
		if publish.QoS > 0 {
			at := publish.PacketIDOffset(v)
			require.Equal(t, []byte{byte(publish.PacketID >> 8), byte(publish.PacketID)}, b[at:at+2])
		}
	}

	// Every shorter piece is refused, never misread: by its header as long as that is cut, by Decode afterwards.
	cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
	_, err = decode(b[:cut], v)
	require.Error(t, err)
}

func TestRoundTrip(t *testing.T) { rapid.Check(t, roundTrip) }

// TestDecodeReuse holds that nothing of a packet shows in the next one that the same value decodes, and that what the
// caller put there by hand does not show either.
func TestDecodeReuse(t *testing.T) {
	reused := map[packets.Type]packets.Packet{}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom(versions).Draw(t, "version")
		p := genPacket(t, v)
		b, err := p.Append(nil, v)
		require.NoError(t, err)
		got, err := decodeInto(reused[p.Type()], b, v)
		require.NoError(t, err)
		reused[p.Type()] = got
		again, err := got.Append(nil, v)
		require.NoError(t, err)
		require.Equal(t, b, again)
		if publish, ok := got.(*packets.Publish); ok {
			publish.Properties.ReasonString = packets.Some("by hand")
			publish.Properties.ContentType = packets.Some("by hand")
		}
	})
}

// TestOwnership overwrites the body behind a clone, and checks that the other packets never pointed there.
func TestOwnership(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom(versions).Draw(t, "version")
		p := genPacket(t, v)
		b, err := p.Append(nil, v)
		require.NoError(t, err)
		got, err := decode(b, v)
		require.NoError(t, err)
		if publish, ok := got.(*packets.Publish); ok {
			got = publish.Clone()
		}
		for i := range b {
			b[i] = 0xFF
		}
		require.Equal(t, p, got)
	})
}

// TestPublishAliasesItsBody holds the other half of the promise: no copy is made.
func TestPublishAliasesItsBody(t *testing.T) {
	b, err := (&packets.Publish{TopicName: "a/b", Payload: []byte("x")}).Append(nil, packets.V5)
	require.NoError(t, err)
	p, err := decode(b, packets.V5)
	require.NoError(t, err)
	b[4], b[len(b)-1] = 'A', 'X'
	require.Equal(t, "A/b", p.(*packets.Publish).TopicName)
	require.Equal(t, "X", string(p.(*packets.Publish).Payload))
}
