package packets

// What parseVarint returns as size when there is no value.
const (
	varintIncomplete = -iota
	varintTooLong
	varintNotMinimal
)

// parseVarint reads a Variable Byte Integer (section 1.5.5) and returns its value and size in bytes.
func parseVarint(b []byte) (value uint32, size int) {
	for i := range min(len(b), 4) {
		value |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if b[i] == 0 && i > 0 {
				return 0, varintNotMinimal
			}
			return value, i + 1
		}
	}
	if len(b) < 4 {
		return 0, varintIncomplete
	}
	return 0, varintTooLong
}

// appendVarint appends v, which must not exceed MaxRemainingLength.
func appendVarint(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// sizeVarint returns the size of v in bytes.
func sizeVarint(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}
