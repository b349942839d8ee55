package packets_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*packets.Error{
		"CONNECT: Will QoS: must not be 3 [MQTT-3.1.2-12]": {
			Code: packets.MalformedPacket, Packet: packets.TypeConnect, Field: "Will QoS", Problem: "must not be 3",
			Clause: "MQTT-3.1.2-12",
		},
		"Malformed Packet": {Code: packets.MalformedPacket},
		"PUBLISH: Quota exceeded: unexpected EOF": {
			Code: packets.QuotaExceeded, Packet: packets.TypePublish, Err: io.ErrUnexpectedEOF,
		},
	} {
		require.EqualError(t, e, want)
	}
}

func TestErrorIs(t *testing.T) {
	e := fmt.Errorf("reading: %w", &packets.Error{
		Code: packets.ProtocolError, Packet: packets.TypeAuth, Field: "Reason Code", Err: io.ErrUnexpectedEOF,
	})
	require.ErrorIs(t, e, packets.ErrProtocol)
	require.NotErrorIs(t, e, packets.ErrMalformed)
	require.ErrorIs(t, e, io.ErrUnexpectedEOF)
	require.ErrorIs(t, e, &packets.Error{Code: packets.ProtocolError})
	require.NotErrorIs(t, e, &packets.Error{Code: packets.ProtocolError, Packet: packets.TypeConnect})
	// An Err that cannot be compared must not panic.
	odd := &packets.Error{Code: packets.ProtocolError, Err: joined{io.EOF}}
	require.NotErrorIs(t, e, odd)
}

// joined is an error whose type has no ==.
type joined []error

func (joined) Error() string { return "joined" }
