package shoal

import (
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/packets"
)

// Sentinels that errors of this package, and of drivers, match with errors.Is.
var (
	// ErrClosed: the broker, or the part of it that was called, has been shut down.
	ErrClosed = errors.New("shoal: closed")
	// ErrNotStarted: the broker has not been started.
	ErrNotStarted = errors.New("shoal: not started")
	// ErrStarted: Start or Run was called a second time.
	ErrStarted = errors.New("shoal: already started")
	// ErrStorageClosed: Commit or Scan after Close.
	ErrStorageClosed = errors.New("shoal: storage is closed")
	// ErrNotReplicated: a command could not be handed to the cluster's agreed order.
	ErrNotReplicated = errors.New("shoal: not replicated")
	// ErrCommandTooLarge: a command is larger than the cluster's agreed order takes; it never will be taken. It comes together with ErrNotReplicated.
	ErrCommandTooLarge = errors.New("shoal: command too large")
	// ErrResultUnknown: a command was handed to the agreed order and applied, but this node learned of it from a snapshot, so that what it
	// returned is not known. It comes together with ErrNotReplicated.
	ErrResultUnknown = errors.New("shoal: applied with unknown result")
	// ErrNodeLost: the node that was to accept a message has been given up by the cluster.
	ErrNodeLost = errors.New("shoal: node lost")
	// ErrNotServing: this node holds no lease, because it cannot reach the majority of its cluster.
	ErrNotServing = errors.New("shoal: node is not serving: no lease from the cluster")
	// ErrQueueFull: a bounded queue had no room.
	ErrQueueFull = errors.New("shoal: queue full")
	// ErrTakenOver: a Subscription with a Name has lost its session to another node, or to another Subscription of that name. Subscribe again to
	// wait until the session is free.
	ErrTakenOver = errors.New("shoal: subscription taken over")
	// ErrSlowConsumer: a client did not take what was written to it.
	ErrSlowConsumer = errors.New("shoal: client reads too slowly")
)

// Error carries the reason code that a client is to be told. Authenticators, authorizers and interceptors return it
// to choose the code; any other error of theirs becomes the code that fits the place (see each interface).
type Error struct {
	ReasonCode packets.ReasonCode
	// Reason is the Reason String a v5 client gets, if it asked for such; say what to fix. It may be empty.
	Reason string
	// ServerReference tells a v5 client where to go instead ("host:port", several separated by spaces), in a CONNACK or DISCONNECT with Use
	// another server (0x9C) or Server moved (0x9D); with other codes it is not sent.
	ServerReference string
	// Err is what lies behind it, for the log; it is not sent. It may be nil.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Reason != "" && e.Err != nil:
		return fmt.Sprintf("%s (0x%02X): %s: %v", e.ReasonCode, byte(e.ReasonCode), e.Reason, e.Err)
	case e.Reason != "":
		return fmt.Sprintf("%s (0x%02X): %s", e.ReasonCode, byte(e.ReasonCode), e.Reason)
	case e.Err != nil:
		return fmt.Sprintf("%s (0x%02X): %v", e.ReasonCode, byte(e.ReasonCode), e.Err)
	}
	return fmt.Sprintf("%s (0x%02X)", e.ReasonCode, byte(e.ReasonCode))
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// ReasonCodeOf returns the reason code that err carries, however deeply wrapped, or otherwise. A code below 0x80 in
// an error is no refusal and becomes otherwise, too.
func ReasonCodeOf(err error, otherwise packets.ReasonCode) packets.ReasonCode {
	var e *Error
	if errors.As(err, &e) && e.ReasonCode.IsError() {
		return e.ReasonCode
	}
	var p *packets.Error
	if errors.As(err, &p) && p.Code.IsError() {
		return p.Code
	}
	return otherwise
}

// reasonStringOf returns what a v5 client may be told about err.
func reasonStringOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	var p *packets.Error
	if errors.As(err, &p) {
		return p.Error()
	}
	return ""
}

// referenceOf returns the Server Reference that a client is to be told with code about err.
func referenceOf(err error, code packets.ReasonCode) string {
	var e *Error
	if (code == packets.UseAnotherServer || code == packets.ServerMoved) && errors.As(err, &e) {
		return e.ServerReference
	}
	return ""
}
