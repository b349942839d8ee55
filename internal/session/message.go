package session

import (
	"strings"

	"github.com/shoalmq/shoal/packets"
)

// ID names a message in the whole cluster: the node that accepted it from its publisher, and a number that
// grows with every message of that node.
type ID struct {
	Origin uint64 // the accepting node's incarnation
	Number uint64
}

// Origin is the exchange of QoS 2 by which a message came from its publisher, where the publisher may send it again by another node, which
// gives it another ID; or the connection of which it is the will. The times are places in what the nodes of a cluster agree on.
type Origin struct {
	PacketID uint16
	Will     uint64 // of a will: the epoch of the connection; else 0
	At       uint64 // when the exchange began
	// Again is when the connection began on which the publisher sent the message again; 0 if it did not.
	Again uint64
}

// Message is an application message. It is shared by all sessions that it is delivered to and never changed.
type Message struct {
	ID        ID
	TopicName string
	Payload   []byte
	// Properties are those that travel with the message: Payload Format Indicator, Content Type, Response Topic,
	// Correlation Data and User Properties; nil when there are none. The expiry is in Expires.
	Properties *packets.Properties
	// Publisher is the publisher's ClientID.
	Publisher string
	// Origin is nil unless the message may come again.
	Origin *Origin
	// Expires is the Unix time in nanoseconds at which the message is worth nothing any more; 0 for never.
	Expires int64
	QoS     packets.QoS
	Retain  bool // as published
	// Durability is the broker's: where the message must be before it is acknowledged. Sessions do not look at it.
	Durability byte
}

// perMessage is what a queued message is taken to cost in memory beside its topic and payload, in bytes.
const perMessage = 128

// Cost is what the message counts against limits in bytes.
func (m *Message) Cost() int {
	n := perMessage + len(m.TopicName) + len(m.Payload)
	if m.Properties != nil {
		n += propertiesCost(m.Properties)
	}
	return n
}

func propertiesCost(p *packets.Properties) int {
	n := len(p.ContentType.Value) + len(p.ResponseTopic.Value) + len(p.CorrelationData)
	for _, u := range p.UserProperties {
		n += len(u.Key) + len(u.Value)
	}
	return n
}

// Expired reports whether the message is worth nothing at now, in Unix nanoseconds.
func (m *Message) Expired(now int64) bool { return m.Expires != 0 && now >= m.Expires }

// NewMessage copies what a decoded PUBLISH carries into memory of its own: one block for topic and payload.
func NewMessage(p *packets.Publish, now int64) *Message {
	block := make([]byte, len(p.TopicName)+len(p.Payload))
	copy(block[copy(block, p.TopicName):], p.Payload)
	m := &Message{
		TopicName: aliasString(block[:len(p.TopicName)]),
		Payload:   block[len(p.TopicName):],
		QoS:       p.QoS,
		Retain:    p.Retain,
	}
	m.Properties = ForwardedProperties(&p.Properties)
	if v, ok := p.Properties.MessageExpiryInterval.Get(); ok {
		m.Expires = now + int64(v)*second
	}
	return m
}

const second = int64(1e9)

// ForwardedProperties returns a copy, in memory of its own, of the properties that a server forwards unaltered
// [MQTT-3.3.2-4, -15, -16, -17, -18, -20], or nil if p has none.
func ForwardedProperties(p *packets.Properties) *packets.Properties {
	if !p.PayloadFormatIndicator.Set && !p.ContentType.Set && !p.ResponseTopic.Set && p.CorrelationData == nil &&
		len(p.UserProperties) == 0 {
		return nil
	}
	f := &packets.Properties{PayloadFormatIndicator: p.PayloadFormatIndicator}
	if v, ok := p.ContentType.Get(); ok {
		f.ContentType = packets.Some(strings.Clone(v))
	}
	if v, ok := p.ResponseTopic.Get(); ok {
		f.ResponseTopic = packets.Some(strings.Clone(v))
	}
	if p.CorrelationData != nil {
		f.CorrelationData = append([]byte{}, p.CorrelationData...)
	}
	if len(p.UserProperties) > 0 {
		f.UserProperties = make([]packets.UserProperty, len(p.UserProperties))
		for i, u := range p.UserProperties {
			f.UserProperties[i] = packets.UserProperty{Key: strings.Clone(u.Key), Value: strings.Clone(u.Value)}
		}
	}
	return f
}
