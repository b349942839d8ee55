package shoal

import (
	"sync"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// Exactly once across the loss of a publisher's node (guarantees 4 and 5). A QoS 2 message of a publisher whose session lasts is known, besides by its ID,
// by its origin: the publisher's ClientID, the packet identifier, and how far the agreed order had come when its node took it. The publisher's
// node has it agreed that the identifier is taken only when everybody who must have the message has it. Up to there a client whose node was lost
// sends the message again, to a node that has never heard of it and gives it a new ID. So whoever gets a message remembers its origin: sessions that last do
// so in what all nodes keep of them, all others of a node together. A second message of the same origin is not for them.
//
// An origin is forgotten when the agreed order says that the identifier is taken, or free, or that the publisher's session is over: after that
// nobody routes the message again. What comes with the same identifier later belongs to another exchange, which began further along in the agreed
// order. Whoever takes a repetition for one must know what had been agreed when it was sent: its sender has waited for that with a Barrier.

// holder is who had the message of an exchange: a session that lasts, or a shared group; or what is retained.
type holder struct {
	kind   holderKind
	agreed bool   // all nodes know
	own    bool   // this node gave the message to the holder
	at     uint64 // the origin's
	seq    uint64 // of the session's entry, if all nodes know
	name   string // ClientID, or "$share/name/filter"
	filter string // of the subscription, where a session gets a message once for each
}

type holderKind byte

const (
	holderSession holderKind = iota + 1
	holderGroup
	holderRetained
)

// exchange is one of a publisher, by which a message came that may come again.
type exchange struct {
	publisher string
	key       exchangeKey
	at        uint64 // when this node gave it to its sessions that do not last; 0 if it did not
	holders   holders
}

// exchangeKey tells the exchanges of a publisher from each other. Its wills count as exchanges that are over when the will is done.
type exchangeKey struct {
	packetID uint16
	will     uint64
}

func keyOf(o *core.Origin) exchangeKey { return exchangeKey{o.PacketID, o.Will} }

// origins are the exchanges this node knows of, by publisher.
type origins struct {
	mu sync.Mutex
	by map[string]map[exchangeKey]*exchange
	// sessions leads to what each session holds, the first of a list.
	sessions map[string]*holding
	// wills are those that this node has given to its sessions, and that are done.
	wills recent[willKey]
}

func (x *origins) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.by = make(map[string]map[exchangeKey]*exchange)
	x.sessions = make(map[string]*holding)
}

// repeats reports whether a message is the one that was here at some point, and not that of a later exchange.
func repeats(o *core.Origin, at uint64) bool { return at != 0 && (o.At <= at || at < o.Again) }

// exchange returns that of an origin. The caller holds x.mu.
func (x *origins) exchange(publisher string, id exchangeKey) *exchange {
	ids := x.by[publisher]
	if ids == nil {
		ids = make(map[exchangeKey]*exchange)
		x.by[publisher] = ids
	}
	ex := ids[id]
	if ex == nil {
		ex = &exchange{publisher: publisher, key: id}
		ids[id] = ex
	}
	return ex
}

// arrive notes that a message is being given to this node's sessions that do not last. It reports false if they have had it.
func (x *origins) arrive(publisher string, o *core.Origin) (first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ex := x.exchange(publisher, keyOf(o))
	if repeats(o, ex.at) {
		return false
	}
	ex.at = o.At
	return true
}

// take notes that a holder gets a message. It reports false if it has had it, by another transmission; or by this one, if again is set: while a session
// moves, one transmission comes to both of its nodes, and its other node cannot be relied on to have kept it.
func (x *origins) take(publisher string, o *core.Origin, h holder, again bool) (first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h.at, h.own = o.At, true
	ex := x.exchange(publisher, keyOf(o))
	if old := ex.find(h); old != nil {
		if repeats(o, old.at) && (again || o.At != old.at) {
			return false
		}
		old.holder = h
		return true
	}
	x.add(ex, h)
	return true
}

// find returns a holder as it is known, or nil.
func (ex *exchange) find(h holder) *holding {
	for _, old := range ex.holders.of(h.id()) {
		if old.id() == h.id() && (old.filter == h.filter || old.agreed) {
			return old
		}
	}
	return nil
}

// agree notes that all nodes know of a holder.
func (x *origins) agree(publisher string, o *core.Origin, h holder) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ex := x.exchange(publisher, keyOf(o))
	h.at, h.agreed = o.At, true
	if old := ex.find(h); old == nil {
		x.add(ex, h)
	} else if old.at <= h.at {
		old.at, old.seq, old.agreed = h.at, h.seq, true
	}
}

// unagree forgets what was agreed of a session's entries behind one: they were those of a home that had handed the session over before. What this node has given to
// the session, as its next home, it alone knows.
func (x *origins) unagree(id string, behind uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var next *holding
	for h := x.sessions[id]; h != nil; h = next {
		next = h.next
		switch {
		case !h.agreed || h.seq <= behind:
		case h.own:
			h.agreed, h.seq = false, 0
		default:
			x.remove(h)
			x.tidy(h.ex)
		}
	}
}

// has reports whether a holder has had a message.
func (x *origins) has(publisher string, o *core.Origin, h holder) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	ex := x.by[publisher][keyOf(o)]
	if ex == nil {
		return false
	}
	old := ex.find(h)
	return old != nil && repeats(o, old.at)
}

// isOwn reports whether a holder has had a message, and this node alone knows.
func (x *origins) isOwn(publisher string, o *core.Origin, h holder) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	ex := x.by[publisher][keyOf(o)]
	if ex == nil {
		return false
	}
	old := ex.find(h)
	return old != nil && !old.agreed && repeats(o, old.at)
}

// over forgets an exchange, as far as it had begun before a point of the agreed order.
func (x *origins) over(publisher string, id exchangeKey, before uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ids := x.by[publisher]; ids != nil {
		if ex := ids[id]; ex != nil && id.will != 0 && ex.at != 0 {
			x.wills.add(willKey{publisher, id.will})
		}
		x.forget(ids[id], before)
	}
}

// publisherOver forgets all exchanges of a publisher whose session is over.
func (x *origins) publisherOver(publisher string, before uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, ex := range x.by[publisher] {
		if id.will == 0 { // those are due now
			x.forget(ex, before)
		}
	}
}

// forget is called with x.mu held. ex may be nil.
func (x *origins) forget(ex *exchange, before uint64) {
	if ex == nil {
		return
	}
	if ex.at < before {
		ex.at = 0
	}
	x.drop(ex, func(h *holding) bool { return h.at < before })
	x.tidy(ex)
}

// tidy is called with x.mu held.
func (x *origins) tidy(ex *exchange) {
	if ex.at != 0 || ex.holders.len() > 0 {
		return
	}
	ids := x.by[ex.publisher]
	if delete(ids, ex.key); len(ids) == 0 {
		delete(x.by, ex.publisher)
	}
}

// forgetOwn forgets what this node alone knows, when it has let go of its sessions: it may not have told anybody that they had a message.
func (x *origins) forgetOwn() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ids := range x.by {
		for _, ex := range ids {
			ex.at = 0
			x.drop(ex, func(h *holding) bool { return !h.agreed })
			x.tidy(ex)
		}
	}
}

// forgetSession forgets what this node alone knows of a session that it lets go of.
func (x *origins) forgetSession(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var next *holding
	for h := x.sessions[id]; h != nil; h = next {
		if next = h.next; !h.agreed {
			x.remove(h)
			x.tidy(h.ex)
		}
	}
}

// some reports whether there is any exchange that is not over.
func (x *origins) some() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.by) > 0
}

// records returns what all nodes know, for a snapshot.
func (x *origins) records() (list [][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for publisher, ids := range x.by {
		for id, ex := range ids {
			for h := range ex.holders.all() {
				if !h.agreed {
					continue
				}
				b := codec.AppendString([]byte{snapOrigin}, publisher)
				b = codec.AppendUint(codec.AppendUint(codec.AppendUint(b, uint64(id.packetID)), id.will), h.at)
				b = codec.AppendUint(b, h.seq)
				list = append(list, codec.AppendString(append(b, byte(h.kind)), h.name))
			}
		}
	}
	return list
}

// restore reads one of what records returned.
func (x *origins) restore(r *codec.Reader) {
	publisher, o := r.String(), core.Origin{PacketID: uint16(r.Uint()), Will: r.Uint(), At: r.Uint()}
	h := holder{seq: r.Uint(), kind: holderKind(r.Byte()), name: r.String()}
	if r.Err() == nil {
		x.agree(publisher, &o, h)
	}
}
