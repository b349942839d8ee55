package programtest

import "encoding/binary"

// resetOf turns an IPv4 packet with a TCP segment into one that resets the connection, as its sender would. Other packets stay as they are.
func resetOf(b []byte) []byte {
	const tcp, reset, least = 6, 0x04, 20
	header := int(b[0]&0x0f) * 4
	if b[9] != tcp || header < least || len(b) < header+least {
		return b
	}
	b = b[:header+least]
	segment := b[header:]
	segment[12], segment[13] = least/4<<4, reset
	clear(segment[14:20]) // window, checksum, urgent pointer
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	clear(b[10:12])
	binary.BigEndian.PutUint16(b[10:], checksum(b[:header], 0))
	pseudo := uint32(tcp) + least
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(segment[16:], checksum(segment, pseudo))
	return b
}

// checksum is that of the Internet protocols, of an even number of bytes.
func checksum(b []byte, sum uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
