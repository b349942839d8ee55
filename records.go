package shoal

import (
	"errors"
	"fmt"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Records: messages and queue entries as they are stored and as nodes send them to each other.

type msgID = core.ID

var errRecordVersion = errors.New("shoal: record of an unknown version")

const recordVersion = 1

const (
	flagRetain     = 1 << 2 // the lower two bits are the QoS
	flagProperties = 1 << 3
	flagExpires    = 1 << 4

	flagDurability = 5 // two bits from here on are the Durability
	flagOrigin     = 1 << 7
)

// appendMessage appends a message, without version byte: it is part of larger records.
func appendMessage(b []byte, m *core.Message) []byte {
	flags := byte(m.QoS) | m.Durability<<flagDurability
	if m.Retain {
		flags |= flagRetain
	}
	if m.Properties != nil {
		flags |= flagProperties
	}
	if m.Expires != 0 {
		flags |= flagExpires
	}
	if m.Origin != nil {
		flags |= flagOrigin
	}
	b = append(b, flags)
	b = codec.AppendUint(b, m.ID.Origin)
	b = codec.AppendUint(b, m.ID.Number)
	b = codec.AppendString(b, m.TopicName)
	b = codec.AppendString(b, m.Publisher)
	if m.Expires != 0 {
		b = codec.AppendUint(b, uint64(m.Expires))
	}
	if m.Properties != nil {
		b = appendProperties(b, m.Properties)
	}
	if m.Origin != nil {
		b = appendOrigin(b, m.Origin)
	}
	return codec.AppendBytes(b, m.Payload)
}

func appendOrigin(b []byte, o *core.Origin) []byte {
	for _, n := range []uint64{uint64(o.PacketID), o.Will, o.At, o.Again} {
		b = codec.AppendUint(b, n)
	}
	return b
}

func readOrigin(r *codec.Reader) *core.Origin {
	return &core.Origin{PacketID: uint16(r.Uint()), Will: r.Uint(), At: r.Uint(), Again: r.Uint()}
}

// readMessage reads what appendMessage wrote. The payload refers to the record.
func readMessage(r *codec.Reader) *core.Message {
	flags := r.Byte()
	m := &core.Message{QoS: packets.QoS(flags & 3), Retain: flags&flagRetain != 0, Durability: flags >> flagDurability & 3}
	m.ID.Origin = r.Uint()
	m.ID.Number = r.Uint()
	m.TopicName = r.String()
	m.Publisher = r.String()
	if flags&flagExpires != 0 {
		m.Expires = int64(r.Uint())
	}
	if flags&flagProperties != 0 {
		m.Properties = readProperties(r)
	}
	if flags&flagOrigin != 0 {
		m.Origin = readOrigin(r)
	}
	m.Payload = r.Bytes()
	return m
}

const (
	hasFormat = 1 << iota
	hasContentType
	hasResponseTopic
	hasCorrelation
)

func appendProperties(b []byte, p *packets.Properties) []byte {
	var has byte
	if p.PayloadFormatIndicator.Set {
		has |= hasFormat
	}
	if p.ContentType.Set {
		has |= hasContentType
	}
	if p.ResponseTopic.Set {
		has |= hasResponseTopic
	}
	if p.CorrelationData != nil {
		has |= hasCorrelation
	}
	b = append(b, has)
	if p.PayloadFormatIndicator.Set {
		b = append(b, p.PayloadFormatIndicator.Value)
	}
	if p.ContentType.Set {
		b = codec.AppendString(b, p.ContentType.Value)
	}
	if p.ResponseTopic.Set {
		b = codec.AppendString(b, p.ResponseTopic.Value)
	}
	if p.CorrelationData != nil {
		b = codec.AppendBytes(b, p.CorrelationData)
	}
	b = codec.AppendUint(b, uint64(len(p.UserProperties)))
	for _, u := range p.UserProperties {
		b = codec.AppendString(b, u.Key)
		b = codec.AppendString(b, u.Value)
	}
	return b
}

func readProperties(r *codec.Reader) *packets.Properties {
	p := new(packets.Properties)
	has := r.Byte()
	if has&hasFormat != 0 {
		p.PayloadFormatIndicator = packets.Some(r.Byte())
	}
	if has&hasContentType != 0 {
		p.ContentType = packets.Some(r.String())
	}
	if has&hasResponseTopic != 0 {
		p.ResponseTopic = packets.Some(r.String())
	}
	if has&hasCorrelation != 0 {
		p.CorrelationData = append([]byte{}, r.Bytes()...)
	}
	for range r.Count() {
		p.UserProperties = append(p.UserProperties, packets.UserProperty{Key: r.String(), Value: r.String()})
	}
	return p
}

// Of entries. The two bits between them are the entry's state.
const (
	flagFresh    = 1 << 3
	flagDoubtful = 1 << 6
)

// appendEntry appends an entry of a session's queue.
func appendEntry(b []byte, e *core.Entry) []byte { return appendMessage(appendEntryHead(b, e), e.Msg) }

// appendEntryHead appends an entry without its message.
func appendEntryHead(b []byte, e *core.Entry) []byte {
	flags := byte(e.QoS) | byte(e.State)<<4
	if e.Retain {
		flags |= flagRetain
	}
	if e.Doubtful {
		flags |= flagDoubtful
	}
	if e.Fresh {
		flags |= flagFresh
	}
	b = append(b, flags)
	b = codec.AppendUint(b, e.Seq)
	b = codec.AppendUint(b, uint64(e.PacketID))
	b = codec.AppendString(b, e.Share)
	b = codec.AppendUint(b, uint64(len(e.SubIDs)))
	for _, id := range e.SubIDs {
		b = codec.AppendUint(b, uint64(id))
	}
	return b
}

func readEntry(r *codec.Reader) core.Entry {
	e := readEntryHead(r)
	e.Msg = readMessage(r)
	return e
}

func readEntryHead(r *codec.Reader) (e core.Entry) {
	flags := r.Byte()
	e.QoS, e.State = packets.QoS(flags&3), core.State(flags>>4&3)
	e.Retain, e.Doubtful, e.Fresh = flags&flagRetain != 0, flags&flagDoubtful != 0, flags&flagFresh != 0
	e.Seq = r.Uint()
	e.PacketID = uint16(r.Uint())
	e.Share = r.String()
	for range r.Count() {
		e.SubIDs = append(e.SubIDs, r.Uint32())
	}
	return e
}

// publishOfMessage makes the PUBLISH packet that stands for m.
func publishOfMessage(m *core.Message) packets.Publish {
	p := packets.Publish{TopicName: m.TopicName, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
	if m.Properties != nil {
		p.Properties = *m.Properties
	}
	return p
}

// newRecord begins a record.
func newRecord() []byte { return append(make([]byte, 0, 64), recordVersion) }

// openRecord checks the version byte of a record.
func openRecord(b []byte) (*codec.Reader, error) {
	r := codec.NewReader(b)
	if v := r.Byte(); r.Err() != nil || v != recordVersion {
		return nil, fmt.Errorf("%w: %d", errRecordVersion, v)
	}
	return r, nil
}
