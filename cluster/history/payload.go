package history

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
)

// MessageName is the name of the number-th message of a client.
func MessageName(clientID string, number int) string { return clientID + "/" + strconv.Itoa(number) }

// Payload returns the payload of a message: its name, a checksum, and padding up to size bytes if that is more. name must not contain
// a line feed.
func Payload(name string, size int) []byte {
	const sum = 10 // eight digits and two line feeds
	b := make([]byte, 0, max(size, len(name)+sum))
	b = append(append(b, name...), '\n')
	at := len(b)
	b = append(b, "00000000\n"...)
	for i := 0; len(b) < size; i++ {
		b = append(b, 'a'+byte((i+at)%26))
	}
	copy(b[at:], fmt.Sprintf("%08x", checksum(b, at)))
	return b
}

// checksum is that of everything but itself, which stands at at.
func checksum(b []byte, at int) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:at]), crc32.IEEETable, b[at+8:])
}

// ParsePayload returns the name in a payload made by Payload, or what is wrong with it.
func ParsePayload(b []byte) (name, corrupt string) {
	at := bytes.IndexByte(b, '\n') + 1
	if at == 0 || len(b) < at+9 || b[at+8] != '\n' {
		return "", "no name and checksum in it: " + beginning(b)
	}
	name = string(b[:at-1])
	want, err := strconv.ParseUint(string(b[at:at+8]), 16, 32)
	if err != nil {
		return name, "no checksum in it: " + beginning(b)
	}
	if want != uint64(checksum(b, at)) {
		return name, "the checksum does not match: " + beginning(b)
	}
	return name, ""
}

func beginning(b []byte) string {
	const most = 40
	if len(b) > most {
		return fmt.Sprintf("%q… (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}
