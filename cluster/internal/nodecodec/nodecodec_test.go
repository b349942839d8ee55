package nodecodec

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal"
)

func TestRoundTrip(t *testing.T) {
	for _, n := range []shoal.Node{
		{},
		{Name: "c01", Incarnation: 1 << 63, ServerReference: "host:1883"},
		{Name: "c01", Attributes: map[string]string{"raft": "10.0.0.1:8946", "peer": "10.0.0.1:9946", "": ""}},
	} {
		b := Append([]byte("before"), n)
		got, rest, err := Decode(append(b[6:], "after"...))
		require.NoError(t, err)
		require.Equal(t, n, got)
		require.Equal(t, "after", string(rest))
	}
}

func TestEqualNodesHaveEqualBytes(t *testing.T) {
	n := shoal.Node{Name: "c", Attributes: map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}}
	first := Append(nil, n)
	for range 20 {
		require.Equal(t, first, Append(nil, n))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, shoal.Node{Name: "c01", Incarnation: 7, ServerReference: "x:1", Attributes: map[string]string{"k": "v"}}))
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _, err := Decode(b)
		if err != nil {
			return
		}
		again, rest, err := Decode(Append(nil, n))
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Len(t, again.Attributes, len(n.Attributes))
		require.Equal(t, n.Name, again.Name)
	})
}
