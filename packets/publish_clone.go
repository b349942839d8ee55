package packets

// Clone returns a copy that owns its memory. It takes two allocations, and one for each list that is not empty.
func (p *Publish) Clone() *Publish {
	c := *p
	from := &p.Properties
	to := &c.Properties
	size := len(p.TopicName) + len(p.Payload) + textLength(from.ContentType) + textLength(from.ResponseTopic) +
		len(from.CorrelationData)
	for i := range from.UserProperties {
		size += len(from.UserProperties[i].Key) + len(from.UserProperties[i].Value)
	}
	m := memory(make([]byte, 0, size))
	c.TopicName = m.text(p.TopicName)
	c.Payload = m.bytes(p.Payload)
	to.ContentType.Value = m.text(from.ContentType.Value)
	to.ResponseTopic.Value = m.text(from.ResponseTopic.Value)
	to.CorrelationData = m.bytes(from.CorrelationData)
	to.SubscriptionIdentifiers, to.UserProperties = nil, nil
	if len(from.SubscriptionIdentifiers) > 0 {
		to.SubscriptionIdentifiers = append([]uint32(nil), from.SubscriptionIdentifiers...)
	}
	if len(from.UserProperties) > 0 {
		to.UserProperties = make([]UserProperty, len(from.UserProperties))
		for i, u := range from.UserProperties {
			to.UserProperties[i] = UserProperty{Key: m.text(u.Key), Value: m.text(u.Value)}
		}
	}
	return &c
}

// memory is one allocation that is dealt out piece by piece. What is dealt out never moves and is never written
// again, so that strings may share it.
type memory []byte

func (m *memory) bytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	at := len(*m)
	*m = append(*m, b...)
	return (*m)[at:len(*m):len(*m)]
}

func (m *memory) text(s string) string {
	at := len(*m)
	*m = append(*m, s...)
	return alias((*m)[at:])
}
