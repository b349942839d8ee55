package shoal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// How a session is laid out in a store that all nodes of a cluster share: as in a broker's own (durable.go), but with everything in the session's
// Space, which has one owner at a time, and nothing in Space "sessions", which would have many:
//
//	Space "session/ClientID"  key "m"  → Session Expiry Interval, when the client went away
//
// The other keys are those of durable.go. A Space without "m" is no session.

const sessionPrefix = "session/"

var metaKey = []byte{'m'}

// metaOp is the change that logMeta makes. The caller holds s.mu.
func (s *session) metaOp() Op {
	return Op{Space: sessionSpace(s.clientID), Key: metaKey, Value: s.maker.append(appendMeta(newRecord(), s))}
}

// writeWhole makes the Space hold what the session is now, in one step. The caller holds s.mu.
func (j *commonLog) writeWhole(s *session) {
	space := sessionSpace(s.clientID)
	ops := append([]Op{{Space: space}, s.metaOp()}, s.wholeOps()...)
	var note []byte
	s.core.Kept(func(e *core.Entry) {
		if s.keeps(e) {
			note = append(note, s.noteEntry(e)...)
		}
	})
	j.write(space, s.fence, note, ops...)
}

// load makes fence that of a session's Space, so that nobody who had it before changes it any more, and reads it. It returns nil without an error if
// there is no session, or somebody else has gone on with it already.
func (j *commonLog) load(ctx context.Context, id string, fence Fence) (*keptSession, error) {
	space := sessionSpace(id)
	stale, err := j.store.CommitFenced(ctx, nil, map[string]Fence{space: fence})
	if err != nil {
		return nil, fmt.Errorf("shoal: load session: %w", err)
	}
	if len(stale) > 0 {
		j.log.Warn("a session in the store is another node's already", "client_id", id)
		return nil, nil
	}
	l := keptLoader{entries: make(map[uint64]*core.Entry)}
	if err := j.store.Scan(ctx, space, nil, l.read); err != nil {
		return nil, fmt.Errorf("shoal: load session: %w", err)
	}
	if !l.some {
		return nil, nil
	}
	for _, seq := range l.order {
		l.kept.add(*l.entries[seq])
	}
	return &l.kept, nil
}

// keptLoader reads a session's Space.
type keptLoader struct {
	kept    keptSession
	some    bool // there is a session
	entries map[uint64]*core.Entry
	order   []uint64
}

func (l *keptLoader) read(key, value []byte) error {
	if len(key) == 3 && key[0] == 'r' {
		l.kept.setReceived(binary.BigEndian.Uint16(key[1:]), true)
		return nil
	}
	r, err := openRecord(append([]byte(nil), value...)) // what is read refers to the record
	if err != nil {
		return err
	}
	switch {
	case bytes.Equal(key, metaKey):
		l.some = true
		l.kept.expiry, l.kept.away, l.kept.maker = r.Uint32(), int64(r.Uint()), readLateMaker(r)
	case key[0] == 'p' && len(key) == 9: // before "q" in the order of keys
		l.entries[binary.BigEndian.Uint64(key[1:])] = &core.Entry{PacketID: uint16(r.Uint()), State: core.State(r.Byte())}
	case key[0] == 'q' && len(key) == 9:
		e := readEntry(r)
		if sent := l.entries[e.Seq]; sent != nil {
			e.PacketID, e.State = sent.PacketID, sent.State
		}
		l.entries[e.Seq] = &e
		l.order = append(l.order, e.Seq)
	case key[0] == 's':
		l.kept.setSubscription(string(key[1:]), value[1:]) // without the version
	default:
		return fmt.Errorf("%w: key %q", codec.ErrMalformed, key)
	}
	return r.Err()
}
