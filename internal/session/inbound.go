package session

// Begin counts a PUBLISH of QoS 1 or 2 that is not a repetition. It reports false when the client has more of them
// unacknowledged than it was allowed [MQTT-3.3.4-9].
func (s *Session) Begin() bool {
	s.inWindow++
	return s.inWindow <= s.limits.ReceiveMaximum
}

// Finish gives back what Begin took: with PUBACK, PUBCOMP, or a PUBREC that carries an error.
func (s *Session) Finish() { s.inWindow = max(0, s.inWindow-1) }

// received is an identifier of the client's that is taken.
type received struct {
	token any
	open  bool // its message is not with everybody who must have it
}

// Pending reports whether a QoS 2 PUBLISH with this identifier was received and not yet released: what comes with it is a
// duplicate and must not be published again [MQTT-4.3.3-10]. token is what SetToken or Reserve last attached to it.
func (s *Session) Pending(id uint16) (token any, duplicate bool) {
	r, duplicate := s.in[id]
	return r.token, duplicate
}

// Reserve notes the identifier of a QoS 2 PUBLISH that is being published. It counts as Pending, but it is not logged and not among Unreleased until
// Receive says that everybody who must have the message has it.
func (s *Session) Reserve(id uint16, token any) {
	if _, known := s.in[id]; !known {
		s.open++
		s.take(id, received{token, true})
	}
}

func (s *Session) take(id uint16, r received) {
	if s.in == nil {
		s.in = make(map[uint16]received)
	}
	s.in[id] = r
}

// Open returns how many identifiers are reserved.
func (s *Session) Open() int { return s.open }

// Receive notes the identifier of a QoS 2 PUBLISH that was published.
func (s *Session) Receive(id uint16) {
	r, known := s.in[id]
	if known && !r.open {
		return
	}
	if known {
		s.open--
	}
	s.take(id, received{token: r.token})
	s.log.Received(id)
}

// SetToken attaches the caller's token to a received identifier.
func (s *Session) SetToken(id uint16, token any) {
	if r, ok := s.in[id]; ok {
		r.token = token
		s.in[id] = r
	}
}

// Release forgets a received identifier, on PUBREL or because the message was refused. It reports whether it was known
// [MQTT-4.3.3-11].
func (s *Session) Release(id uint16) bool {
	if !s.Unreserve(id) {
		if _, ok := s.in[id]; !ok {
			return false
		}
		delete(s.in, id)
	}
	s.log.Completed(id)
	return true
}

// Unreserve forgets a reserved identifier without a word: what became of its message is not known. It reports whether it was reserved.
func (s *Session) Unreserve(id uint16) bool {
	if !s.in[id].open {
		return false
	}
	s.open--
	delete(s.in, id)
	return true
}

// Unreleased returns the identifiers received and not released, in no order.
func (s *Session) Unreleased() []uint16 {
	ids := make([]uint16, 0, len(s.in))
	for id, r := range s.in {
		if !r.open {
			ids = append(ids, id)
		}
	}
	return ids
}

// ResumeReceived restores an identifier, as Resume does entries.
func (s *Session) ResumeReceived(id uint16) { s.take(id, received{}) }
