package shoal

import (
	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// sessionChanges are what one session has changed since its last changes left. It is guarded by the session's lock.
type sessionChanges struct {
	forget bool // everything before is void
	whole  bool // what there is now takes the place of everything
	meta   bool
	over   uint64 // the session is not kept any more, since this moment; else 0
	subs   map[string]*subscription
	// entries that came, and those of earlier groups that ended, were answered with PUBREC, or were sent with an identifier that does
	// not follow from their number; and the last one that was sent.
	entries  []core.Entry
	ended    []uint64
	released []uint64
	odd      []core.Entry
	sent     uint64
	received map[uint16]identifier // what became of identifiers of the client's
	cost     int
}

// identifier is what became of a packet identifier of the client's, and when: all exchanges that began before are settled.
type identifier struct {
	taken  bool
	moment uint64
}

func (r *replication) meta(s *session) { r.changes(s).meta = true }

// whole makes what the session is now take the place of everything that is kept of it.
func (r *replication) whole(s *session) {
	c := r.changes(s)
	*c = sessionChanges{whole: true, cost: c.cost}
}

func (r *replication) forget(s *session) {
	c := r.changes(s)
	*c = sessionChanges{over: r.n.moments.next(), cost: c.cost}
}

func (r *replication) subscribed(s *session, sub *subscription) { r.subscription(s, sub.filter, sub) }

func (r *replication) unsubscribed(s *session, filter string) { r.subscription(s, filter, nil) }

func (r *replication) subscription(s *session, filter string, sub *subscription) {
	c := r.changes(s)
	if c.subs == nil {
		c.subs = make(map[string]*subscription)
	}
	c.subs[filter] = sub
}

func (r *replication) enqueued(s *session, e *core.Entry) {
	c := r.changes(s)
	if c.whole {
		return
	}
	c.entries = append(c.entries, *e)
	cost := e.Msg.Cost()
	c.cost += cost
	r.bytes.Add(int64(cost))
}

func (r *replication) sent(s *session, e *core.Entry) {
	c := r.changes(s)
	c.sent = max(c.sent, e.Seq)
	if e.PacketID != core.IDOf(e.Seq) {
		c.odd = append(c.odd, core.Entry{Seq: e.Seq, PacketID: e.PacketID})
	}
}

func (r *replication) pubRecReceived(s *session, e *core.Entry) {
	c := r.changes(s)
	c.released = append(c.released, e.Seq)
}

// entryEnded notes the end of a message. One that has not left yet never will.
func (r *replication) entryEnded(s *session, e *core.Entry) {
	c := r.changes(s)
	if len(c.entries) > 0 && e.Seq >= c.entries[0].Seq {
		if i, ok := findEntry(c.entries, e.Seq); ok {
			c.entries[i].Msg = nil
			return
		}
	}
	c.ended = append(c.ended, e.Seq)
}

func (r *replication) received(s *session, packetID uint16) { r.identifier(s, packetID, true) }

func (r *replication) completed(s *session, packetID uint16) { r.identifier(s, packetID, false) }

func (r *replication) identifier(s *session, packetID uint16, taken bool) {
	c := r.changes(s)
	if c.received == nil {
		c.received = make(map[uint16]identifier)
	}
	c.received[packetID] = identifier{taken, r.n.moments.next()}
}

// changeEncoder makes a command of the changes of many sessions. A message that went to many of them is in it once.
type changeEncoder struct {
	buf    []byte
	msgs   map[*core.Message]uint64
	narrow bool
}

// take returns the command, or nil if there are no changes, and begins a new one.
func (c *changeEncoder) take() []byte {
	b := c.buf
	c.buf, c.msgs = nil, nil
	return b
}

// What the changes of one session have, as bits of a byte.
const (
	changedForget = 1 << iota // what was kept is void
	changedOver               // and nothing is kept any more
	changedMeta
	changedSubs
	changedEntries
	changedProgress // what was sent, released and ended
	changedReceived
	changedMaker // comes with what is known of the session itself
)

// session appends the changes of a session. The caller holds s.mu.
func (c *changeEncoder) session(s *session, ch *sessionChanges) {
	if c.buf == nil {
		c.buf = command(cmdChanges)
		c.msgs = make(map[*core.Message]uint64)
	}
	if ch.whole && (!s.durable || s.cleared != nil) {
		*ch = sessionChanges{over: s.b.cluster.moments.next()}
	}
	if ch.whole {
		*ch = sessionChanges{forget: true, meta: true}
		if !c.narrow {
			*ch = wholeSession(s)
		}
	}
	var has byte
	set := func(bit byte, is bool) {
		if is {
			has |= bit
		}
	}
	set(changedForget, ch.forget)
	set(changedOver, ch.over != 0)
	set(changedMeta, ch.meta)
	set(changedSubs, len(ch.subs) > 0)
	set(changedEntries, len(ch.entries) > 0)
	set(changedProgress, ch.sent > 0 || len(ch.released) > 0 || len(ch.ended) > 0)
	set(changedReceived, len(ch.received) > 0)
	set(changedMaker, ch.meta && s.maker.known)
	c.buf = codec.AppendUint(codec.AppendString(c.buf, s.clientID), s.epoch)
	c.buf = append(c.buf, has)
	if ch.over != 0 {
		c.buf = codec.AppendUint(c.buf, ch.over)
	}
	if ch.meta {
		c.buf = appendMeta(c.buf, s)
	}
	if has&changedMaker != 0 {
		c.buf = s.maker.append(c.buf)
	}
	if len(ch.subs) > 0 {
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.subs)))
		for filter, sub := range ch.subs {
			c.buf = codec.AppendString(c.buf, filter)
			var b []byte
			if sub != nil {
				b = appendSubscription(nil, sub)
			}
			c.buf = codec.AppendBytes(c.buf, b)
		}
	}
	if len(ch.entries) > 0 {
		c.entries(ch.entries)
	}
	if has&changedProgress != 0 {
		c.buf = codec.AppendUint(c.buf, ch.sent)
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.odd)))
		for i := range ch.odd {
			c.buf = codec.AppendUint(c.buf, ch.odd[i].Seq)
			c.buf = codec.AppendUint(c.buf, uint64(ch.odd[i].PacketID))
		}
		c.buf = appendNumbers(c.buf, ch.released)
		c.buf = appendNumbers(c.buf, ch.ended)
	}
	if len(ch.received) > 0 {
		c.buf = codec.AppendUint(c.buf, uint64(len(ch.received)))
		for id, i := range ch.received {
			c.buf = codec.AppendBool(codec.AppendUint(c.buf, uint64(id)), i.taken)
			c.buf = codec.AppendUint(c.buf, i.moment)
		}
	}
}

// wholeSession returns all of a session as if it had just come.
func wholeSession(s *session) sessionChanges {
	ch := sessionChanges{forget: true, meta: true, subs: s.subs}
	s.core.Kept(func(e *core.Entry) {
		if s.keeps(e) {
			ch.entries = append(ch.entries, *e)
		}
	})
	if s.expiry == 0 {
		return ch
	}
	for _, id := range s.core.Unreleased() {
		if ch.received == nil {
			ch.received = make(map[uint16]identifier)
		}
		ch.received[id] = identifier{taken: true} // when it was taken has been said, or is not known
	}
	return ch
}

func (c *changeEncoder) entries(entries []core.Entry) {
	n := 0
	for i := range entries {
		if entries[i].Msg != nil {
			n++
		}
	}
	c.buf = codec.AppendUint(c.buf, uint64(n))
	for i := range entries {
		if entries[i].Msg != nil {
			c.entry(&entries[i])
		}
	}
}

// entry appends an entry: its message, or, if that is in this command already, which one it is.
func (c *changeEncoder) entry(e *core.Entry) {
	c.buf = appendEntryHead(c.buf, e)
	at, known := c.msgs[e.Msg]
	c.buf = codec.AppendUint(c.buf, at)
	if !known {
		c.msgs[e.Msg] = uint64(len(c.msgs)) + 1
		c.buf = appendMessage(c.buf, e.Msg)
	}
}

// changeDecoder reads what changeEncoder made.
type changeDecoder struct {
	r    *codec.Reader
	msgs []*core.Message
}

// entry reads an entry. Its message has memory of its own.
func (d *changeDecoder) entry() core.Entry {
	e := readEntryHead(d.r)
	at := d.r.Uint()
	switch {
	case at == 0:
		e.Msg = readMessage(d.r)
		e.Msg.Payload = append([]byte(nil), e.Msg.Payload...) // commands are not kept
		d.msgs = append(d.msgs, e.Msg)
	case at <= uint64(len(d.msgs)):
		e.Msg = d.msgs[at-1]
	default:
		d.r.Fail()
		e.Msg = new(core.Message)
	}
	return e
}

// appendNumbers appends ascending or nearly ascending numbers as their differences.
func appendNumbers(b []byte, ns []uint64) []byte {
	b = codec.AppendUint(b, uint64(len(ns)))
	last := uint64(0)
	for _, n := range ns {
		b = codec.AppendUint(b, n-last) // wraps around if it is less; reading wraps back
		last = n
	}
	return b
}

func readNumbers(r *codec.Reader, fn func(n uint64)) {
	last := uint64(0)
	for range r.Count() {
		last += r.Uint()
		if r.Err() != nil {
			return
		}
		fn(last)
	}
}
