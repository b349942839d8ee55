package packets_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestConnectKnowsItsVersion holds that a server can tell whom to answer, and how, also when it refuses.
func TestConnectKnowsItsVersion(t *testing.T) {
	for _, c := range []struct {
		name    string
		hex     string
		version packets.Version
		ok      bool
	}{
		{"3.1", "10 0E 0006 4D5149736470 03 02 0000 0000", packets.V31, true},
		{"3.1.1", "10 0C" + name311 + "02 0000 0000", packets.V311, true},
		{"5.0", "10 0D" + name5 + "02 0000 00 0000", packets.V5, true},
		{"unknown version", "10 0C 0004 4D515454 06 02 0000 0000", 6, false},
		{"a bridge of 3.1.1", "10 0C 0004 4D515454 84 02 0000 0000", packets.V311, true},
		{"a bridge of 3.1", "10 0E 0006 4D5149736470 83 02 0000 0000", packets.V31, true},
		{"a bridge of 5.0", "10 0D 0004 4D515454 85 02 0000 00 0000", 0x85, false},
		{"unknown name", "10 0C 0004 4D515458 05 02 0000 0000", 0, false},
		{"error behind the version", "10 0D" + name5 + "03 0000 00 0000", packets.V5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			for _, v := range versions { // which must not matter
				var p packets.Connect
				_, err := decodeInto(&p, b, v)
				require.Equal(t, c.ok, err == nil, "%v", err)
				require.Equal(t, c.version, p.ProtocolVersion)
			}
		})
	}
}

// TestV31 holds where MQTT 3.1 differs on the wire from what came later.
func TestV31(t *testing.T) {
	t.Run("user name and password left out", func(t *testing.T) {
		p, err := decode(unhex(t, "10 0E 0006 4D5149736470 03 C2 0000 0000"), packets.V31)
		require.NoError(t, err)
		require.False(t, p.(*packets.Connect).UserName.Set)
		require.Nil(t, p.(*packets.Connect).Password)
	})
	t.Run("DUP of what is sent again", func(t *testing.T) {
		for hex, want := range map[string]packets.Packet{
			"6A 02 0001": &packets.PubRel{PacketID: 1},
			"8A 06 0001 000161 00": &packets.Subscribe{
				PacketID: 1, Subscriptions: []packets.Subscription{{TopicFilter: "a"}},
			},
			"AA 05 0001 000161": &packets.Unsubscribe{PacketID: 1, TopicFilters: []string{"a"}},
		} {
			b := unhex(t, hex)
			_, err := packets.ParseFixedHeader(b)
			require.ErrorIs(t, err, packets.ErrMalformed) // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1] of later versions
			p, err := decode(b, packets.V31)
			require.NoError(t, err)
			require.Equal(t, want, p)
		}
	})
	t.Run("no session present", func(t *testing.T) {
		b, err := (&packets.ConnAck{SessionPresent: true}).Append(nil, packets.V31)
		require.NoError(t, err)
		require.Equal(t, []byte{0x20, 2, 0, 0}, b)
		p, err := decode([]byte{0x20, 2, 0xFF, 0}, packets.V31)
		require.NoError(t, err)
		require.Equal(t, &packets.ConnAck{}, p)
	})
}

// TestShortForms holds what MQTT 5 lets a sender leave out.
func TestShortForms(t *testing.T) {
	for hex, want := range map[string]packets.Packet{
		"40 02 0001":       &packets.PubAck{PacketID: 1},
		"40 03 0001 10":    &packets.PubAck{PacketID: 1, ReasonCode: packets.NoMatchingSubscribers},
		"40 04 0001 10 00": &packets.PubAck{PacketID: 1, ReasonCode: packets.NoMatchingSubscribers},
		"62 04 0001 00 00": &packets.PubRel{PacketID: 1},
		"E0 00":            &packets.Disconnect{},
		"E0 01 04":         &packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage},
		"E0 02 04 00":      &packets.Disconnect{ReasonCode: packets.DisconnectWithWillMessage},
		"F0 00":            &packets.Auth{},
		"30 06 0000 03 230001": &packets.Publish{
			Payload: []byte{}, Properties: packets.Properties{TopicAlias: packets.Some[uint16](1)},
		},
	} {
		t.Run(hex, func(t *testing.T) {
			p, err := decode(unhex(t, hex), packets.V5)
			require.NoError(t, err)
			require.Equal(t, want, p)
		})
	}
}

// TestBridgeBit holds that the bit by which bridges say that they are some comes and goes, in the versions that have it.
func TestBridgeBit(t *testing.T) {
	for _, v := range []packets.Version{packets.V31, packets.V311} {
		for _, bridge := range []bool{false, true} {
			b, err := packets.Append(nil, &packets.Connect{ProtocolVersion: v, Bridge: bridge, CleanStart: true, ClientID: "c"}, v)
			require.NoError(t, err)
			p, err := decode(b, v)
			require.NoError(t, err)
			require.Equal(t, bridge, p.(*packets.Connect).Bridge)     //nolint:forcetypeassert // it is one
			require.Equal(t, v, p.(*packets.Connect).ProtocolVersion) //nolint:forcetypeassert // it is one
		}
	}
	_, err := packets.Append(nil, &packets.Connect{ProtocolVersion: packets.V5, Bridge: true, ClientID: "c"}, packets.V5)
	require.Error(t, err)
}
