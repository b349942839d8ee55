package shoal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// How sessions come to this node when all nodes share a store.
//
// From a node that lives, a session comes by call, as takeover.go tells. Its old home writes what it has before it hands it over. When the move is agreed, the
// new home writes all of the session anew, in one step and with a greater Fence, so that what the old home still has under way changes nothing
// any more. What comes for the session between the proposal of the move and that is acknowledged when it is written.
//
// From a lost node it comes out of the store. The heir first makes its own Fence the Space's, then reads.
//
// A node whose Fence was too small does not know yet that it has lost the session. It acknowledges what it could not write if the session has moved on
// alive, since the new home has had all of that, or is waited for, too; and not if a node was lost.

// move is a session's way here, from the proposal to when the store has it.
type move struct {
	mu    sync.Mutex
	waits []*acceptance
	over  bool
}

// await makes a message wait until the session is stored here. The caller holds the session's lock.
func (m *move) await(r *routing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		a := r.acceptance()
		a.add()
		m.waits = append(m.waits, a)
	}
}

// end ends the move and returns who has waited.
func (m *move) end() []*acceptance {
	m.mu.Lock()
	defer m.mu.Unlock()
	waits := m.waits
	m.waits, m.over = nil, true
	return waits
}

// moveEnds tells those who wait for the session to be stored here that it is not to be.
func (s *session) moveEnds(code packets.ReasonCode) {
	s.mu.Lock()
	m := s.move
	s.move = nil
	s.mu.Unlock()
	if m == nil {
		return
	}
	for _, a := range m.end() {
		a.finish(code)
	}
}

// errUndecided refuses a CONNECT whose time was over before it was agreed where the session is.
var errUndecided = &Error{ReasonCode: packets.ServerUnavailable, Reason: "the cluster has not agreed in time; connect again"}

// settleCommon is settleHere where all nodes share a store.
func (n *clusterNode) settleCommon(ctx context.Context, s *session, m movedCommand) error {
	if s != nil {
		s.mu.Lock()
		if !s.phase.lives() {
			s.mu.Unlock()
			return errOutclaimed
		}
		s.move = new(move)
		s.mu.Unlock()
	}
	brought := uint64(0)
	if s != nil {
		brought = s.brought
	}
	cmd := codec.AppendUint(codec.AppendUint(m.append(), brought), 0) // no entries: they are in the store
	done := make(chan error, 1)
	n.c.ProposeAsync(cmd, func(result any, err error) { done <- n.settled(s, m.id, m.epoch, result, err) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errUndecided, ctx.Err())
	}
}

// settled ends a move, with what was agreed. s is nil if the session is new.
func (n *clusterNode) settled(s *session, id string, epoch uint64, result any, err error) error {
	o := n.state.owner(id)
	moved := n.hasMoved(id, epoch, result, err)
	if errors.Is(err, ErrResultUnknown) {
		err = nil
	}
	switch {
	case moved && s == nil:
		return nil
	case moved:
		n.moveIn(s, o, epoch)
		return nil
	}
	if s != nil {
		code := packets.Success // its home has all that came here
		if err != nil {
			code = packets.ServerUnavailable // it may have moved, or move yet
		}
		s.moveEnds(code)
		s.abandon()
	}
	if err == nil {
		return errOutclaimed
	}
	return err
}

// moveIn writes a session that is at home here now. o is its owner, or what has become of that since.
func (n *clusterNode) moveIn(s *session, o *owner, epoch uint64) {
	s.mu.Lock()
	m := s.move
	s.move = nil
	if m == nil || o == nil || o.settled != epoch || !s.enter(phaseHome) {
		s.mu.Unlock()
		if m != nil {
			for _, a := range m.end() {
				a.finish(packets.ServerUnavailable)
			}
		}
		return
	}
	s.epoch, s.held, s.fence = epoch, epoch, o.fence()
	s.setDurable(true)
	n.b.journal.common.writeWhole(s)
	if s.conn == nil && s.timer == nil {
		s.startExpiry(time.Duration(s.expiry) * time.Second) // the CONNECT may have given up
	}
	s.mu.Unlock()
	for _, a := range m.end() {
		n.b.journal.common.enqueue(a)
	}
}

// fenceOf returns what this node writes a session with.
func (n *clusterNode) fenceOf(id string) Fence {
	if o := n.state.owner(id); o != nil {
		return o.fence()
	}
	return Fence{}
}

// goesOn reports whether a session that is here is here as all nodes agree, and what this node knows of it is the latest.
func (n *clusterNode) goesOn(s *session) bool {
	o := n.state.owner(s.clientID)
	s.mu.Lock()
	defer s.mu.Unlock()
	return o != nil && o.home == n.self.Name && o.fence() == s.fence && s.phase.lives()
}

// loaded puts what the store has of a session in place of what is agreed of it.
func (in *inherited) loaded(kept *keptSession) {
	if in.kept != nil {
		kept.noted = in.kept.noted
	}
	in.kept, in.doubtful = kept, kept.away == 0
}

// loaders is how many sessions are read at a time.
const loaders = 32

// loadInherited reads the sessions of an adoption from the store. Those that are no sessions there, because their first CONNECT was not answered, are
// taken off the list, and so are those that this node has already. While the store is away, it waits.
func (n *clusterNode) loadInherited(a *adoption) {
	made := make([]bool, len(a.sessions))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(loaders, len(a.sessions)) {
		wg.Go(func() {
			for i := range next {
				made[i] = n.loadOne(&a.sessions[i])
			}
		})
	}
	for i := range a.sessions {
		next <- i
	}
	close(next)
	wg.Wait()
	var list []inherited
	for i := range a.sessions {
		if made[i] {
			list = append(list, a.sessions[i])
		}
	}
	a.sessions = list
}

// loadOne reads one session, again and again until the store answers, or the session is not this node's any more.
func (n *clusterNode) loadOne(in *inherited) bool {
	if s := n.b.sessions.get(in.id); s != nil && n.goesOn(s) {
		return false
	}
	for said := false; ; said = true {
		if n.life.Err() != nil || !n.up.Load() {
			return false
		}
		ctx, cancel := context.WithTimeout(n.life, storePatience)
		kept, err := n.b.journal.common.load(ctx, in.id, in.owner.fence())
		cancel()
		if err == nil {
			if kept == nil {
				n.sessionEnded(in.id, 0)
				return false
			}
			in.loaded(kept)
			return true
		}
		if !said {
			n.b.log.Error("a session cannot be read from the store; it is tried again until it can", "client_id", in.id, "error", err)
		}
		select {
		case <-time.After(storeRetry):
		case <-n.life.Done():
		}
	}
}

// atHomeInStore makes a session whose home this node is, though it is not here: the CONNECT that was to bring it gave up.
func (n *clusterNode) atHomeInStore(ctx context.Context, in *inherited) (*session, error) {
	if err := n.b.journal.flush(ctx, DurabilityQuorum); err != nil { // it may have ended here
		return nil, n.storeAway(err)
	}
	kept, err := n.b.journal.common.load(ctx, in.id, in.owner.fence())
	if err != nil {
		return nil, n.storeAway(err)
	}
	if kept == nil {
		return nil, nil
	}
	in.loaded(kept)
	s := n.makeInherited(in)
	s.adoptionEnds()
	return s, nil
}

// storeAway returns what a CONNECT is refused with because of what the journal could not keep, or err where that is no store.
func (n *clusterNode) storeAway(err error) error {
	if n.b.journal.common == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errStoreAway, err)
}

// errStoreAway refuses the CONNECT of a session that lasts while the store is away.
var errStoreAway = &Error{ReasonCode: packets.ServerUnavailable, Reason: "the store that keeps sessions fails; connect again later"}

// keepFirst returns when the store that all nodes share has a session that lasts, before its CONNECT is answered: whoever inherits the session finds
// it there, and nothing of an earlier one. The caller has the claim on the ClientID.
func (b *Broker) keepFirst(ctx context.Context, s *session, epoch uint64, e *ConnectEvent, present bool) error {
	if b.journal == nil || b.journal.common == nil || e.SessionExpiryInterval == 0 {
		return nil
	}
	s.mu.Lock()
	isNew := !s.durable && s.phase.lives()
	if isNew {
		s.epoch, s.fence, s.expiry = epoch, b.cluster.fenceOf(s.clientID), e.SessionExpiryInterval
		s.setDurable(true)
		s.b.journal.whole(s)
	}
	s.mu.Unlock()
	if !isNew && !b.journal.common.health.fails() {
		return nil
	}
	if err := b.journal.flush(ctx, DurabilityQuorum); err != nil {
		if !present {
			s.end()
		}
		return fmt.Errorf("%w: %w", errStoreAway, err)
	}
	return nil
}

const (
	staleLook = 20 * time.Millisecond
	// staleLimit is how long it takes at most until a node knows who has its sessions; something else is wrong then.
	staleLimit = 30 * time.Second
)

// gone finds out why the store has refused what this node has written to some Spaces, and calls done with what that means for those who wait for it.
func (n *clusterNode) gone(spaces []staleSpace, done func(packets.ReasonCode)) {
	if n.life.Err() != nil {
		done(packets.ServerShuttingDown)
		return
	}
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.life, staleLimit)
		defer cancel()
		code := packets.Success
		for _, sp := range spaces {
			if c := n.whyGone(ctx, sp); c.IsError() {
				code = c
			}
		}
		done(code)
	})
}

func (n *clusterNode) whyGone(ctx context.Context, sp staleSpace) packets.ReasonCode {
	id, isSession := strings.CutPrefix(sp.space, sessionPrefix)
	if !isSession {
		return packets.ServerUnavailable
	}
	for {
		o := n.state.owner(id)
		switch {
		case !n.up.Load():
			return packets.ServerUnavailable // given up: its heirs have its sessions
		case o == nil:
			return packets.Success // it is over
		case o.home == "":
			return packets.ServerUnavailable // and nobody has inherited it
		case o.since > sp.fence.Step:
			return packets.ServerUnavailable // a node was lost that had it
		case o.fence() != sp.fence:
			return packets.Success // moved, or begun anew elsewhere
		}
		select {
		case <-time.After(staleLook):
		case <-ctx.Done():
			if n.life.Err() == nil {
				n.b.log.Error("the store says that somebody else has a session of this node's; does another cluster use the same store?", "client_id", id)
			}
			return packets.ServerUnavailable
		}
	}
}
