package shoal

import "time"

// phase is where a session of this node stands between its first CONNECT here and its end. A session has one phase at a
// time, which enter alone changes. What comes for the session is admitted by its phase; see admit.
//
//	           claim elsewhere, nothing to bring
//	(new) ───────────────────────────────► home ◄──────────────┐
//	(new) ──► gathering ──► settling ──────► │                 │ the move failed
//	(new) ──► adopting ────────────────────► │ ──► departing ──┘
//	any of these ──► moved   the session has another home
//	any of these ──► lost    the cluster has given this node up
//	any of these ──► over    the session has ended
type phase uint8

const (
	// phaseHome: this node is the session's home, and has all of it.
	phaseHome phase = iota
	// phaseGathering: the home is another node, from which the session is on its way. What comes for it here is collected.
	phaseGathering
	// phaseSettling: all of the session is here, and it is not agreed yet, nor, where the nodes share a store, written, that
	// this node is its home.
	phaseSettling
	// phaseAdopting: this node inherited the session from a lost one. What comes for it is collected until what was on its
	// way to the lost node has arrived.
	phaseAdopting
	// phaseDeparting: the session was handed to another node, and goes on here until it is agreed that it is there.
	phaseDeparting
	// phaseMoved: another node is the home, as was agreed with this one, and has all of the session. What is left here is being cleared away,
	// changes nothing, and tells nobody.
	phaseMoved
	// phaseLost: the cluster has given this node up, and other nodes have the session. What is left here is being cleared away as well; who waits for a
	// change to be kept hears that it is not.
	phaseLost
	// phaseOver: the session has ended.
	phaseOver
)

// String names the phase for logs and tests.
func (p phase) String() string {
	return [...]string{"home", "gathering", "settling", "adopting", "departing", "moved", "lost", "over"}[p]
}

// lives reports whether the session may still change here.
func (p phase) lives() bool { return p < phaseMoved }

// collects reports whether what comes for the session waits for what is on its way to it.
func (p phase) collects() bool { return p == phaseGathering || p == phaseAdopting }

// arrives reports whether the session comes here from a living node, and is not at home here yet.
func (p phase) arrives() bool { return p == phaseGathering || p == phaseSettling }

// follows says which phases may follow a phase.
func (p phase) follows(from phase) bool {
	switch p {
	case phaseHome:
		return from == phaseHome || from == phaseSettling || from == phaseAdopting || from == phaseDeparting
	case phaseGathering, phaseAdopting:
		return from == phaseHome // a session that was made just now
	case phaseSettling:
		return from == phaseGathering
	case phaseDeparting:
		return from == phaseHome || from == phaseDeparting
	case phaseMoved, phaseLost, phaseOver:
		return from.lives()
	}
	return false
}

// enter changes the phase. It reports false, and changes nothing, if the next phase cannot follow: that is so for a session
// that does not live any more. The caller holds s.mu, or has the session alone.
func (s *session) enter(next phase) bool {
	if !next.follows(s.phase) {
		if s.phase.lives() {
			s.b.log.Error("a session cannot change its phase like that", "client_id", s.clientID, "phase", s.phase.String(), "next", next.String())
		}
		return false
	}
	s.phase, s.since = next, time.Now()
	return true
}

// travels reports whether the session is being moved from here or to here. What comes for a shared group comes to one of the
// two nodes alone: it would not go with the session from the old one, and from the new one not back, if the move fails. The
// move from here has failed, or is going to, when it has lasted. The caller holds s.mu.
func (s *session) travels() bool {
	return s.phase.arrives() || (s.phase == phaseDeparting && time.Since(s.since) < moveTimeout)
}
