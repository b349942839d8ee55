package topics

// Names are kept in the order of their levels: compared byte by byte, a slash being less than every other byte. A name
// is thus followed at once by everything below it ("a", "a/b", "a!"), which the plain order of bytes does not give.

// compareLevels returns -1, 0 or 1 as a is before, at or behind b in the order of levels.
func compareLevels[T string | []byte](a string, b T) int {
	n := min(len(a), len(b))
	i := 0
	for i+8 <= n && load64(a, i) == load64(b, i) {
		i += 8
	}
	for ; i < n; i++ {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		case a[i] < b[i]:
			return -1
		default:
			return 1
		}
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

// load64 returns the eight bytes of s from i on.
func load64[T string | []byte](s T, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
