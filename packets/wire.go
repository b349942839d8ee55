package packets

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// maxLength is the greatest length of a string or of binary data, in bytes.
const maxLength = 65_535

// The names of fields that several packets have, or several rules speak of.
const (
	fieldTopicName        = "Topic Name"
	fieldTopicFilter      = "Topic Filter"
	fieldWillTopic        = "Will Topic"
	fieldPacketIdentifier = "Packet Identifier"
	fieldReasonCode       = "Reason Code"
	fieldPropertyLength   = "Property Length"
)

// reader walks through the body of one packet. After the first fault every method returns zero values, so that only
// loops must look at err.
type reader struct {
	fault
	b       []byte // what is not read yet
	aliased bool   // strings and slices share b's memory
}

// newReader also holds the fixed header to what Decode was called with.
func newReader(h FixedHeader, body []byte, v Version, t Type) reader {
	r := reader{fault: fault{packet: t, version: v}, b: body}
	if h.Type != t {
		r.fail(MalformedPacket, "Packet Type", "is "+h.Type.String(), "MQTT-2.1.3-1")
	}
	if h.checkFlags(&r.fault); h.Remaining != len(body) {
		r.fail(MalformedPacket, "Remaining Length", "is not the length of the body", "section 2.1.4")
	}
	return r
}

// take returns the next n bytes, without room behind them.
func (r *reader) take(field string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.failShort(field)
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) failShort(field string) {
	r.fail(MalformedPacket, field, "the packet ends inside of it", r.clause("MQTT-4.8.0-1", "MQTT-4.13.1-1"))
}

func (r *reader) byte(field string) byte {
	if b := r.take(field, 1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16(field string) uint16 {
	if b := r.take(field, 2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(field string) uint32 {
	if b := r.take(field, 4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) varint(field string) uint32 {
	if r.err != nil {
		return 0
	}
	v, size := parseVarint(r.b)
	switch size {
	case varintIncomplete:
		r.failShort(field)
		return 0
	case varintTooLong:
		r.fail(MalformedPacket, field, "is longer than four bytes", "MQTT-1.5.5-1")
		return 0
	case varintNotMinimal:
		r.fail(MalformedPacket, field, "is not encoded in as few bytes as possible", "MQTT-1.5.5-1")
		return 0
	}
	r.b = r.b[size:]
	return v
}

// binary reads Binary Data (section 1.5.6). It returns nil only after a fault.
func (r *reader) binary(field string) []byte {
	b := r.take(field, int(r.uint16(field)))
	if r.aliased || b == nil {
		return b
	}
	return append(make([]byte, 0, len(b)), b...)
}

// text reads a UTF-8 Encoded String (section 1.5.4).
func (r *reader) text(field string) string {
	s := alias(r.take(field, int(r.uint16(field))))
	if flaw, _ := scanText(s); flaw != textOK {
		r.failText(field, flaw)
		return ""
	}
	return r.own(s)
}

// topicName is text for Topic Names. Whether an empty one is right is for the caller to say.
func (r *reader) topicName(field string) string {
	s := alias(r.take(field, int(r.uint16(field))))
	flaw, wildcard := scanText(s)
	if flaw != textOK {
		r.failText(field, flaw)
		return ""
	}
	if wildcard {
		r.failWildcard(field)
		return ""
	}
	return r.own(s)
}

// own returns what to keep of a string that shares the body's memory.
func (r *reader) own(s string) string {
	if r.aliased {
		return s
	}
	return strings.Clone(s)
}

// packetIdentifier reads a Packet Identifier, which is never 0.
func (r *reader) packetIdentifier() uint16 {
	id := r.uint16(fieldPacketIdentifier)
	r.checkPacketIdentifier(id)
	return id
}

func (f *fault) checkPacketIdentifier(id uint16) {
	if id == 0 {
		f.fail(ProtocolError, fieldPacketIdentifier, "must not be 0", f.clause("MQTT-2.3.1-1", "MQTT-2.2.1-3"))
	}
}

// end refuses what follows the last field and returns the result of the whole.
func (r *reader) end() error {
	if n := len(r.b); n > 0 && r.err == nil {
		r.fail(MalformedPacket, "Remaining Length", strconv.Itoa(n)+" bytes behind the last field",
			r.clause("MQTT-4.8.0-1", "MQTT-4.13.1-1"))
	}
	return r.result()
}

// appendText appends a string or binary data that was found to be short enough.
func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}
