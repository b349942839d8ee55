package session

import "unsafe"

// aliasString returns b as a string without copying. It is used on memory that is never written again.
func aliasString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// topicAliases hands out Topic Aliases to one connection, first come, first served; an alias is never given to a
// second topic, so that it cannot be taken for the wrong one.
type topicAliases struct {
	max    uint16
	topics map[string]uint16
}

// lookup returns the alias of a topic and whether the client knows it already; 0 when there is none to be had
// [MQTT-3.1.2-26, -27].
func (a *topicAliases) lookup(topic string) (alias uint16, known bool) {
	if a.max == 0 {
		return 0, false
	}
	if alias, known = a.topics[topic]; known {
		return alias, true
	}
	if len(a.topics) >= int(a.max) {
		return 0, false
	}
	return uint16(len(a.topics) + 1), false
}

// learn records that a PUBLISH which binds alias to topic was written.
func (a *topicAliases) learn(topic string, alias uint16) {
	if a.topics == nil {
		a.topics = make(map[string]uint16)
	}
	a.topics[topic] = alias
}
