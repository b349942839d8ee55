// Package codec has the primitives of the binary records that the broker stores and that nodes send each other:
// unsigned varints, and strings and byte slices behind their length. Every record begins with a version byte of its own;
// that is its author's business.
package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"
)

// ErrMalformed says that a record ends early, or has a value out of range.
var ErrMalformed = errors.New("malformed record")

// AppendUint appends an unsigned varint.
func AppendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendString appends a string behind its length.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBytes appends a slice behind its length.
func AppendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// AppendFixed64 appends eight bytes, which can be overwritten in place.
func AppendFixed64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendBool appends a byte.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Reader reads what the Append functions wrote. After the first error every method returns zero values; see Err.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b. Slices that Bytes returns refer to b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns ErrMalformed if anything read was not there.
func (r *Reader) Err() error { return r.err }

// More reports whether there is more to read.
func (r *Reader) More() bool { return r.err == nil && len(r.b) > 0 }

// Rest returns what has not been read.
func (r *Reader) Rest() []byte { return r.b }

// Fail makes the record malformed for a reason that the caller has found.
func (r *Reader) Fail() { r.fail() }

func (r *Reader) fail() { r.b, r.err = nil, ErrMalformed }

// Fixed64 reads eight bytes that AppendFixed64 wrote.
func (r *Reader) Fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// Uint reads an unsigned varint.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Uint32 reads an unsigned varint of at most 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Uint()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

// Count reads a number of things that follow, each of which takes at least a byte, so that a damaged record cannot ask
// for more memory than it has bytes.
func (r *Reader) Count() int {
	v := r.Uint()
	if v > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(v)
}

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// Bool reads a byte that is 0 or 1.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.fail()
	}
	return v == 1
}

// Bytes reads a slice, which refers to the record.
func (r *Reader) Bytes() []byte {
	n := r.Count()
	if r.err != nil {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// StringRef reads a string that refers to the record: it is valid as long as the record is not changed.
func (r *Reader) StringRef() string {
	b := r.Bytes()
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// String reads a string, copied.
func (r *Reader) String() string { return string(r.Bytes()) }
