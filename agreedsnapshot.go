package shoal

import (
	"fmt"
	"io"
	"maps"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// Snapshot implements StateMachine.
func (sm *stateMachine) Snapshot() (func(io.Writer) error, error) {
	n := (*clusterNode)(sm)
	a := &n.state
	type named struct {
		id string
		o  owner
	}
	a.mu.Lock()
	var routes []*route
	for _, m := range a.nodes {
		for _, rt := range m {
			routes = append(routes, rt)
		}
	}
	owners := make([]named, 0, len(a.owners))
	for id, o := range a.owners {
		owners = append(owners, named{id, *o})
	}
	epoch, step, now := a.epoch, a.step, a.now.Load()
	origins := a.origins.records()
	kept := maps.Clone(a.kept)
	heirs, up, common := maps.Clone(a.heirs), maps.Clone(a.up), a.common
	a.gen++ // what is changed from here on is copied first
	a.mu.Unlock()
	var retained []*core.Message
	for _, f := range []string{"#", "$SYS/#"} {
		n.b.retained.names.Load().Match(f, func(_ string, m *core.Message) bool {
			retained = append(retained, m)
			return true
		})
	}
	banned := n.b.bans.whole()
	return func(w io.Writer) error {
		s := newSnapshotWriter(w)
		s.put(codec.AppendUint(codec.AppendUint(codec.AppendUint(codec.AppendUint(nil, snapshotVersion), epoch), step), now))
		for _, rt := range routes {
			filter := rt.filter
			if rt.group != "" {
				filter = rt.group
			}
			b := codec.AppendString([]byte{snapRoute}, rt.node)
			b = codec.AppendString(b, filter)
			s.put(rt.members.append(b))
		}
		for i := range owners {
			s.put(appendOwner([]byte{snapOwner}, owners[i].id, &owners[i].o))
		}
		for _, m := range retained {
			s.put(appendMessage([]byte{snapRetained}, m))
		}
		for _, ban := range banned {
			s.put(appendBan([]byte{snapBan}, &ban))
		}
		for _, b := range origins {
			s.put(b)
		}
		for name, losses := range heirs {
			for _, l := range losses {
				s.put(appendLoss([]byte{snapHeir}, name, &l))
			}
		}
		for name, m := range up {
			b := codec.AppendUint(codec.AppendString([]byte{snapUp}, name), m.since)
			s.put(codec.AppendUint(codec.AppendString(b, m.reference), m.inherited))
		}
		s.put(common.append([]byte{snapCommon}))
		enc := &changeEncoder{msgs: make(map[*core.Message]uint64)}
		for id, k := range kept {
			s.put(k.appendHead(codec.AppendString([]byte{snapKept}, id)))
			for i := range k.entries {
				if e := &k.entries[i]; e.State != core.Done {
					enc.buf = append(enc.buf[:0], snapEntry)
					enc.entry(e)
					s.put(enc.buf)
				}
			}
		}
		return s.end()
	}, nil
}

// Restore implements StateMachine.
func (sm *stateMachine) Restore(src io.Reader) error {
	n := (*clusterNode)(sm)
	a := &n.state
	if n.up.Load() {
		// Nothing may be matched while the state is empty, nor with sessions that the state does not have any more. The Replicator has this node
		// come up anew, and then it gets its sessions as after a restart.
		n.givenUp()
	}
	n.keeper.pause()
	n.b.retained.clear()
	n.b.bans.clear()
	a.reset()
	s := newSnapshotReader(src)
	head, err := s.next()
	if err != nil {
		return err
	}
	r := codec.NewReader(head)
	if v := r.Uint(); v != snapshotVersion || r.Err() != nil {
		return fmt.Errorf("shoal: snapshot of version %d, this program reads %d", v, snapshotVersion)
	}
	epoch, step, now := r.Uint(), r.Uint(), r.Uint()
	d := new(snapshotDecoder)
	for {
		b, err := s.next()
		if err == io.EOF { //nolint:errorlint // next returns it as it is
			break
		}
		if err != nil {
			return err
		}
		if err := a.restoreOne(b, d); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.epoch, a.step = epoch, step
	a.now.Store(now)
	a.mu.Unlock()
	n.keeper.turn()
	n.b.disconnectAllBanned()
	return nil
}

// snapshotDecoder remembers what later records of a snapshot refer to.
type snapshotDecoder struct {
	changes changeDecoder
	kept    *keptSession
}

// appendHead appends a kept session without its entries.
func (k *keptSession) appendHead(b []byte) []byte {
	b = codec.AppendUint(b, uint64(k.expiry))
	b = codec.AppendUint(b, uint64(k.away))
	for _, n := range []uint64{k.top, k.doubt, k.claimed, k.noted} {
		b = codec.AppendUint(b, n)
	}
	b = codec.AppendUint(b, uint64(len(k.subs)))
	for filter, sub := range k.subs {
		b = codec.AppendBytes(codec.AppendString(b, filter), sub)
	}
	b = codec.AppendUint(b, uint64(len(k.received)))
	for id := range k.received {
		b = codec.AppendUint(b, uint64(id))
	}
	return b
}

func (k *keptSession) readHead(r *codec.Reader) {
	k.expiry, k.away = r.Uint32(), int64(r.Uint())
	k.top, k.doubt, k.claimed, k.noted = r.Uint(), r.Uint(), r.Uint(), r.Uint()
	for range r.Count() {
		k.setSubscription(r.String(), r.Bytes())
	}
	for range r.Count() {
		k.setReceived(uint16(r.Uint()), true)
	}
}

const (
	snapshotVersion = 7

	snapRoute byte = iota
	snapOwner
	snapRetained
	snapHeir
	snapUp
	snapKept
	snapEntry // of the last snapKept
	snapBan
	snapCommon
	snapOrigin
)

func (a *agreed) restoreOne(b []byte, d *snapshotDecoder) error {
	r := codec.NewReader(b)
	switch r.Byte() {
	case snapRoute:
		node, filter, m := r.String(), r.String(), readMembers(r)
		if r.Err() == nil {
			a.setRoute(node, filter, m)
		}
	case snapOwner:
		id, o := readOwner(r)
		a.mu.Lock()
		a.owners[id] = o
		a.mu.Unlock()
	case snapHeir:
		name, l := readLoss(r)
		a.mu.Lock()
		a.heirs[name] = append(a.heirs[name], l)
		a.mu.Unlock()
	case snapUp:
		name, m := r.String(), member{since: r.Uint(), reference: r.String()}
		if r.More() { // not so before this was noted
			m.inherited = r.Uint()
		}
		a.mu.Lock()
		a.up[name] = m
		a.mu.Unlock()
	case snapKept:
		id := r.String()
		a.mu.Lock()
		d.kept = a.keep(id)
		d.kept.readHead(r)
		a.mu.Unlock()
	case snapEntry:
		if d.kept == nil {
			r.Fail()
			break
		}
		d.changes.r = r
		if e := d.changes.entry(); r.Err() == nil {
			a.mu.Lock()
			d.kept.add(e)
			a.mu.Unlock()
		}
	case snapBan:
		if ban := readBan(r); r.Err() == nil {
			a.n.b.bans.put(ban)
		}
	case snapCommon:
		a.mu.Lock()
		a.common.read(r)
		a.mu.Unlock()
	case snapOrigin:
		a.origins.restore(r)
	case snapRetained:
		if m := readMessage(r); r.Err() == nil {
			a.n.b.retained.set(m, a.n.b.tenantOf(a.makerOf(m.Publisher)))
		}
	}
	return r.Err()
}
