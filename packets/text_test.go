package packets_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestText holds what a string may contain, although it looks odd.
func TestText(t *testing.T) {
	for _, topic := range []string{
		"\uFEFFa", // a byte order mark is a character and is kept [MQTT-1.5.4-3]
		"A𪛔",      // the example of section 1.5.4
		"\uFFFF\U0010FFFF",
		"\u0001\u007F\u009F", // control characters are discouraged, not forbidden
		"/", " ", "$SYS/x",
	} {
		b, err := (&packets.Publish{TopicName: topic}).Append(nil, packets.V311)
		require.NoError(t, err)
		p, err := decode(b, packets.V311)
		require.NoError(t, err)
		require.Equal(t, topic, p.(*packets.Publish).TopicName)
	}
	b, err := (&packets.Publish{TopicName: "A𪛔"}).Append(nil, packets.V311)
	require.NoError(t, err)
	require.Equal(t, unhex(t, "30 07 0005 41 F0AA9B94"), b)
}

// TestTextEverywhere puts each kind of character at each place of topics of each length, since text is looked at
// several bytes at a time. It holds both ways to [MQTT-1.5.4-1], [MQTT-1.5.4-2] and [MQTT-3.3.2-2].
func TestTextEverywhere(t *testing.T) {
	plain := "abcdefghijklmnopqrstuvwxyz"
	for n := 1; n <= len(plain); n++ {
		for at := range n {
			for _, c := range []string{"\x00", "+", "#", "*", ",", "$", "\x01", "\x7f", "é", "𪛔", "\x80", "\xed\xa0\x80", "\xc0\xab"} {
				topic := plain[:at] + c + plain[at+1:n]
				var want error
				switch {
				case !utf8.ValidString(topic) || strings.Contains(topic, "\x00"):
					want = &packets.Error{Code: packets.MalformedPacket}
				case strings.ContainsAny(topic, "+#"):
					want = &packets.Error{Code: packets.TopicNameInvalid}
				}
				wire := append([]byte{0x30, byte(2 + len(topic)), 0, byte(len(topic))}, topic...)
				_, err := decode(wire, packets.V311)
				b, appendErr := (&packets.Publish{TopicName: topic}).Append(nil, packets.V311)
				if want == nil {
					require.NoError(t, errors.Join(err, appendErr), "%q", topic)
					require.Equal(t, wire, b)
				} else {
					require.ErrorIs(t, err, want, "%q", topic)
					require.ErrorIs(t, appendErr, want, "%q", topic)
				}
			}
		}
	}
}
