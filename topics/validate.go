package topics

import (
	"strings"
	"unicode/utf8"
)

// MaxLength is the greatest length of a TopicName or TopicFilter, in bytes [MQTT-4.7.3-3].
const MaxLength = 65535

// ValidateName reports what is wrong with a TopicName, or nil. It does not allocate.
//
// A TopicName has 1 to [MaxLength] bytes of well-formed UTF-8 without U+0000 and without '+' and '#'. A name that
// begins with '$' is valid: whether a client may publish to it is not for this package to say.
func ValidateName(name string) error {
	if err := validateText(name); err != nil {
		return err
	}
	if HasWildcard(name) {
		return ErrWildcard
	}
	return nil
}

// ValidateFilter reports what is wrong with a TopicFilter, or nil. It does not allocate.
//
// The rules are those of a name, except that '#' may be the whole last level and '+' any whole level. A filter that
// begins with "$share/" must be a valid shared subscription; see [ParseShare].
func ValidateFilter(filter string) error {
	if err := validateText(filter); err != nil {
		return err
	}
	s, ok, err := ParseShare(filter)
	if err != nil {
		return err
	}
	if ok {
		filter = s.Filter
	}
	return validateWildcards(filter)
}

func validateText(s string) error {
	switch {
	case s == "":
		return ErrEmpty
	case len(s) > MaxLength:
		return ErrTooLong
	case strings.IndexByte(s, 0) >= 0:
		return ErrNull
	case !utf8.ValidString(s):
		return ErrNotUTF8
	}
	return nil
}

func validateWildcards(filter string) error {
	for pos := 0; pos <= len(filter); {
		end := levelEnd(filter, pos)
		switch level := filter[pos:end]; {
		case strings.IndexByte(level, '#') >= 0:
			if level != "#" || end != len(filter) {
				return ErrMultiLevel // [MQTT-4.7.1-1]
			}
		case strings.IndexByte(level, '+') >= 0:
			if level != "+" {
				return ErrSingleLevel // [MQTT-4.7.1-2]
			}
		}
		pos = end + 1
	}
	return nil
}
