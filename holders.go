package shoal

import (
	"iter"
	"slices"
)

// holding is a holder of the message of an exchange, and where it stands: in the exchange, and among what else its session holds. A message may be
// with every session of the cluster, and a session may hold the messages of every publisher; whatever is asked for each message, or for each session
// that moves or ends, must not search all of one or the other.
type holding struct {
	holder
	ex         *exchange
	prev, next *holding // of the same session
}

// holderID is who holds; a session with several filters may do so more than once.
type holderID struct {
	kind holderKind
	name string
}

func (h *holder) id() holderID { return holderID{h.kind, h.name} }

// holders are those of an exchange, in the order in which they came as far as they are of one holderID.
type holders struct {
	few  []*holding // while they are
	many map[holderID][]*holding
}

// fewHolders are searched faster one after another.
const fewHolders = 8

// of returns a list that all of a holderID are in; others may be, too.
func (l *holders) of(id holderID) []*holding {
	if l.many == nil {
		return l.few
	}
	return l.many[id]
}

func (l *holders) len() int {
	if l.many == nil {
		return len(l.few)
	}
	return len(l.many)
}

// all returns all holders. Those that it has returned may be removed meanwhile.
func (l *holders) all() iter.Seq[*holding] {
	return func(yield func(*holding) bool) {
		for _, h := range slices.Clone(l.few) {
			if !yield(h) {
				return
			}
		}
		for _, list := range l.many {
			for _, h := range slices.Clone(list) {
				if !yield(h) {
					return
				}
			}
		}
	}
}

func (l *holders) add(h *holding) {
	if l.many == nil && len(l.few) < fewHolders {
		l.few = append(l.few, h)
		return
	}
	if l.many == nil {
		l.many = make(map[holderID][]*holding, 2*fewHolders)
		for _, f := range l.few {
			l.many[f.id()] = append(l.many[f.id()], f)
		}
		l.few = nil
	}
	l.many[h.id()] = append(l.many[h.id()], h)
}

func (l *holders) remove(h *holding) {
	without := func(list []*holding) []*holding {
		if i := slices.Index(list, h); i >= 0 {
			return slices.Delete(list, i, i+1)
		}
		return list
	}
	if l.many == nil {
		l.few = without(l.few)
		return
	}
	id := h.id()
	if l.many[id] = without(l.many[id]); len(l.many[id]) == 0 {
		delete(l.many, id)
	}
}

// add adds a holder to an exchange. The caller holds x.mu.
func (x *origins) add(ex *exchange, who holder) {
	h := &holding{holder: who, ex: ex}
	ex.holders.add(h)
	if who.kind != holderSession {
		return
	}
	if h.next = x.sessions[who.name]; h.next != nil {
		h.next.prev = h
	}
	x.sessions[who.name] = h
}

// remove removes a holder. The caller holds x.mu.
func (x *origins) remove(h *holding) {
	h.ex.holders.remove(h)
	if h.kind != holderSession {
		return
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	switch {
	case h.prev != nil:
		h.prev.next = h.next
	case h.next != nil:
		x.sessions[h.name] = h.next
	default:
		delete(x.sessions, h.name)
	}
}

// drop removes those of an exchange that which chooses. The caller holds x.mu.
func (x *origins) drop(ex *exchange, which func(h *holding) bool) {
	for h := range ex.holders.all() {
		if which(h) {
			x.remove(h)
		}
	}
}
