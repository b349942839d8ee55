package packets

// Will is the Will Message of a CONNECT: what the server publishes if the connection ends without a DISCONNECT.
type Will struct {
	TopicName  string
	Payload    []byte // at most 65,535 bytes
	QoS        QoS
	Retain     bool
	Properties Properties // MQTT 5 only
}

const fieldWillPayload = "Will Payload"

func (w *Will) decode(r *reader) {
	if r.version == V5 {
		w.Properties.decode(r, willProperties)
	}
	if w.TopicName = r.topicName(fieldWillTopic); w.TopicName == "" {
		r.failEmpty(fieldWillTopic)
	}
	w.Payload = r.binary(fieldWillPayload)
}

func (w *Will) check(f *fault) {
	if w.QoS > 2 {
		f.failWillQoS()
	}
	if f.version == V5 {
		w.Properties.check(f, willProperties)
	}
	f.checkTopicName(fieldWillTopic, w.TopicName)
	if w.TopicName == "" {
		f.failEmpty(fieldWillTopic)
	}
	f.checkLength(fieldWillPayload, len(w.Payload))
}

func (f *fault) failWillQoS() {
	f.fail(MalformedPacket, "Will QoS", "must not be 3", f.clause("MQTT-3.1.2-14", "MQTT-3.1.2-12"))
}

func (w *Will) size(v Version) int {
	n := 2 + len(w.TopicName) + 2 + len(w.Payload)
	if v == V5 {
		n += withLength(w.Properties.size())
	}
	return n
}

func (w *Will) append(dst []byte, v Version) []byte {
	if v == V5 {
		dst = w.Properties.append(dst, w.Properties.size())
	}
	return appendText(appendText(dst, w.TopicName), w.Payload)
}
