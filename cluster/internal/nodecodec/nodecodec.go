// Package nodecodec is the compact form of a shoal.Node, shared by gossip, the raft log and its snapshots.
//
// Everything is length-prefixed with uvarints: a version byte, the name, the incarnation, the server reference, and the
// attributes in the order of their names, so that equal nodes have equal bytes.
package nodecodec

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/shoalmq/shoal"
)

// version is the first byte of every encoded node.
const version = 1

// ErrMalformed is returned for bytes that are no node, or one of a version this program does not know.
var ErrMalformed = errors.New("malformed node description")

// maxAttributes is how many attributes Decode accepts, so that a length from outside does not decide an allocation.
const maxAttributes = 256

// Append appends n to b.
func Append(b []byte, n shoal.Node) []byte {
	b = append(b, version)
	b = AppendString(b, n.Name)
	b = binary.AppendUvarint(b, n.Incarnation)
	b = AppendString(b, n.ServerReference)
	b = binary.AppendUvarint(b, uint64(len(n.Attributes)))
	for _, k := range slices.Sorted(maps.Keys(n.Attributes)) {
		b = AppendString(b, k)
		b = AppendString(b, n.Attributes[k])
	}
	return b
}

// Decode reads a node from the front of b and returns what follows it.
func Decode(b []byte) (n shoal.Node, rest []byte, err error) {
	if len(b) == 0 || b[0] != version {
		return n, nil, ErrMalformed
	}
	b = b[1:]
	if n.Name, b, err = String(b); err != nil {
		return n, nil, err
	}
	if n.Incarnation, b, err = Uvarint(b); err != nil {
		return n, nil, err
	}
	if n.ServerReference, b, err = String(b); err != nil {
		return n, nil, err
	}
	count, b, err := Uvarint(b)
	if err != nil || count > maxAttributes {
		return n, nil, ErrMalformed
	}
	if count > 0 {
		n.Attributes = make(map[string]string, count)
	}
	for range count {
		var k, v string
		if k, b, err = String(b); err != nil {
			return n, nil, err
		}
		if v, b, err = String(b); err != nil {
			return n, nil, err
		}
		n.Attributes[k] = v
	}
	return n, b, nil
}

// AppendString appends a length-prefixed string.
func AppendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// String reads a length-prefixed string from the front of b.
func String(b []byte) (string, []byte, error) {
	s, rest, err := Bytes(b)
	return string(s), rest, err
}

// Bytes reads length-prefixed bytes from the front of b. They alias b.
func Bytes(b []byte) (val, rest []byte, err error) {
	n, b, err := Uvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, ErrMalformed
	}
	return b[:n:n], b[n:], nil
}

// Uvarint reads a uvarint from the front of b.
func Uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, ErrMalformed
	}
	return v, b[n:], nil
}
