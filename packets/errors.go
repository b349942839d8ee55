package packets

import (
	"errors"
	"strings"
)

// ErrIncomplete is returned by ParseFixedHeader when the header goes on behind the bytes given.
var ErrIncomplete = errors.New("packets: incomplete fixed header")

// ErrMalformed and ErrProtocol match, with errors.Is, every Error whose Code is MalformedPacket or ProtocolError.
var (
	ErrMalformed error = &Error{Code: MalformedPacket}
	ErrProtocol  error = &Error{Code: ProtocolError}
)

// Error says why a packet was refused.
type Error struct {
	// Code is the reason code to answer with. In MQTT 3 it is for the log: there the connection is just closed, or a
	// CONNACK carries what ReasonCode.ConnAckV3 makes of it.
	Code ReasonCode
	// Packet is the type of the packet, 0 if that is not known.
	Packet Type
	// Field is the specification's name of the field, such as "Will QoS".
	Field string
	// Problem says what is wrong with the field, such as "must not be 3".
	Problem string
	// Clause is the statement of the specification that was broken, such as "MQTT-3.1.2-12", or, where the rule has
	// no number, its section.
	Clause string
	// Err is the cause, if there is one.
	Err error
}

// Error returns, for example, "CONNECT: Will QoS: must not be 3 [MQTT-3.1.2-12]".
func (e *Error) Error() string {
	var parts []string
	if e.Packet != 0 {
		parts = append(parts, e.Packet.String())
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	if e.Problem != "" {
		parts = append(parts, e.Problem)
	} else {
		parts = append(parts, e.Code.String())
	}
	s := strings.Join(parts, ": ")
	if e.Clause != "" {
		s += " [" + e.Clause + "]"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error that says nothing but the same Code, as ErrMalformed does.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Packet == 0 && t.Field == "" && t.Problem == "" && t.Clause == "" && t.Err == nil
}

// fault collects the first error of decoding or checking one packet, so that the code which does it reads straight
// through.
type fault struct {
	packet  Type
	version Version
	err     *Error
}

func (f *fault) fail(code ReasonCode, field, problem, clause string) {
	if f.err == nil {
		f.err = &Error{Code: code, Packet: f.packet, Field: field, Problem: problem, Clause: clause}
	}
}

// clause picks the number that a rule has in the version spoken.
func (f *fault) clause(v3, v5 string) string {
	if f.version == V5 {
		return v5
	}
	return v3
}

// result keeps a nil *Error from becoming an error that is not nil.
func (f *fault) result() error {
	if f.err == nil {
		return nil
	}
	return f.err
}
