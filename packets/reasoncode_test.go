package packets_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestReasonCodes is the table of section 2.4: the words of each code and the packets it may stand in.
func TestReasonCodes(t *testing.T) {
	const everyAck = "PUBACK PUBREC SUBACK UNSUBACK"
	table := map[packets.ReasonCode]struct{ words, in string }{
		0x00: {"Success", "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"},
		0x01: {"Granted QoS 1", "SUBACK"},
		0x02: {"Granted QoS 2", "SUBACK"},
		0x04: {"Disconnect with Will Message", "DISCONNECT"},
		0x10: {"No matching subscribers", "PUBACK PUBREC"},
		0x11: {"No subscription existed", "UNSUBACK"},
		0x18: {"Continue authentication", "AUTH"},
		0x19: {"Re-authenticate", "AUTH"},
		0x80: {"Unspecified error", "CONNACK DISCONNECT " + everyAck},
		0x81: {"Malformed Packet", "CONNACK DISCONNECT"},
		0x82: {"Protocol Error", "CONNACK DISCONNECT"},
		0x83: {"Implementation specific error", "CONNACK DISCONNECT " + everyAck},
		0x84: {"Unsupported Protocol Version", "CONNACK"},
		0x85: {"Client Identifier not valid", "CONNACK"},
		0x86: {"Bad User Name or Password", "CONNACK"},
		0x87: {"Not authorized", "CONNACK DISCONNECT " + everyAck},
		0x88: {"Server unavailable", "CONNACK"},
		0x89: {"Server busy", "CONNACK DISCONNECT"},
		0x8A: {"Banned", "CONNACK"},
		0x8B: {"Server shutting down", "DISCONNECT"},
		0x8C: {"Bad authentication method", "CONNACK DISCONNECT"},
		0x8D: {"Keep Alive timeout", "DISCONNECT"},
		0x8E: {"Session taken over", "DISCONNECT"},
		0x8F: {"Topic Filter invalid", "SUBACK UNSUBACK DISCONNECT"},
		0x90: {"Topic Name invalid", "CONNACK PUBACK PUBREC DISCONNECT"},
		0x91: {"Packet Identifier in use", everyAck},
		0x92: {"Packet Identifier not found", "PUBREL PUBCOMP"},
		0x93: {"Receive Maximum exceeded", "DISCONNECT"},
		0x94: {"Topic Alias invalid", "DISCONNECT"},
		0x95: {"Packet too large", "CONNACK DISCONNECT"},
		0x96: {"Message rate too high", "DISCONNECT"},
		0x97: {"Quota exceeded", "CONNACK PUBACK PUBREC SUBACK DISCONNECT"},
		0x98: {"Administrative action", "DISCONNECT"},
		0x99: {"Payload format invalid", "CONNACK PUBACK PUBREC DISCONNECT"},
		0x9A: {"Retain not supported", "CONNACK DISCONNECT"},
		0x9B: {"QoS not supported", "CONNACK DISCONNECT"},
		0x9C: {"Use another server", "CONNACK DISCONNECT"},
		0x9D: {"Server moved", "CONNACK DISCONNECT"},
		0x9E: {"Shared Subscriptions not supported", "SUBACK DISCONNECT"},
		0x9F: {"Connection rate exceeded", "CONNACK DISCONNECT"},
		0xA0: {"Maximum connect time", "DISCONNECT"},
		0xA1: {"Subscription Identifiers not supported", "SUBACK DISCONNECT"},
		0xA2: {"Wildcard Subscriptions not supported", "SUBACK DISCONNECT"},
	}
	for n := range 256 {
		c := packets.ReasonCode(n)
		row := table[c]
		if row.words == "" {
			require.Contains(t, c.String(), "ReasonCode(0x")
		} else {
			require.Equal(t, row.words, c.String())
		}
		in := strings.Fields(row.in)
		for pt := packets.TypeConnect; pt <= packets.TypeAuth; pt++ {
			require.Equal(t, slices.Contains(in, pt.String()), c.AllowedIn(pt), "%v in %v", c, pt)
		}
		require.Equal(t, n >= 0x80, c.IsError())
	}
}

// TestConnAckV3 holds the return codes of MQTT 3 [MQTT-3.1.2-2], [MQTT-3.1.3-9] of 3.1.1: a failure is never 0.
func TestConnAckV3(t *testing.T) {
	for c, want := range map[packets.ReasonCode]byte{
		packets.Success: 0, packets.UnsupportedProtocolVersion: 1, packets.ClientIdentifierNotValid: 2,
		packets.ServerUnavailable: 3, packets.BadUserNameOrPassword: 4, packets.BadAuthenticationMethod: 4,
		packets.NotAuthorized: 5, packets.Banned: 5, packets.UseAnotherServer: 3,
	} {
		require.Equal(t, want, c.ConnAckV3(), c)
	}
	for n := 1; n < 256; n++ {
		require.NotZero(t, packets.ReasonCode(n).ConnAckV3())
		require.LessOrEqual(t, packets.ReasonCode(n).ConnAckV3(), byte(5))
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "CONNECT", packets.TypeConnect.String())
	require.Equal(t, "AUTH", packets.TypeAuth.String())
	require.Equal(t, "Type(0)", packets.Type(0).String())
	require.Equal(t, "Type(16)", packets.Type(16).String())
	require.Equal(t, "3.1", packets.V31.String())
	require.Equal(t, "3.1.1", packets.V311.String())
	require.Equal(t, "5.0", packets.V5.String())
	require.Equal(t, "Version(6)", packets.Version(6).String())
	for pt := range packets.TypeAuth + 2 {
		if p := packets.New(pt); pt == 0 || pt > packets.TypeAuth {
			require.Nil(t, p)
		} else {
			require.Equal(t, pt, p.Type())
		}
	}
}

func TestOptional(t *testing.T) {
	var absent packets.Optional[uint16]
	_, set := absent.Get()
	require.False(t, set)
	require.EqualValues(t, 7, absent.Or(7))
	v, set := packets.Some[uint16](0).Get()
	require.True(t, set)
	require.Zero(t, v)
	require.Zero(t, packets.Some[uint16](0).Or(7))
}
