package acl

import (
	"slices"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/topics"
)

// Decision is what rules have to say of a request.
type Decision byte

// The decisions.
const (
	NoMatch Decision = iota // no rule decided
	Denied
	Allowed
)

// String returns "no match", "denied" or "allowed".
func (d Decision) String() string {
	switch d {
	case Allowed:
		return "allowed"
	case Denied:
		return "denied"
	}
	return "no match"
}

// Access is a List with a client's names. It is safe for concurrent use. The nil Access has no
// rules.
type Access struct{ rules []filled }

// filled is a rule for one client. An empty filter stands for all topics.
type filled struct {
	compiled
	filter  string
	unknown bool // a value could not be put in
}

// For returns the rules as they are for a client.
func (l *List) For(c Client) *Access {
	if l == nil {
		return nil
	}
	a := &Access{rules: make([]filled, 0, len(l.rules))}
	for _, r := range l.rules {
		f := filled{compiled: r, unknown: true}
		if r.template.texts != nil {
			filter, ok := r.template.fill(c)
			f.filter, f.unknown = filter, !ok
		} else {
			f.actions, f.qos = Both, [3]bool{true, true, true}
		}
		if f.unknown && r.effect == Allow {
			continue
		}
		a.rules = append(a.rules, f)
	}
	if l.order == LongestWins {
		slices.SortStableFunc(a.rules, byLength)
	}
	return a
}

// byLength puts long filters before short ones, denying rules before others, and denying rules
// that nothing is known of before all.
func byLength(a, b filled) int {
	switch {
	case a.unknown != b.unknown:
		if a.unknown {
			return -1
		}
		return 1
	case len(a.filter) != len(b.filter):
		return len(b.filter) - len(a.filter)
	}
	return int(a.effect) - int(b.effect)
}

// Decide says whether the client may do what it asks for. Client ID and principal of the request
// are not looked at: they were given to List.For.
func (a *Access) Decide(r *shoal.AccessRequest) Decision {
	if a == nil {
		return NoMatch
	}
	topic := r.Topic
	if r.Action == shoal.ActionSubscribe {
		shared, ok, err := topics.ParseShare(topic)
		if err != nil {
			return Denied
		}
		if ok {
			topic = shared.Filter
		}
	}
	for i := range a.rules {
		if d := a.rules[i].decide(r, topic); d != NoMatch {
			return d
		}
	}
	return NoMatch
}

func (f *filled) decide(r *shoal.AccessRequest, topic string) Decision {
	if !f.about(r) {
		return NoMatch
	}
	if f.effect == Allow {
		if topics.Covers(f.filter, topic) {
			return Allowed
		}
		return NoMatch
	}
	if f.filter == "" || topics.Overlap(f.filter, topic) {
		return Denied
	}
	return NoMatch
}

// about reports whether the rule says anything of such requests, whatever the topic.
func (f *filled) about(r *shoal.AccessRequest) bool {
	if int(r.QoS) >= len(f.qos) || !f.qos[r.QoS] {
		return false
	}
	if r.Action == shoal.ActionSubscribe {
		return f.actions&Subscribe != 0
	}
	return f.actions&Publish != 0 && (f.retain == AnyRetain || (f.retain == RetainSet) == r.Retain)
}
