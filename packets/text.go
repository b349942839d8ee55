package packets

import (
	"strings"
	"unicode/utf8"
)

// textFlaw is what can be wrong with a UTF-8 Encoded String.
type textFlaw byte

const (
	textOK textFlaw = iota
	textIllFormed
	textNull
)

// scanText tells whether s may be a UTF-8 Encoded String (section 1.5.4) and whether a wildcard character is in it,
// which a Topic Name must not have. It reads s once, as a rule eight bytes at a time.
func scanText(s string) (flaw textFlaw, wildcard bool) {
	if len(s) >= 8 {
		special := isSpecial(load(s, len(s)-8)) // the last eight bytes, which may overlap others
		for i := 0; i+8 < len(s); i += 8 {
			special |= isSpecial(load(s, i))
		}
		if special == 0 {
			return textOK, false
		}
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '+' || c == '#':
			wildcard = true
		case c == 0:
			return textNull, wildcard
		case c >= utf8.RuneSelf:
			return scanWideText(s[i:], wildcard)
		}
	}
	return textOK, wildcard
}

// load returns eight bytes of s; the compiler makes one instruction of it.
func load(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// isSpecial is not 0 if one of eight bytes is 0, a wildcard character or not ASCII.
func isSpecial(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	plus, hash := x^'+'*ones, x^'#'*ones
	// v-ones borrows into the top bit of a byte that is 0; &^v takes back the bytes whose top bit was set before.
	return ((x-ones)&^x | (plus-ones)&^plus | (hash-ones)&^hash | x) & tops
}

// scanWideText goes on where the first character beyond ASCII is.
func scanWideText(s string, wildcard bool) (textFlaw, bool) {
	switch {
	case !utf8.ValidString(s): // surrogates and overlong forms included
		return textIllFormed, wildcard
	case strings.IndexByte(s, 0) >= 0:
		return textNull, wildcard
	}
	return textOK, wildcard || strings.ContainsAny(s, "+#")
}

func (f *fault) failText(field string, flaw textFlaw) {
	switch flaw {
	case textIllFormed:
		f.fail(MalformedPacket, field, "is not well-formed UTF-8", f.clause("MQTT-1.5.3-1", "MQTT-1.5.4-1"))
	case textNull:
		f.fail(MalformedPacket, field, "contains U+0000", f.clause("MQTT-1.5.3-2", "MQTT-1.5.4-2"))
	}
}

// checkLength holds a string or binary data that is to be written to the two bytes its length has.
func (f *fault) checkLength(field string, n int) {
	if n > maxLength {
		f.fail(MalformedPacket, field, "exceeds 65,535 bytes", f.clause("MQTT-1.5.3-1", "section 1.5.4"))
	}
}

// checkText holds a string that is to be written to what a decoder accepts.
func (f *fault) checkText(field, s string) {
	f.checkLength(field, len(s))
	if flaw, _ := scanText(s); flaw != textOK {
		f.failText(field, flaw)
	}
}

// checkTopicName is checkText for Topic Names. It leaves an empty one to failEmptyTopic.
func (f *fault) checkTopicName(field, s string) {
	f.checkLength(field, len(s))
	flaw, wildcard := scanText(s)
	if flaw != textOK {
		f.failText(field, flaw)
	} else if wildcard {
		f.failWildcard(field)
	}
}

func (f *fault) failWildcard(field string) {
	switch field {
	case fieldTopicName:
		f.fail(TopicNameInvalid, field, "must not contain wildcard characters", "MQTT-3.3.2-2")
	case fieldWillTopic:
		f.fail(TopicNameInvalid, field, "must not contain wildcard characters",
			f.clause("MQTT-4.7.3-1", "MQTT-4.7.0-1"))
	default:
		f.fail(ProtocolError, field, "must not contain wildcard characters", "MQTT-3.3.2-14")
	}
}

func (f *fault) failEmpty(field string) {
	f.fail(ProtocolError, field, "must not be empty", f.clause("MQTT-4.7.0-1", "MQTT-4.7.3-1"))
}
