package topics

import "errors"

// ErrInvalid is matched, with errors.Is, by every error of this package.
var ErrInvalid = errors.New("topics: invalid")

// What can be wrong with a TopicName or a TopicFilter. Each is an *Error.
var (
	// ErrEmpty: it has no character.
	ErrEmpty error = &Error{Problem: "empty", Clause: "MQTT-4.7.3-1"}
	// ErrNull: it contains U+0000.
	ErrNull error = &Error{Problem: "contains U+0000", Clause: "MQTT-4.7.3-2"}
	// ErrTooLong: it has more than MaxLength bytes.
	ErrTooLong error = &Error{Problem: "longer than 65,535 bytes", Clause: "MQTT-4.7.3-3"}
	// ErrNotUTF8: it is not well-formed UTF-8.
	ErrNotUTF8 error = &Error{Problem: "not well-formed UTF-8", Clause: "MQTT-1.5.4-1"}
	// ErrWildcard: a TopicName contains '+' or '#'.
	ErrWildcard error = &Error{Problem: "wildcard in a TopicName", Clause: "MQTT-4.7.0-1"}
	// ErrMultiLevel: a '#' shares its level or is not the last level.
	ErrMultiLevel error = &Error{Problem: "'#' is not alone in the last level", Clause: "MQTT-4.7.1-1"}
	// ErrSingleLevel: a '+' shares its level.
	ErrSingleLevel error = &Error{Problem: "'+' is not alone in its level", Clause: "MQTT-4.7.1-2"}
	// ErrShareName: the ShareName of a shared subscription is empty.
	ErrShareName error = &Error{Problem: "empty ShareName", Clause: "MQTT-4.8.2-1"}
	// ErrShareWildcard: the ShareName of a shared subscription contains '+' or '#'.
	ErrShareWildcard error = &Error{Problem: "wildcard in the ShareName", Clause: "MQTT-4.8.2-2"}
	// ErrShareFilter: a shared subscription has no TopicFilter after its ShareName.
	ErrShareFilter error = &Error{Problem: "no TopicFilter after the ShareName", Clause: "MQTT-4.8.2-2"}
)

// Error says what is wrong with a TopicName or TopicFilter. It does not repeat the text, which a peer may have chosen.
type Error struct {
	Problem string // in a few words
	Clause  string // the clause that forbids it, for example "MQTT-4.7.1-2"
}

// Error implements error.
func (e *Error) Error() string { return "topics: " + e.Problem + " [" + e.Clause + "]" }

// Is reports whether target is ErrInvalid, or the same problem.
func (e *Error) Is(target error) bool { return target == ErrInvalid }
