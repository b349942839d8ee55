package session

import "sort"

// Lend takes the entries that fn chooses out of the queue, to be given to somebody else, and returns them, in order. They are not sent any
// more, and they are still kept: the session goes on to have them, in its log and against its limits, until Given says that somebody
// else does, or TakeBack that nobody does. What is given before it is withdrawn is lost by no crash in between.
func (s *Session) Lend(fn func(e *Entry) bool) []Entry {
	var lent []Entry
	for i := range s.out.n {
		e := s.out.at(i)
		if e.State == Done || !fn(e) {
			continue
		}
		if e.counted {
			s.window--
		}
		lent = append(lent, *e)
		e.State, e.counted, e.Msg, e.SubIDs = Done, false, nil, nil
	}
	s.lent = append(s.lent, lent...)
	sort.Slice(s.lent, func(i, j int) bool { return s.lent[i].Seq < s.lent[j].Seq })
	s.tidy()
	return lent
}

// Lent returns how many entries are lent.
func (s *Session) Lent() int { return len(s.lent) }

// Given ends an entry that was lent: somebody else has it.
func (s *Session) Given(seq uint64) {
	if e, ok := s.unlend(seq); ok {
		s.log.Ended(&e, Withdrawn)
	}
}

// TakeBack puts an entry that was lent into the queue again, behind what came meanwhile, which may have been sent.
func (s *Session) TakeBack(seq uint64) {
	e, ok := s.unlend(seq)
	if !ok {
		return
	}
	again := e
	again.Doubtful = e.Doubtful || e.State == Sent
	s.push(again)
	s.log.Ended(&e, Withdrawn)
}

func (s *Session) unlend(seq uint64) (e Entry, ok bool) {
	for i := range s.lent {
		if s.lent[i].Seq == seq {
			e = s.lent[i]
			s.lent = append(s.lent[:i], s.lent[i+1:]...)
			s.live--
			s.bytes -= e.Msg.Cost()
			return e, true
		}
	}
	return e, false
}

// Kept calls fn for every message that is kept, in the order of their numbers: those of Entries, and those that are lent.
func (s *Session) Kept(fn func(e *Entry)) {
	lent := s.lent
	s.Entries(func(e *Entry) {
		for ; len(lent) > 0 && lent[0].Seq < e.Seq; lent = lent[1:] {
			fn(&lent[0])
		}
		fn(e)
	})
	for i := range lent {
		fn(&lent[i])
	}
}
