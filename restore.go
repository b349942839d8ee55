package shoal

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// What a broker makes of its Storage when it starts; durable.go says how it is laid out.

// openStorage opens the store and restores what is in it, before anything else happens.
func (b *Broker) openStorage(ctx context.Context) error {
	if b.cfg.storage == nil {
		return nil
	}
	if o, ok := b.cfg.storage.(Opener); ok {
		if err := o.Open(ctx); err != nil {
			return fmt.Errorf("shoal: open storage: %w", err)
		}
	}
	if a, ok := b.cfg.storage.(StorageAdviser); ok {
		for _, text := range a.Advice() {
			b.log.Warn("the store may lose what it has confirmed", "advice", text)
		}
	}
	if b.journal.common != nil {
		// What is in it is for all nodes; see coldstart.go and adoption.go.
		b.runJournal(b.journal.common.run)
		return nil
	}
	if err := b.restoreRetained(ctx); err != nil {
		return fmt.Errorf("shoal: restore retained messages: %w", err)
	}
	if err := b.restoreBans(ctx); err != nil {
		return fmt.Errorf("shoal: restore bans: %w", err)
	}
	if err := b.restoreSessions(ctx); err != nil {
		return fmt.Errorf("shoal: restore sessions: %w", err)
	}
	if err := b.restoreWills(ctx); err != nil {
		return fmt.Errorf("shoal: restore wills: %w", err)
	}
	b.runJournal(b.journal.own.run)
	return nil
}

// runJournal runs what commits changes, until the end of the broker.
func (b *Broker) runJournal(run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	b.journalEnd, b.journalDone = cancel, make(chan struct{})
	go func() {
		defer close(b.journalDone)
		run(ctx)
	}()
}

func (b *Broker) restoreSessions(ctx context.Context) error {
	type meta struct {
		id     string
		expiry uint32
		maker  maker
		away   int64
	}
	var metas []meta
	err := b.cfg.storage.Scan(ctx, spaceSessions, nil, func(key, value []byte) error {
		r, err := openRecord(value)
		if err != nil {
			return err
		}
		metas = append(metas, meta{id: string(key), expiry: r.Uint32(), away: int64(r.Uint()), maker: readLateMaker(r)})
		return r.Err()
	})
	if err != nil {
		return err
	}
	now := b.now()
	for _, m := range metas {
		s := b.newSession(m.id)
		s.expiry, s.maker, s.durable, s.away = m.expiry, m.maker, true, now
		if m.away != 0 {
			s.away = time.Unix(m.away, 0)
		}
		if s.away.After(now) {
			s.away = now // a clock that was put back prolongs nothing
		}
		s.doubtful = m.away == 0
		if err := b.restoreSession(ctx, s); err != nil {
			return fmt.Errorf("session %q: %w", m.id, err)
		}
		s.enrol()
		b.sessions.put(s)
		s.mu.Lock()
		s.startExpiry(max(s.left(), 0))
		s.mu.Unlock()
	}
	return nil
}

// restoreSession reads one session. Its subscriptions match from here on.
func (b *Broker) restoreSession(ctx context.Context, s *session) error {
	entries := make(map[uint64]*core.Entry)
	var order []uint64
	err := b.cfg.storage.Scan(ctx, sessionSpace(s.clientID), nil, func(key, value []byte) error {
		switch {
		case len(key) == 3 && key[0] == 'r':
			s.core.ResumeReceived(binary.BigEndian.Uint16(key[1:]))
			return nil
		case len(key) == 0:
			return codec.ErrMalformed
		}
		r, err := openRecord(append([]byte(nil), value...)) // what is read refers to the record
		if err != nil {
			return err
		}
		switch {
		case key[0] == 'p' && len(key) == 9: // before "q" in the order of keys
			e := &core.Entry{PacketID: uint16(r.Uint()), State: core.State(r.Byte())}
			entries[binary.BigEndian.Uint64(key[1:])] = e
		case key[0] == 'q' && len(key) == 9:
			e := readEntry(r)
			if sent := entries[e.Seq]; sent != nil {
				e.PacketID, e.State = sent.PacketID, sent.State
			}
			entries[e.Seq] = &e
			order = append(order, e.Seq)
		case key[0] == 's':
			sub, err := b.readSubscription(r)
			if err != nil || sub == nil {
				return err
			}
			sub.s = s
			_, err = s.restore(sub)
			return err
		default:
			return fmt.Errorf("%w: key %q", codec.ErrMalformed, key)
		}
		return r.Err()
	})
	if err != nil {
		return err
	}
	for _, seq := range order {
		e := entries[seq]
		e.Doubtful = s.doubtful && e.State == core.Queued
		s.core.Resume(*e)
	}
	return nil
}

// restore is subscribe for what is in the store already.
func (s *session) restore(sub *subscription) (bool, error) {
	durable := s.durable
	s.durable = false
	isNew, err := s.subscribe(sub)
	s.durable, s.catching = durable, nil
	return isNew, err
}

func (b *Broker) restoreRetained(ctx context.Context) error {
	now := b.nano()
	return b.cfg.storage.Scan(ctx, spaceRetained, nil, func(_, value []byte) error {
		r, err := openRecord(append([]byte(nil), value...))
		if err != nil {
			return err
		}
		m := readMessage(r)
		if r.Err() == nil && !m.Expired(now) {
			b.retained.set(m, "")
		}
		return r.Err()
	})
}
