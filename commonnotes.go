package shoal

import (
	"errors"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// Exactly once where all nodes share a store (see origins.go). What is in a session is in the store, so the agreed order does not tell from it which QoS 2
// messages the session has had, and which exchanges are over. Notes tell that, and nothing of what is in the messages. A note is proposed
// once the store has what it is about, never before: if its node is lost in between, the session has had the message, and its heir, who finds it
// in the store, and not among what was noted, notes it then. Whoever waits for the store waits for the notes as well.
//
// How far the entries of a session are noted is agreed, too: from there on back, the agreed order alone says whether a message may still come again.

// The kinds of notes.
const (
	noteHad  byte = iota + 1 // a session has an entry
	noteOver                 // an exchange is over
	// noteHere: the node was one of the cluster's when the store had what it wrote: a QoS 2 message, or the answer to one. What leaves for that waits for
	// the note. A node that is cut off from the others, and not from the store, would bring the exchange to where the store has forgotten the message;
	// and whoever has sent it to that node, and has had no answer, would send it to the session's heir.
	noteHere
)

// noteEntry returns the note of an entry, nil if its message cannot come again. The caller holds s.mu.
func (s *session) noteEntry(e *core.Entry) []byte {
	if !e.Fresh || e.Msg.Origin == nil {
		return nil
	}
	b := codec.AppendString([]byte{noteHad}, s.clientID)
	b = codec.AppendUint(codec.AppendUint(b, s.fence.Epoch), s.fence.Step)
	b = codec.AppendString(codec.AppendUint(b, e.Seq), e.Share)
	return appendOrigin(codec.AppendString(b, e.Msg.Publisher), e.Msg.Origin)
}

// noteOver returns the note that the session's client may use an identifier for another message from now on. The caller holds s.mu.
func (s *session) noteOver(packetID uint16) []byte {
	b := codec.AppendUint(codec.AppendString([]byte{noteOver}, s.clientID), uint64(packetID))
	return codec.AppendUint(b, s.b.cluster.moments.next())
}

// applyNotes applies what the store has.
func (a *agreed) applyNotes(node string, r *codec.Reader) error {
	for r.More() {
		switch kind := r.Byte(); kind {
		case noteHad:
			id, fence := r.String(), Fence{Epoch: r.Uint(), Step: r.Uint()}
			e := core.Entry{Seq: r.Uint(), Share: r.String(), Fresh: true}
			e.Msg = &core.Message{Publisher: r.String(), Origin: readOrigin(r)}
			if r.Err() != nil {
				return r.Err()
			}
			a.mu.Lock()
			if o := a.owners[id]; o != nil && o.home == node && o.fence() == fence { // else the session is over, or another's
				a.had(id, &e)
			}
			a.mu.Unlock()
		case noteOver:
			publisher, packetID, moment := r.String(), r.Uint(), r.Uint()
			if r.Err() != nil {
				return r.Err()
			}
			a.origins.over(publisher, exchangeKey{packetID: uint16(packetID)}, moment)
		case noteHere: // that it is agreed is all there is to it
		default:
			r.Fail()
			return r.Err()
		}
	}
	return r.Err()
}

// had notes that a session has a message that may come again. Everything up to an entry that was noted once is noted: some of it may be over since. The
// caller holds a.mu.
func (a *agreed) had(id string, e *core.Entry) {
	if !e.Fresh || e.Msg.Origin == nil {
		return
	}
	if k := a.change(id); k != nil {
		if e.Seq <= k.noted {
			return
		}
		k.noted = e.Seq
	}
	h := holder{kind: holderSession, name: id, seq: e.Seq}
	if e.Share != "" {
		h = holder{kind: holderGroup, name: e.Share}
	}
	a.origins.agree(e.Msg.Publisher, e.Msg.Origin, h)
}

// note has notes agreed on, in the order of the calls.
func (n *clusterNode) note(notes [][]byte, wait *acceptance) {
	cmd := command(cmdNotes)
	leave := func() {
		wait.add()
		n.c.ProposeAsync(cmd, func(_ any, err error) {
			code := packets.Success
			if err != nil && !errors.Is(err, ErrResultUnknown) { // else it was applied
				code = packets.ServerUnavailable
			}
			wait.finish(code)
		})
	}
	for _, note := range notes {
		if len(cmd)+len(note) > changesChunk {
			leave()
			cmd = command(cmdNotes)
		}
		cmd = append(cmd, note...)
	}
	leave()
}

// unnoted returns the entries of a session from the store that its last home had no time to note.
func (in *inherited) unnoted() (entries []*core.Entry) {
	for i := range in.kept.entries {
		if e := &in.kept.entries[i]; e.Fresh && e.Msg != nil && e.Msg.Origin != nil && e.Seq > in.kept.noted {
			entries = append(entries, e)
		}
	}
	return entries
}

// takeUnnoted has what was not noted known here, before anything can come again.
func (x *origins) takeUnnoted(in *inherited) {
	for _, e := range in.unnoted() {
		h := holder{kind: holderSession, name: in.id, seq: e.Seq}
		if e.Share != "" {
			h = holder{kind: holderGroup, name: e.Share}
		}
		x.agree(e.Msg.Publisher, e.Msg.Origin, h)
	}
}
