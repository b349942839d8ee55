package kafka

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/bridge/document"
	"github.com/shoalmq/shoal/packets"
	"github.com/shoalmq/shoal/topics"
)

func encodeMessage(m *shoal.Message) []byte {
	b, _ := json.Marshal(document.OfMessage(m)) // has nothing that can fail
	return b
}

// The names of headers.
const (
	headerPrefix      = "mqtt."
	headerUser        = "mqtt.user."
	headerTopic       = "mqtt.topic"
	headerQoS         = "mqtt.qos"
	headerRetain      = "mqtt.retain"
	headerClient      = "mqtt.client"
	headerBridge      = "mqtt.bridge"
	headerContentType = "mqtt.content-type"
	headerResponse    = "mqtt.response-topic"
	headerCorrelation = "mqtt.correlation-data"
	headerFormat      = "mqtt.payload-format"
	headerExpiry      = "mqtt.expiry"
)

// headersOf returns what a record says of its message.
func headersOf(m *shoal.Message, bridge string) []kgo.RecordHeader {
	p := &m.Properties
	list := make([]kgo.RecordHeader, 0, 5+len(p.UserProperties))
	add := func(name, value string) { list = append(list, kgo.RecordHeader{Key: name, Value: []byte(value)}) }
	add(headerTopic, m.TopicName)
	add(headerQoS, strconv.Itoa(int(m.QoS)))
	retain := "0"
	if m.Retain {
		retain = "1"
	}
	add(headerRetain, retain)
	if m.Publisher != "" {
		add(headerClient, m.Publisher)
	}
	add(headerBridge, bridge)
	if v, ok := p.ContentType.Get(); ok {
		add(headerContentType, v)
	}
	if v, ok := p.ResponseTopic.Get(); ok {
		add(headerResponse, v)
	}
	if p.CorrelationData != nil {
		add(headerCorrelation, string(p.CorrelationData))
	}
	if v, ok := p.PayloadFormatIndicator.Get(); ok {
		add(headerFormat, strconv.Itoa(int(v)))
	}
	if v, ok := p.MessageExpiryInterval.Get(); ok {
		add(headerExpiry, strconv.FormatUint(uint64(v), 10))
	}
	for _, u := range p.UserProperties {
		name := u.Key
		if strings.HasPrefix(name, headerPrefix) {
			name = headerUser + name
		}
		add(name, u.Value)
	}
	return list
}

// readHeaders puts what headers say into the properties of a message.
func readHeaders(headers []kgo.RecordHeader, p *packets.Properties) {
	for _, h := range headers {
		value := validText(string(h.Value))
		switch h.Key {
		case headerContentType:
			p.ContentType = packets.Some(value)
		case headerResponse:
			if topics.ValidateName(value) == nil {
				p.ResponseTopic = packets.Some(value)
			}
		case headerCorrelation:
			p.CorrelationData = h.Value
		case headerFormat:
			if value == "0" || value == "1" {
				p.PayloadFormatIndicator = packets.Some(value[0] - '0')
			}
		case headerExpiry:
			if v, err := strconv.ParseUint(value, 10, 32); err == nil {
				p.MessageExpiryInterval = packets.Some(uint32(v))
			}
		default:
			name, user := strings.CutPrefix(h.Key, headerUser)
			if user || !strings.HasPrefix(name, headerPrefix) {
				p.UserProperties = append(p.UserProperties, packets.UserProperty{Key: validText(name), Value: value})
			}
		}
	}
}

// validText makes a text one that MQTT allows: valid UTF-8 without U+0000, of no more than 65,535 bytes
// [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func validText(text string) string {
	if utf8.ValidString(text) && len(text) <= math.MaxUint16 && !strings.ContainsRune(text, 0) {
		return text
	}
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) > math.MaxUint16 {
		text = strings.ToValidUTF8(text[:math.MaxUint16], "")
	}
	return text
}

func headerOf(headers []kgo.RecordHeader, name string) string {
	for _, h := range headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
