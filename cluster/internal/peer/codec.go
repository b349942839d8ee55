package peer

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/grpc/encoding"
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/shoalmq/shoal/cluster/internal/peer/peerpb"
)

// codec is gRPC's proto codec, except that frames of batches take a short way: one copy when sending, one when
// receiving, and no reflection.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(encproto.Name)} }

// Field numbers and wire types of peerpb.Frame.
const (
	tagHello   = 1<<3 | 2
	tagFirst   = 2 << 3
	tagBatches = 3<<3 | 2
)

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*peerpb.Frame)
	if !ok || f.Hello != nil {
		return c.CodecV2.Marshal(v)
	}
	size := 1 + protowire.SizeVarint(f.First)
	for _, b := range f.Batches {
		size += 1 + protowire.SizeBytes(len(b))
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	out := (*buf)[:0]
	out = append(out, tagFirst)
	out = binary.AppendUvarint(out, f.First)
	for _, b := range f.Batches {
		out = append(out, tagBatches)
		out = binary.AppendUvarint(out, uint64(len(b)))
		out = append(out, b...)
	}
	*buf = out
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*peerpb.Frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	r := data.Reader()
	defer r.Close()
	return readFrame(r, f)
}

// frameReader is what readFrame needs of mem.Reader.
type frameReader interface {
	io.Reader
	io.ByteReader
	Remaining() int
}

// readFrame decodes a frame. Every batch gets memory of its own.
func readFrame(r frameReader, f *peerpb.Frame) error {
	f.Reset()
	for r.Remaining() > 0 {
		tag, err := binary.ReadUvarint(r)
		if err != nil {
			return malformed(err)
		}
		switch tag {
		case tagFirst:
			if f.First, err = binary.ReadUvarint(r); err != nil {
				return malformed(err)
			}
		case tagBatches:
			b, err := readBytes(r)
			if err != nil {
				return err
			}
			f.Batches = append(f.Batches, b)
		case tagHello:
			b, err := readBytes(r)
			if err != nil {
				return err
			}
			f.Hello = new(peerpb.Hello)
			if err := proto.Unmarshal(b, f.Hello); err != nil {
				return malformed(err)
			}
		default:
			if err := skipField(r, tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// skipField passes over a field that a later version has added.
func skipField(r frameReader, tag uint64) error {
	var n uint64
	var err error
	switch protowire.Type(tag & 7) {
	case protowire.VarintType:
		_, err = binary.ReadUvarint(r)
	case protowire.Fixed32Type:
		n = 4
	case protowire.Fixed64Type:
		n = 8
	case protowire.BytesType:
		n, err = binary.ReadUvarint(r)
	default:
		err = fmt.Errorf("wire type %d", tag&7)
	}
	if err == nil && n > uint64(r.Remaining()) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, r, int64(n))
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

func readBytes(r frameReader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, malformed(err)
	}
	if n > uint64(r.Remaining()) {
		return nil, malformed(io.ErrUnexpectedEOF)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, malformed(err)
	}
	return b, nil
}

func malformed(err error) error { return fmt.Errorf("peer: malformed frame: %w", err) }
