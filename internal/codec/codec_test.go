package codec

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	var b []byte
	for _, v := range []uint64{0, 1, 127, 128, math.MaxUint32, math.MaxUint64} {
		b = AppendUint(b, v)
	}
	b = AppendUint(b, math.MaxUint32)
	b = AppendString(b, "")
	b = AppendString(b, "text")
	b = AppendBytes(b, []byte{1, 2})
	b = AppendString(b, "ref")
	b = AppendBool(AppendBool(b, true), false)
	b = AppendUint(b, 3)
	b = append(b, 7, 8, 9)
	r := NewReader(b)
	for _, v := range []uint64{0, 1, 127, 128, math.MaxUint32, math.MaxUint64} {
		require.Equal(t, v, r.Uint())
	}
	require.EqualValues(t, math.MaxUint32, r.Uint32())
	require.Empty(t, r.String())
	require.Equal(t, "text", r.String())
	require.Equal(t, []byte{1, 2}, r.Bytes())
	require.Equal(t, "ref", r.StringRef())
	require.True(t, r.Bool())
	require.False(t, r.Bool())
	require.Equal(t, 3, r.Count())
	require.EqualValues(t, 7, r.Byte())
	require.True(t, r.More())
	require.Equal(t, []byte{8, 9}, r.Rest())
	require.NoError(t, r.Err())
}

// TestMalformed holds that the first error stays, and that everything behind it is zero.
func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		read func(r *Reader) any
	}{
		"empty":          {nil, func(r *Reader) any { return r.Byte() }},
		"varint cut":     {[]byte{0x80}, func(r *Reader) any { return r.Uint() }},
		"varint long":    {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, func(r *Reader) any { return r.Uint() }},
		"over 32 bits":   {AppendUint(nil, 1<<32), func(r *Reader) any { return r.Uint32() }},
		"string cut":     {[]byte{5, 'a'}, func(r *Reader) any { return r.String() }},
		"bytes huge":     {AppendUint(nil, math.MaxUint64), func(r *Reader) any { return len(r.Bytes()) }},
		"reference cut":  {[]byte{2, 'a'}, func(r *Reader) any { return r.StringRef() }},
		"count too many": {[]byte{3, 1, 1}, func(r *Reader) any { return r.Count() }},
		"no bool":        {[]byte{2}, func(r *Reader) any { return r.Bool() }},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(c.b)
			require.Zero(t, c.read(r))
			require.ErrorIs(t, r.Err(), ErrMalformed)
			require.False(t, r.More())
			require.Zero(t, r.Uint())
			require.Empty(t, r.String())
			require.Zero(t, r.Byte())
			require.ErrorIs(t, r.Err(), ErrMalformed)
		})
	}
}

// TestBytesEnd holds that appending to what Bytes returned does not write into the record.
func TestBytesEnd(t *testing.T) {
	b := append(AppendBytes(nil, []byte("ab")), 'c')
	got := NewReader(b).Bytes()
	_ = append(got, 'x')
	require.Equal(t, byte('c'), b[3])
}

// FuzzReader reads anything in any order: nothing panics, and nothing is longer than the record.
func FuzzReader(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, []byte{0, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{4, 5})
	f.Add(AppendString(AppendUint(nil, 300), "text"), []byte{0, 3})
	f.Fuzz(func(t *testing.T, b, how []byte) {
		r := NewReader(b)
		for _, h := range how {
			switch h % 7 {
			case 0:
				r.Uint()
			case 1:
				r.Byte()
			case 2:
				r.Bool()
			case 3:
				require.LessOrEqual(t, len(r.String()), len(b))
			case 4:
				require.LessOrEqual(t, len(r.Bytes()), len(b))
			case 5:
				require.LessOrEqual(t, r.Count(), len(b))
			case 6:
				require.LessOrEqual(t, len(r.StringRef()), len(b))
			}
			require.LessOrEqual(t, len(r.Rest()), len(b))
		}
	})
}
