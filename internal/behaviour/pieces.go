package behaviour

import (
	"encoding/binary"

	"github.com/shoalmq/shoal/packets"
)

// Packets put together by hand, so that what is wrong with them can be chosen. A packet is its first byte and pieces: bytes, raw
// strings, and these.
type (
	text  string // with its length in front
	u16   uint16
	props string // with its length in front; left out in MQTT 3
)

// rawPacket returns the bytes of a packet whose Remaining Length is right.
func rawPacket(v packets.Version, first byte, pieces ...any) []byte {
	body := rawBody(v, pieces...)
	b := append([]byte{first}, varint(len(body))...)
	return append(b, body...)
}

func rawBody(v packets.Version, pieces ...any) (b []byte) {
	for _, p := range pieces {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case byte:
			b = append(b, p)
		case u16:
			b = binary.BigEndian.AppendUint16(b, uint16(p))
		case text:
			b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
			b = append(b, p...)
		case string:
			b = append(b, p...)
		case props:
			if v == packets.V5 {
				b = append(append(b, varint(len(p))...), p...)
			}
		default:
			panic(p)
		}
	}
	return b
}

// varint returns a Variable Byte Integer.
func varint(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// head returns the beginning of a CONNECT, up to the properties.
func head(v packets.Version, flags byte) []any {
	name := text("MQTT")
	if v == packets.V31 {
		name = "MQIsdp"
	}
	return []any{name, byte(v), flags, u16(0)}
}

// rawConnect returns a CONNECT with these flags, properties and payload.
func rawConnect(v packets.Version, flags byte, properties props, payload ...any) []byte {
	return rawPacket(v, 0x10, append(append(head(v, flags), properties), payload...)...)
}
