package session

import (
	"cmp"
	"slices"
)

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
			s.flying -= e.Msg.Cost()
		}
		lent = append(lent, *e)
		s.leaves(e)
		e.State, e.counted, e.Msg, e.SubIDs = Done, false, nil, nil
	}
	s.lent = append(s.lent, lent...)
	slices.SortFunc(s.lent, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	s.tidy()
	return lent
}

// Lent returns how many entries are lent.
func (s *Session) Lent() int { return len(s.lent) - s.returned }

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
	i, ok := slices.BinarySearchFunc(s.lent, seq, func(e Entry, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	if !ok || s.lent[i].State == Done {
		return e, false
	}
	e = s.lent[i]
	s.live--
	s.bytes -= e.Msg.Cost()
	s.lent[i] = Entry{Seq: seq, State: Done} // the list is shortened now and then, not each time
	s.returned++
	for len(s.lent) > 0 && s.lent[0].State == Done { // mostly they come in order
		s.lent = s.lent[1:]
		s.returned--
	}
	if s.returned > 64 && s.returned > len(s.lent)/2 {
		s.lent = slices.DeleteFunc(s.lent, func(e Entry) bool { return e.State == Done })
		s.returned = 0
	}
	if len(s.lent) == 0 {
		s.lent = nil
	}
	return e, true
}

// Kept calls fn for every message that is kept, in the order of their numbers: those of Entries, and those that are lent.
func (s *Session) Kept(fn func(e *Entry)) {
	lent := s.lent
	give := func() {
		if lent[0].State != Done {
			fn(&lent[0])
		}
		lent = lent[1:]
	}
	s.Entries(func(e *Entry) {
		for len(lent) > 0 && lent[0].Seq < e.Seq {
			give()
		}
		fn(e)
	})
	for len(lent) > 0 {
		give()
	}
}
