package packets_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/shoalmq/shoal/packets"
)

func TestReadStream(t *testing.T) {
	var stream []byte
	want := []packets.Packet{
		&packets.Connect{ProtocolVersion: packets.V5, ClientID: "c"},
		&packets.Publish{TopicName: "a", Payload: bytes.Repeat([]byte("x"), 5000)},
		&packets.PingReq{},
	}
	for _, p := range want {
		var err error
		stream, err = packets.Append(stream, p, packets.V5)
		require.NoError(t, err)
	}
	r := iotest.OneByteReader(bytes.NewReader(stream))
	for _, p := range want {
		got, err := packets.Read(r, packets.V5, 0)
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	_, err := packets.Read(r, packets.V5, 0)
	require.Equal(t, io.EOF, err)
}

func TestReadErrors(t *testing.T) {
	for _, b := range []string{"\x30", "\x30\x80", "\x30\x04", "\x30\x04\x00\x01a"} {
		_, err := packets.Read(bytes.NewReader([]byte(b)), packets.V5, 0)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%q", b)
	}
	broken := errors.New("broken")
	_, err := packets.Read(iotest.ErrReader(broken), packets.V5, 0)
	require.ErrorIs(t, err, broken)
	_, err = packets.Read(bytes.NewReader([]byte("\x00\x00")), packets.V5, 0)
	require.ErrorIs(t, err, packets.ErrMalformed)
	_, err = packets.Read(bytes.NewReader([]byte("\xC0\x01\x00")), packets.V5, 0)
	require.ErrorIs(t, err, packets.ErrMalformed)
}

// TestReadLimit holds that a packet of exactly limit bytes passes, and that a larger one is refused unread.
func TestReadLimit(t *testing.T) {
	b, err := (&packets.Publish{TopicName: "a", Payload: make([]byte, 200)}).Append(nil, packets.V311)
	require.NoError(t, err)
	_, err = packets.Read(bytes.NewReader(b), packets.V311, len(b))
	require.NoError(t, err)
	r := bytes.NewReader(b)
	_, err = packets.Read(r, packets.V311, len(b)-1)
	require.ErrorIs(t, err, &packets.Error{Code: packets.PacketTooLarge})
	require.ErrorContains(t, err, "the packet has 206 bytes, the limit is 205")
	require.Equal(t, len(b)-3, r.Len())
}

// TestReadBelievesNoLength announces 256 MB and sends two bytes: that must not cost 256 MB.
func TestReadBelievesNoLength(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := packets.Read(bytes.NewReader([]byte("\x30\xFF\xFF\xFF\x7F\x00\x01")), packets.V5, 0)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}
