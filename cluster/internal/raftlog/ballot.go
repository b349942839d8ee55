package raftlog

// standing is what the leader knows of a server of raft's.
type standing byte

const (
	fit      standing = iota // up and seen: it can decide
	present                  // seen, or up: it is coming or going, and keeps what it has
	gone                     // away: another node may take its vote
	released                 // away for so long that its vote may lapse
)

// seat is a server of raft's configuration, and whether it decides.
type seat struct {
	name  string
	voter bool
	standing
}

// change is one step from one configuration to the next. The zero value changes nothing.
type change struct {
	name    string
	promote bool // or it loses its vote
	replace bool // another node is going to have its vote
}

// ballot decides who votes. The rules:
//
//   - Up to most nodes vote, and of three or more an odd number: a fourth would have to be waited for, and would save from nothing.
//   - The vote of a node that is gone goes to a node that is fit and has none, at once. The vote is taken away first: those who are left need no
//     larger majority for that than they need anyway.
//   - Votes that have been released lapse where that lets the others lose one node more: one of an even number, or two of an odd one. They do not lapse
//     below what is a majority of most.
//   - Nobody who is there loses its vote.
type ballot struct {
	seats []seat
	most  int
}

// next returns the next step.
func (b ballot) next() change {
	var staying, awaited int // voters that are there; and gone, but not for long
	var spares, leavers []string
	lapsed := 0
	for _, s := range b.seats {
		switch {
		case !s.voter && s.standing == fit:
			spares = append(spares, s.name)
		case !s.voter:
		case s.standing == released:
			leavers = append([]string{s.name}, leavers...)
			lapsed++
		case s.standing == gone:
			leavers = append(leavers, s.name)
			awaited++
		default:
			staying++
		}
	}
	voters := staying + len(leavers)
	wanted := min(b.most, staying+len(spares)+awaited)
	if wanted > 2 {
		wanted -= 1 - wanted%2
	}
	free := max(wanted-staying, 0)
	taken := min(free, len(spares))
	surplus := len(leavers) - (free - taken)
	lapsing := min(surplus, lapsed)
	switch {
	case surplus > 0 && taken > 0:
		return change{name: leavers[0], replace: true}
	case taken > 0:
		return change{name: spares[0], promote: true}
	case lapsing > voters%2 && voters-1-voters%2 >= b.most/2+1:
		return change{name: leavers[0]}
	}
	return change{}
}
