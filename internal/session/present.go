package session

// presence names what present counts: the entries of a message, those of one that came by a shared group, with share, once more.
type presence struct {
	id    ID
	share string
}

// present counts the live entries of a queue by their messages, so that nobody has to search it for each message that comes. Most sessions are never asked:
// it is made when somebody asks, kept up from then on, and let go of when the queue is empty.
type present map[presence]int

// Has reports whether a message waits or is in flight.
func (s *Session) Has(id ID) bool { return s.contains(presence{id: id}) }

// HasShared reports whether a message waits or is in flight that came by a shared group.
func (s *Session) HasShared(id ID, share string) bool { return s.contains(presence{id, share}) }

func (s *Session) contains(p presence) bool {
	if s.live == 0 {
		return false
	}
	if s.present == nil {
		s.present = make(present)
		s.Entries(s.arrives)
	}
	return s.present[p] > 0
}

// arrives counts an entry that is new in the queue.
func (s *Session) arrives(e *Entry) {
	if s.present == nil {
		return
	}
	s.present[presence{id: e.Msg.ID}]++
	if e.Share != "" {
		s.present[presence{e.Msg.ID, e.Share}]++
	}
}

// leaves counts an entry that is in the queue no more. The caller has not let go of its message yet.
func (s *Session) leaves(e *Entry) {
	if s.present == nil {
		return
	}
	s.present.take(presence{id: e.Msg.ID})
	if e.Share != "" {
		s.present.take(presence{e.Msg.ID, e.Share})
	}
	if len(s.present) == 0 {
		s.present = nil
	}
}

func (p present) take(which presence) {
	if p[which]--; p[which] <= 0 {
		delete(p, which)
	}
}
