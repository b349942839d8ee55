package packets

import "unsafe"

// alias returns a string that shares b's memory. This is the only use of package unsafe here. A string must never
// change, so whoever keeps one says how long b stays as it is: Publish.Decode until the body is reused, Publish.Clone
// for ever, since nobody else holds the memory. The other packets only look at it and keep a copy.
func alias(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
