package packets_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shoalmq/shoal/packets"
)

// FuzzDecode holds what must be true of any bytes: Decode does not panic, its errors are typed, and what it accepts
// can be written and read again as the same packet.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens {
		f.Add(byte(g.version), g.bytes(f))
	}
	for _, m := range malformed {
		f.Add(byte(m.version), unhex(f, m.hex))
	}
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		v := versions[int(version)%len(versions)]
		p, err := decode(b, v)
		if err != nil {
			var typed *packets.Error
			if !errors.Is(err, packets.ErrIncomplete) {
				require.ErrorAs(t, err, &typed)
				require.True(t, typed.Code.IsError())
				require.NotEmpty(t, typed.Problem)
				require.NotEmpty(t, typed.Clause)
			}
			return
		}
		if c, ok := p.(*packets.Connect); ok {
			v = c.ProtocolVersion
		}
		again, err := p.Append(nil, v)
		require.NoError(t, err)
		got, err := decode(again, v)
		require.NoError(t, err)
		require.Equal(t, p, got)
		if publish, ok := p.(*packets.Publish); ok {
			require.Equal(t, publish, publish.Clone())
			require.Len(t, again, publish.Size(v))
		}
	})
}

// FuzzEncode is TestRoundTrip with packets that the fuzzer chooses. Run it with -fuzzminimizetime=10x: what an input
// covers is not the same every time, so that making it smaller leads nowhere and takes long.
func FuzzEncode(f *testing.F) {
	for seed := range uint64(16) {
		b := make([]byte, 2048)
		for i := range len(b) / 8 {
			seed = seed*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(b[8*i:], seed)
		}
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(roundTrip))
}

// FuzzParseFixedHeader holds that the header is parsed alike however much of the stream follows, and not at all before
// it is complete.
func FuzzParseFixedHeader(f *testing.F) {
	f.Add([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0x00})
	f.Add([]byte{0x30, 0x80, 0x00})
	f.Add([]byte{0xC0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := packets.ParseFixedHeader(b)
		if err != nil {
			return
		}
		require.LessOrEqual(t, h.Size, len(b))
		require.LessOrEqual(t, h.Remaining, packets.MaxRemainingLength)
		exact, err := packets.ParseFixedHeader(b[:h.Size])
		require.NoError(t, err)
		require.Equal(t, h, exact)
		_, err = packets.ParseFixedHeader(b[:h.Size-1])
		require.ErrorIs(t, err, packets.ErrIncomplete)
	})
}
