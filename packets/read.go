package packets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Read reads one packet from r and nothing behind it. v is the version the connection speaks; for a CONNECT it is
// taken from the packet. limit is the greatest size of a packet in bytes, fixed header included, 0 for what MQTT
// allows; a packet beyond it is refused with PacketTooLarge before its body is read. Memory grows with what arrives,
// not with the length that is announced.
//
// Errors are an *Error; io.EOF if there is no packet any more; io.ErrUnexpectedEOF, wrapped, if it ends inside of
// one; or another error of r, wrapped.
//
// Read is a convenience for clients and tests. It reads the fixed header byte by byte, so r should be buffered.
func Read(r io.Reader, v Version, limit int) (Packet, error) {
	h, err := readFixedHeader(r, v)
	if err != nil {
		return nil, err
	}
	if limit > 0 && h.Size+h.Remaining > limit {
		return nil, &Error{
			Code: PacketTooLarge, Packet: h.Type, Field: "Remaining Length",
			Problem: fmt.Sprintf("the packet has %d bytes, the limit is %d", h.Size+h.Remaining, limit),
			Clause:  "MQTT-3.2.2-15",
		}
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(h.Remaining)); err != nil {
		return nil, fmt.Errorf("packets: reading %v: %w", h.Type, unexpected(err))
	}
	p := New(h.Type)
	if err := p.Decode(h, body.Bytes(), v); err != nil {
		return nil, err
	}
	return p, nil
}

func readFixedHeader(r io.Reader, v Version) (FixedHeader, error) {
	var b [5]byte
	for n := range b {
		if _, err := io.ReadFull(r, b[n:n+1]); err != nil {
			if n == 0 && errors.Is(err, io.EOF) {
				return FixedHeader{}, io.EOF
			}
			return FixedHeader{}, fmt.Errorf("packets: reading the fixed header: %w", unexpected(err))
		}
		if h, err := parseFixedHeader(b[:n+1], v); !errors.Is(err, ErrIncomplete) {
			return h, err
		}
	}
	return FixedHeader{}, ErrIncomplete // not reached: five bytes are always a header or an error
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
