package packets_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

// TestParseFixedHeader walks the table of section 2.2.3 of 3.1.1 and of section 1.5.5 of 5.0 [MQTT-1.5.5-1].
func TestParseFixedHeader(t *testing.T) {
	for _, c := range []struct {
		hex       string
		remaining int
	}{
		{"30 00", 0},
		{"30 7F", 127},
		{"30 80 01", 128},
		{"30 FF 7F", 16_383},
		{"30 80 80 01", 16_384},
		{"30 FF FF 7F", 2_097_151},
		{"30 80 80 80 01", 2_097_152},
		{"30 FF FF FF 7F", 268_435_455},
	} {
		b := unhex(t, c.hex)
		for n := range b {
			_, err := packets.ParseFixedHeader(b[:n])
			require.ErrorIs(t, err, packets.ErrIncomplete, "%d bytes of %s", n, c.hex)
		}
		want := packets.FixedHeader{Type: packets.TypePublish, Remaining: c.remaining, Size: len(b)}
		for _, behind := range []string{"", "\xFF\xFF\xFF\xFF"} {
			h, err := packets.ParseFixedHeader(append(b, behind...))
			require.NoError(t, err)
			require.Equal(t, want, h)
		}
	}
}

// TestParseFixedHeaderEarly holds that a stream which cannot be MQTT is refused by its first bytes.
func TestParseFixedHeaderEarly(t *testing.T) {
	for _, hex := range []string{"00", "36", "38", "60", "80", "A0", "F1", "C0 80 80 80 80"} {
		_, err := packets.ParseFixedHeader(unhex(t, hex))
		var typed *packets.Error
		require.ErrorAs(t, err, &typed, hex)
	}
}
