package packets

import (
	"encoding/binary"
	"fmt"
)

// reasonCodes reads the payload of a SUBACK or UNSUBACK.
func (r *reader) reasonCodes() []ReasonCode {
	b := r.take(fieldReasonCode, len(r.b))
	r.checkNotEmpty(len(b), fieldReasonCode, "MQTT-3.8.4-5", r.clauseOneReasonCodeEach())
	codes := make([]ReasonCode, len(b))
	for i := range b {
		codes[i] = ReasonCode(b[i])
		r.checkListedCode(codes[i])
	}
	return codes
}

func (f *fault) clauseOneReasonCodeEach() string {
	if f.packet == TypeUnsubAck {
		return "MQTT-3.11.3-2"
	}
	return "MQTT-3.8.4-6"
}

func (f *fault) checkListedCode(c ReasonCode) {
	if f.version == V5 {
		f.checkReasonCode(c)
	} else if c > GrantedQoS2 && c != UnspecifiedError {
		f.fail(ProtocolError, "Return Code", fmt.Sprintf("0x%02X is reserved", byte(c)), "section 3.9.3 of 3.1.1")
	}
}

// appendListAck appends a SUBACK, or an UNSUBACK of MQTT 5.
func appendListAck(dst []byte, t Type, v Version, id uint16, codes []ReasonCode, props *Properties) ([]byte, error) {
	f := fault{packet: t, version: v}
	f.checkPacketIdentifier(id)
	f.checkNotEmpty(len(codes), fieldReasonCode, "MQTT-3.8.4-5", f.clauseOneReasonCodeEach())
	for _, c := range codes {
		f.checkListedCode(codeOnWire(c, v))
	}
	size, remaining := 0, 2+len(codes)
	if v == V5 {
		size = props.check(&f, place(t))
		remaining += withLength(size)
	}
	b := appendFixedHeader(dst, &f, t, 0, remaining)
	if f.err != nil {
		return dst, f.err
	}
	b = binary.BigEndian.AppendUint16(b, id)
	if v == V5 {
		b = props.append(b, size)
	}
	for _, c := range codes {
		b = append(b, byte(codeOnWire(c, v)))
	}
	return b, nil
}

// codeOnWire returns what stands for c: MQTT 3 knows but one failure.
func codeOnWire(c ReasonCode, v Version) ReasonCode {
	if v != V5 && c.IsError() {
		return UnspecifiedError
	}
	return c
}
