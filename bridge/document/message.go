package document

import (
	"time"

	"github.com/shoalmq/shoal"
)

// Message is a message.
type Message struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"` // base64
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
	Client  string `json:"client,omitempty"` // the publisher's ClientID
	Time    string `json:"time"`             // when the bridge wrote it, RFC 3339

	ContentType     string         `json:"contentType,omitempty"`
	ResponseTopic   string         `json:"responseTopic,omitempty"`
	CorrelationData []byte         `json:"correlationData,omitempty"` // base64
	PayloadFormat   *byte          `json:"payloadFormat,omitempty"`
	Expiry          *uint32        `json:"expiry,omitempty"` // seconds left
	UserProperties  []UserProperty `json:"userProperties,omitempty"`
}

// UserProperty is one of a message.
type UserProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// OfMessage returns the document of a message. It keeps nothing of m but the bytes of its payload and of
// its Correlation Data.
func OfMessage(m *shoal.Message) *Message {
	p := &m.Properties
	d := &Message{
		Topic: m.TopicName, Payload: m.Payload, QoS: byte(m.QoS), Retain: m.Retain, Client: m.Publisher, Time: now(),
		ContentType: p.ContentType.Or(""), ResponseTopic: p.ResponseTopic.Or(""), CorrelationData: p.CorrelationData,
	}
	if v, ok := p.PayloadFormatIndicator.Get(); ok {
		d.PayloadFormat = &v
	}
	if v, ok := p.MessageExpiryInterval.Get(); ok {
		d.Expiry = &v
	}
	for _, u := range p.UserProperties {
		d.UserProperties = append(d.UserProperties, UserProperty{u.Key, u.Value})
	}
	return d
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
