package session

// Begin counts a PUBLISH of QoS 1 or 2 that is not a repetition. It reports false when the client has more of them
// unacknowledged than it was allowed [MQTT-3.3.4-9].
func (s *Session) Begin() bool {
	s.inWindow++
	return s.inWindow <= s.limits.ReceiveMaximum
}

// Finish gives back what Begin took: with PUBACK, PUBCOMP, or a PUBREC that carries an error.
func (s *Session) Finish() { s.inWindow = max(0, s.inWindow-1) }

// Pending reports whether a QoS 2 PUBLISH with this identifier was received and not yet released: what comes with it is a
// duplicate and must not be published again [MQTT-4.3.3-10]. token is what SetToken last attached to it.
func (s *Session) Pending(id uint16) (token any, duplicate bool) {
	token, duplicate = s.in[id]
	return token, duplicate
}

// Receive notes the identifier of a QoS 2 PUBLISH that was published.
func (s *Session) Receive(id uint16) {
	if _, known := s.in[id]; known {
		return
	}
	if s.in == nil {
		s.in = make(map[uint16]any)
	}
	s.in[id] = nil
	s.log.Received(id)
}

// SetToken attaches the caller's token to a received identifier.
func (s *Session) SetToken(id uint16, token any) {
	if _, ok := s.in[id]; ok {
		s.in[id] = token
	}
}

// Release forgets a received identifier, on PUBREL or because the message was refused. It reports whether it was known
// [MQTT-4.3.3-11].
func (s *Session) Release(id uint16) bool {
	if _, ok := s.in[id]; !ok {
		return false
	}
	delete(s.in, id)
	s.log.Completed(id)
	return true
}

// Unreleased returns the identifiers received and not released, in no order.
func (s *Session) Unreleased() []uint16 {
	ids := make([]uint16, 0, len(s.in))
	for id := range s.in {
		ids = append(ids, id)
	}
	return ids
}

// ResumeReceived restores an identifier, as Resume does entries.
func (s *Session) ResumeReceived(id uint16) {
	if s.in == nil {
		s.in = make(map[uint16]any)
	}
	s.in[id] = nil
}
