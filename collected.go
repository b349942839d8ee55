package shoal

import (
	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// What comes for a session that is on its way here is collected until the session has come (takeover.go). Part of it may have come before, which the last
// home alone may know: it had the message by an earlier transmission (origins.go), which is not agreed until the store that all nodes share has it; and
// when the session comes, the exchange may be over everywhere, since the new home has accepted what it collected. So the last home says what the session has had
// by which exchange, whoever else knows that, and what it has dropped since it was asked for the session.

// collected is a message that has come for a session while not all of the session is here.
type collected struct {
	core.Entry
	filter string       // of the subscription it came by, where a session gets a message once for each
	origin *core.Origin // nil unless the message may come again
}

// repetitionsLimit bounds what is remembered of a session that was offered to another node: it moves within seconds.
const repetitionsLimit = 4096

// repetition notes that a message is dropped because the session has had it. The caller holds s.mu.
func (s *session) repetition(id msgID) {
	if s.offered && s.phase != phaseGathering && len(s.repetitions) < repetitionsLimit {
		s.repetitions = append(s.repetitions, id)
	}
}

// hadKey is an exchange by which a session may have had a message.
type hadKey struct {
	publisher string
	exchange  exchangeKey
	filter    string
}

// hadBy says when a session has had messages by exchanges, as its last home knows: for each subscription, or, where all know, for any.
type hadBy struct{ each, any map[hadKey]uint64 }

// has reports whether the session has had what was collected.
func (l *hadBy) has(c *collected) bool {
	if c.origin == nil {
		return false
	}
	k := hadKey{publisher: c.Msg.Publisher, exchange: keyOf(c.origin)}
	if repeats(c.origin, l.any[k]) {
		return true
	}
	k.filter = c.filter
	return repeats(c.origin, l.each[k])
}

// appendHadBy appends what this node knows of a session, which is on its way to another node.
func (x *origins) appendHadBy(b []byte, id string) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := uint64(0)
	var list []byte
	for h := x.sessions[id]; h != nil; h = h.next {
		n++
		list = codec.AppendBool(list, h.agreed)
		list = codec.AppendString(codec.AppendString(list, h.ex.publisher), h.filter)
		list = appendOrigin(list, &core.Origin{PacketID: h.ex.key.packetID, Will: h.ex.key.will, At: h.at})
	}
	return append(codec.AppendUint(b, n), list...)
}

// readHadBy reads what appendHadBy wrote. What is not agreed is known here from now on; the rest all nodes know, or it is over.
func (x *origins) readHadBy(r *codec.Reader, id string) *hadBy {
	l := &hadBy{make(map[hadKey]uint64), make(map[hadKey]uint64)}
	for range r.Count() {
		agreed, publisher, filter := r.Bool(), r.String(), r.String()
		o := readOrigin(r)
		if r.Err() != nil {
			break
		}
		k := hadKey{publisher: publisher, exchange: keyOf(o)}
		if agreed {
			l.any[k] = o.At
			continue
		}
		k.filter = filter
		l.each[k] = o.At
		x.take(publisher, o, holder{kind: holderSession, name: id, filter: filter}, true)
	}
	return l
}
