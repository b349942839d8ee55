package shoal

import (
	"maps"
	"slices"
	"sort"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// keptSession is what every node has of a session that outlives its connection, so that any of them can go on with it: Session Expiry
// Interval, subscriptions, messages queued and in flight, identifiers of QoS 2 messages received. The session's home changes it, through
// the agreed order. See replication.go for how changes come, and adoption.go for what becomes of them when the home is lost.
//
// It is changed on Apply's goroutine alone. Whoever else looks at one must have been given it there, with share.
type keptSession struct {
	gen      uint64 // it may be changed while this is agreed.gen; else a copy is
	expiry   uint32
	maker    maker             // as it came with a change, or from a store; what is agreed is the owner's
	away     int64             // Unix seconds; 0 while the client is connected
	subs     map[string][]byte // by filter, encoded
	entries  []core.Entry      // by number; without message where they have ended
	gone     int               // of those
	top      uint64            // the greatest number there was
	doubt    uint64            // entries up to this number may have been sent by a node that was lost, without a word about it
	claimed  uint64            // epoch of the last claim; 0 once the client is known to have gone away after that
	noted    uint64            // of entries up to this number it is agreed whether they may come again; see commonnotes.go
	received map[uint16]struct{}
}

// suspend notes that the node of the session was lost: if the client was connected there, whatever was queued may have been sent.
func (k *keptSession) suspend() {
	if k.claimed != 0 {
		k.doubt = k.top
	}
}

// settle notes that no message comes again: what its exchange was is not known any more. It reports whether that changes anything.
func (k *keptSession) settle() (changed bool) {
	for i := range k.entries {
		changed = changed || k.entries[i].Fresh
		k.entries[i].Fresh = false
	}
	return changed
}

// findEntry finds an entry by its number.
func findEntry(entries []core.Entry, seq uint64) (int, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Seq >= seq })
	return i, i < len(entries) && entries[i].Seq == seq
}

// share keeps k from being changed: who has it may read it at any time.
func (k *keptSession) share() *keptSession {
	k.gen = 0
	return k
}

// change returns the kept session of a client to be changed, nil if there is none. The caller holds a.mu, as for all functions here.
func (a *agreed) change(id string) *keptSession {
	k := a.kept[id]
	if k == nil || k.gen == a.gen {
		return k
	}
	own := &keptSession{
		gen: a.gen, expiry: k.expiry, away: k.away, maker: k.maker, subs: maps.Clone(k.subs), entries: slices.Clone(k.entries), gone: k.gone, top: k.top,
		doubt: k.doubt, claimed: k.claimed, noted: k.noted, received: maps.Clone(k.received),
	}
	a.kept[id] = own
	return own
}

// keep begins to keep a session, or goes on.
func (a *agreed) keep(id string) *keptSession {
	if k := a.change(id); k != nil {
		return k
	}
	k := &keptSession{gen: a.gen}
	a.kept[id] = k
	return k
}

// applyChanges applies what a node says its sessions have changed. Sessions that are not at home there any more are passed over, and so are
// those that were there once and have come back since: the node has not heard yet that it lost them.
func (a *agreed) applyChanges(node string, r *codec.Reader) error {
	d := &changeDecoder{r: r}
	a.mu.Lock()
	defer a.mu.Unlock()
	for r.More() {
		id, epoch, has := r.String(), r.Uint(), r.Byte()
		if r.Err() != nil {
			break
		}
		o := a.owners[id]
		mine := o != nil && o.home == node && epoch >= o.settled
		if mine && has&(changedForget|changedOver) != 0 {
			old := a.kept[id]
			delete(a.kept, id)
			if old != nil && has&changedOver == 0 {
				a.keep(id).noted = old.noted
			}
		}
		if has&changedOver != 0 {
			if moment := r.Uint(); mine && r.Err() == nil {
				a.origins.publisherOver(id, moment)
			}
		}
		var k *keptSession
		switch {
		case !mine || has&changedOver != 0:
			k = &keptSession{} // read, and thrown away
		case has&changedMeta != 0:
			k = a.keep(id)
		default:
			if k = a.change(id); k == nil {
				k = &keptSession{}
			}
		}
		if !mine {
			k.apply(has, epoch, d, func(*core.Entry) {}, func(uint16, uint64) {})
			continue
		}
		k.apply(has, epoch, d, func(e *core.Entry) { a.had(id, e) }, func(packetID uint16, moment uint64) { a.origins.over(id, exchangeKey{packetID: packetID}, moment) })
		if !o.maker.known && k.maker.known { // a store knew it that the cluster began with
			next := *o
			next.maker = k.maker
			a.owners[id] = &next
		}
	}
	return r.Err()
}

// apply applies the changes of one session. It tells of every message that came, and of every identifier of the client's that was taken
// or freed, and when.
func (k *keptSession) apply(has byte, epoch uint64, d *changeDecoder, came func(*core.Entry), settled func(packetID uint16, moment uint64)) {
	r := d.r
	if has&changedMeta != 0 {
		k.expiry, k.away = r.Uint32(), int64(r.Uint())
		if k.away == 0 {
			k.claimed = max(k.claimed, epoch)
		} else if epoch >= k.claimed {
			k.claimed = 0
		}
	}
	if has&changedMaker != 0 {
		k.maker = readMaker(r)
	}
	if has&changedSubs != 0 {
		for range r.Count() {
			k.setSubscription(r.String(), r.Bytes())
		}
	}
	if has&changedEntries != 0 {
		for range r.Count() {
			if e := d.entry(); r.Err() == nil {
				came(&e)
				k.add(e)
			}
		}
	}
	if has&changedProgress != 0 {
		k.sent(r.Uint())
		for range r.Count() {
			seq, id := r.Uint(), uint16(r.Uint())
			if i, ok := findEntry(k.entries, seq); ok {
				k.entries[i].PacketID = id
			}
		}
		readNumbers(r, func(seq uint64) {
			if i, ok := findEntry(k.entries, seq); ok {
				k.entries[i].State = core.Released
			}
		})
		readNumbers(r, k.end)
		k.tidy()
	}
	if has&changedReceived != 0 {
		for range r.Count() {
			packetID := uint16(r.Uint())
			k.setReceived(packetID, r.Bool())
			settled(packetID, r.Uint())
		}
	}
}

func (k *keptSession) setSubscription(filter string, sub []byte) {
	if len(sub) == 0 {
		delete(k.subs, filter)
		return
	}
	if k.subs == nil {
		k.subs = make(map[string][]byte)
	}
	k.subs[filter] = append([]byte(nil), sub...)
}

func (k *keptSession) setReceived(id uint16, taken bool) {
	if !taken {
		delete(k.received, id)
		return
	}
	if k.received == nil {
		k.received = make(map[uint16]struct{})
	}
	k.received[id] = struct{}{}
}

// sent notes that everything up to an entry has been sent. Identifiers follow from the numbers, mostly.
func (k *keptSession) sent(seq uint64) {
	for i := sort.Search(len(k.entries), func(i int) bool { return k.entries[i].Seq > seq }) - 1; i >= 0; i-- {
		e := &k.entries[i]
		if e.State != core.Queued && e.State != core.Done {
			return // what is before it was sent before it
		}
		if e.State == core.Queued {
			e.State, e.PacketID = core.Sent, core.IDOf(e.Seq)
		}
	}
}

func (k *keptSession) end(seq uint64) {
	if i, ok := findEntry(k.entries, seq); ok && k.entries[i].State != core.Done {
		k.entries[i] = core.Entry{Seq: seq, State: core.Done}
		k.gone++
	}
}

// tidy forgets entries that have ended.
func (k *keptSession) tidy() {
	for len(k.entries) > 0 && k.entries[0].State == core.Done {
		k.entries[0] = core.Entry{}
		k.entries = k.entries[1:]
		k.gone--
	}
	if k.gone > len(k.entries)/2 {
		k.entries = slices.DeleteFunc(k.entries, func(e core.Entry) bool { return e.State == core.Done })
		k.gone = 0
	}
	if len(k.entries) == 0 {
		k.entries = nil
	}
}

// add appends an entry.
func (k *keptSession) add(e core.Entry) {
	k.entries = append(k.entries, e)
	k.top = max(k.top, e.Seq)
}

// cut forgets the entries after a number.
func (k *keptSession) cut(seq uint64) {
	i, _ := findEntry(k.entries, seq+1)
	for j := i; j < len(k.entries); j++ {
		if k.entries[j].State == core.Done {
			k.gone--
		}
	}
	clear(k.entries[i:])
	k.entries = k.entries[:i]
}
