package source

import "sync/atomic"

// Stats is what an Authenticator has counted since it was made, except where it says otherwise.
type Stats struct {
	Logins        uint64 // clients that were let in
	UnknownUsers  uint64 // refused: the source knows no such user
	BadPasswords  uint64 // refused: wrong or missing
	OtherRefusals uint64 // refused: disabled, expired, or what is stored cannot be understood
	Allowed       uint64 // publishes and subscriptions
	Denied        uint64 // publishes and subscriptions
	Hits          uint64 // answers from the cache
	Misses        uint64 // answers that were not there
	Shared        uint64 // of Misses: those that waited for a question of another client
	Questions     uint64 // to the source
	Failures      uint64 // questions without an answer
	Broken        uint64 // questions that were not put because the source is down
	StaleAnswers  uint64 // used because there was no newer one
	AllowedDown   uint64 // let in, or allowed, because the source was down
	Entries       int    // answers that are in the cache now
	Evicted       uint64 // answers that were dropped for others
	InFlight      int    // questions that are on their way now
}

type counters struct {
	logins, unknown, badPassword, otherRefusal, allowed, denied, hits, misses, shared,
	questions, failures, broken, stale, allowedDown atomic.Uint64
}

// Stats returns what has been counted.
func (a *Authenticator) Stats() Stats {
	s := Stats{
		Logins: a.n.logins.Load(), UnknownUsers: a.n.unknown.Load(), BadPasswords: a.n.badPassword.Load(),
		OtherRefusals: a.n.otherRefusal.Load(), Allowed: a.n.allowed.Load(), Denied: a.n.denied.Load(),
		Hits: a.n.hits.Load(), Misses: a.n.misses.Load(), Shared: a.n.shared.Load(),
		Questions: a.n.questions.Load(), Failures: a.n.failures.Load(), Broken: a.n.broken.Load(),
		StaleAnswers: a.n.stale.Load(), AllowedDown: a.n.allowedDown.Load(), InFlight: len(a.slots),
	}
	add := func(entries int, evicted uint64) {
		s.Entries += entries
		s.Evicted += evicted
	}
	add(a.users.stats())
	add(a.lists.stats())
	add(a.decisions.stats())
	return s
}
