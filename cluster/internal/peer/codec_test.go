package peer

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// The short way writes and reads what the protobuf library does.
func TestFrameIsProtobuf(t *testing.T) {
	frames := []*peerpb.Frame{
		{},
		{First: 1},
		{First: 1 << 40, Batches: [][]byte{[]byte("a"), {}, make([]byte, 1000)}},
		{Hello: &peerpb.Hello{Version: 1, From: "a", To: "b", Boot: 1 << 63, Link: 2, First: 3}},
	}
	c := newCodec()
	for _, f := range frames {
		data, err := c.Marshal(f)
		require.NoError(t, err)
		plain := data.Materialize()
		var viaLibrary peerpb.Frame
		require.NoError(t, proto.Unmarshal(plain, &viaLibrary))
		require.True(t, proto.Equal(f, &viaLibrary))
		var back peerpb.Frame
		require.NoError(t, c.Unmarshal(data, &back))
		require.True(t, proto.Equal(f, &back))
		data.Free()
	}
}

// A later version may add fields.
func TestFrameSkipsUnknownFields(t *testing.T) {
	raw := []byte{4 << 3, 150, 1, tagFirst, 7, 5<<3 | 2, 3, 1, 2, 3, 6<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 7<<3 | 5, 1, 2, 3, 4, tagBatches, 1, 'x'}
	var f peerpb.Frame
	require.NoError(t, newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &f))
	require.EqualValues(t, 7, f.First)
	require.Equal(t, [][]byte{[]byte("x")}, f.Batches)
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{tagFirst, 1, tagBatches, 2, 'a', 'b'})
	f.Add([]byte{tagHello, 3, 8, 1, 32})
	f.Add([]byte{tagBatches, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got peerpb.Frame
		err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &got)
		if err != nil {
			return
		}
		data, err := newCodec().Marshal(&got)
		require.NoError(t, err)
		defer data.Free()
		var again peerpb.Frame
		require.NoError(t, newCodec().Unmarshal(data, &again))
		require.Equal(t, got.First, again.First)
		require.Len(t, again.Batches, len(got.Batches))
	})
}
