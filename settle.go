package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

// How it is agreed that a session is at this node, the last step of takeover.go. Where all nodes share a store, see commonmove.go.

// movedCommand is what has a session at home at the proposing node.
type movedCommand struct {
	claimResult
	id     string
	what   byte // one of those below
	expiry uint32
}

// What has become of the session that was at the last home.
const (
	movedWhole     byte = iota // it has come to the new one
	movedNone                  // there was none, or it had ended
	movedDiscarded             // the client wants none of it
)

func (m *movedCommand) append() []byte {
	cmd := codec.AppendUint(codec.AppendString(command(cmdMoved), m.id), m.epoch)
	cmd = append(codec.AppendString(cmd, m.home), m.what)
	return codec.AppendUint(cmd, uint64(m.expiry))
}

// settleHere has it agreed that the session is here now, with everything that came for it since
// it left its last home. s is nil for a new one. If ctx ends before that is agreed, the session
// stays here until it is, or is not: it may be agreed yet, and is its client's then.
func (n *clusterNode) settleHere(ctx context.Context, s *session, m movedCommand) error {
	done := make(chan error, 1)
	propose := func(cmd []byte) {
		n.c.ProposeAsync(cmd, func(result any, err error) { done <- n.settledHere(s, m, result, err) })
	}
	cmd := m.append()
	if s == nil {
		propose(codec.AppendUint(codec.AppendUint(cmd, 0), 0))
	} else {
		// Under the session's lock, so that what changes from here on is proposed behind this.
		s.mu.Lock()
		if !s.enter(phaseHome) { // the cluster has given this node up meanwhile
			s.mu.Unlock()
			n.discard(s)
			return errOutclaimed
		}
		enc := &changeEncoder{buf: codec.AppendUint(cmd, s.brought), msgs: make(map[*core.Message]uint64)}
		var tail []core.Entry
		s.core.Entries(func(e *core.Entry) {
			if e.Seq > s.brought {
				tail = append(tail, *e)
			}
		})
		enc.entries(tail)
		s.epoch, s.held = m.epoch, m.epoch
		s.setDurable(m.expiry > 0)
		propose(enc.buf)
		s.mu.Unlock()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errUndecided, ctx.Err())
	}
}

// settledHere ends settleHere, with what was agreed.
func (n *clusterNode) settledHere(s *session, m movedCommand, result any, err error) error {
	moved := n.hasMoved(m.id, m.epoch, result, err)
	if errors.Is(err, ErrResultUnknown) {
		err = nil
	}
	switch {
	case moved && s != nil:
		s.mu.Lock()
		if s.phase == phaseHome && s.conn == nil && s.timer == nil {
			s.startExpiry(time.Duration(s.expiry) * time.Second) // the CONNECT may have given up
		}
		s.mu.Unlock()
	case s != nil && n.b.sessions.get(m.id) == s && !n.state.isHome(n.self.Name, m.id):
		n.discard(s) // unless its home was lost meanwhile: what is here now was adopted
	}
	if moved || err != nil {
		return err
	}
	return errOutclaimed
}

// hasMoved reports whether the proposal of a move has brought the session here.
func (n *clusterNode) hasMoved(id string, epoch uint64, result any, err error) bool {
	if errors.Is(err, ErrResultUnknown) {
		o := n.state.owner(id)
		return o != nil && o.home == n.self.Name && o.settled == epoch
	}
	return err == nil && result == true
}
