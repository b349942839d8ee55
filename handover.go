package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
)

func answer(kind byte) []byte { return append(newRecord(), kind) }

// Serve implements StateMachine.
func (sm *stateMachine) Serve(ctx context.Context, node string, req []byte) ([]byte, error) {
	n := (*clusterNode)(sm)
	r, err := openRecord(req)
	if err != nil {
		return nil, err
	}
	switch kind := r.Byte(); kind {
	case callOffer, callFetch:
		id, epoch, cleanStart, step := r.String(), r.Uint(), r.Bool(), r.Uint()
		if r.Err() != nil {
			return nil, r.Err()
		}
		if !n.up.Load() {
			return nil, errNotUp
		}
		if err := n.adoptions.awaitStep(ctx, step); err != nil {
			return nil, err
		}
		if err := n.adoptions.await(ctx); err != nil {
			return nil, err
		}
		if kind == callOffer {
			return n.offer(ctx, id, epoch, cleanStart)
		}
		return n.handOver(ctx, id, epoch)
	case callPass:
		return n.takePassed(ctx, node, r)
	case callKept:
		index := r.Uint()
		if r.Err() != nil {
			return nil, r.Err()
		}
		return newRecord(), n.keeper.written(ctx, index)
	case callHas:
		return n.serveHas(ctx, r)
	case callOwn:
		id := r.String()
		return n.serveOwnState(id), r.Err()
	case callFlush:
		return newRecord(), n.flushTo(ctx, node)
	default:
		return nil, fmt.Errorf("shoal: unknown request %d", kind)
	}
}

// errNotUp has a node ask again that asks for a session too early: this node has just begun, and what it has of the agreed order may be old.
var errNotUp = errors.New("shoal: this node is not up yet")

// outclaimed reports whether a claim is not the last one.
func (n *clusterNode) outclaimed(id string, epoch uint64) bool {
	o := n.state.owner(id)
	return o == nil || o.epoch != epoch
}

// offer ends the client's connection here and returns the session's subscriptions; or, on a clean start, ends the session.
func (n *clusterNode) offer(ctx context.Context, id string, epoch uint64, cleanStart bool) ([]byte, error) {
	release, err := n.b.sessions.claim(id, ctx.Done())
	if err != nil {
		return nil, err
	}
	defer release()
	if n.outclaimed(id, epoch) {
		return answer(answerOutclaimed), nil
	}
	s, err := n.stillHere(ctx, id, cleanStart)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return answer(answerNone), nil
	}
	if n.b.evict(ctx, s, cleanStart) {
		_ = n.routes.settleAll(ctx) // a session that is over has no routes when the client hears of it; or a little later
		switch {
		case cleanStart:
		case s.isElsewhere():
			err = errElsewhere
		default:
			err = n.b.journal.flush(ctx, DurabilityQuorum)
		}
		return answer(answerNone), err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.phase.lives() {
		return nil, errElsewhere
	}
	s.offered, s.repetitions = true, nil
	b := codec.AppendUint(answer(answerSession), uint64(s.expiry))
	b = codec.AppendUint(b, uint64(len(s.subs)))
	for _, sub := range s.subs {
		b = appendSubscription(b, sub)
	}
	return b, nil
}

// stillHere is atHome when what has ended here is agreed, unless the client wants none of it.
func (n *clusterNode) stillHere(ctx context.Context, id string, cleanStart bool) (*session, error) {
	if s := n.b.sessions.get(id); s == nil || s.isOver() {
		if cleanStart {
			return nil, nil
		}
		// It may have ended a moment ago, and what is kept of it be there until that is agreed.
		if err := n.b.journal.flush(ctx, DurabilityQuorum); err != nil {
			return nil, n.storeAway(err)
		}
	}
	return n.atHome(ctx, id)
}

// errElsewhere has the node that asks for a session ask again.
var errElsewhere = errors.New("shoal: the session is being made anew, or is at another node")

// handOver returns the whole session. It stays here, collecting, until the move is agreed.
func (n *clusterNode) handOver(ctx context.Context, id string, epoch uint64) ([]byte, error) {
	release, err := n.b.sessions.claim(id, ctx.Done())
	if err != nil {
		return nil, err
	}
	defer release()
	if n.outclaimed(id, epoch) {
		return answer(answerOutclaimed), nil
	}
	s, err := n.stillHere(ctx, id, false)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return answer(answerNone), nil
	}
	if err := s.awaitExchanges(ctx); err != nil {
		return nil, err
	}
	if err := n.gather(ctx); err != nil {
		return nil, err
	}
	step := n.adoptions.taken.Load()
	if n.b.journal.common == nil {
		if n.state.origins.some() { // the new home is to know which of them the session has had
			if err := n.c.Barrier(ctx); err != nil {
				return nil, err
			}
		}
		// What is not agreed when the move is, is void. The new home says what has come after this.
		kept := s.last()
		if err := n.b.journal.flush(ctx, DurabilityQuorum); err != nil {
			return nil, err
		}
		return s.handOver(step, kept)
	}
	b, err := s.handOver(step, 0)
	if err != nil {
		return nil, err
	}
	// If the new home is lost before it has written anything, whoever is its heir finds all of this in the store.
	if err := n.b.journal.flush(ctx, DurabilityQuorum); err != nil {
		n.b.log.Warn("a session is not handed over: the store is away", "client_id", id, "error", err)
		return answer(answerAway), nil
	}
	if n.state.origins.some() {
		if err := n.c.Barrier(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// last returns the number of the last message.
func (s *session) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Last()
}

// handOver returns the answer to callFetch. step is what this node had taken when every node had finished what it had routed here; kept is the number of
// the last message that all nodes are known to have.
func (s *session) handOver(step, kept uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil || !s.enter(phaseDeparting) {
		return nil, errElsewhere
	}
	b := codec.AppendUint(answer(answerSession), step)
	b = codec.AppendBool(codec.AppendUint(b, kept), s.doubtful)
	count := 0
	var entries []byte
	s.core.Entries(func(e *core.Entry) {
		count++
		entries = appendEntry(entries, e)
	})
	b = append(codec.AppendUint(b, uint64(count)), entries...)
	b = codec.AppendUint(b, s.core.Last())
	ids := s.core.Unreleased()
	b = codec.AppendUint(b, uint64(len(ids)))
	for _, id := range ids {
		b = codec.AppendUint(b, uint64(id))
	}
	b = s.b.cluster.state.origins.appendHadBy(b, s.clientID)
	b = codec.AppendUint(b, uint64(len(s.repetitions)))
	for _, id := range s.repetitions {
		b = codec.AppendUint(codec.AppendUint(b, id.Origin), id.Number)
	}
	return b, nil
}

// gather lets everything that any node has routed to this one arrive. A node that does not answer, and is not given up either, holds the session where
// it is: what it has for the session would come too late.
func (n *clusterNode) gather(ctx context.Context) error {
	nodes := n.members()
	done := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() { done <- n.gatherFrom(ctx, node) }()
	}
	err := n.gate.pass(ctx)
	for range nodes {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		return err
	}
	return n.gate.pass(ctx) // what arrived is with its sessions
}

func (n *clusterNode) gatherFrom(ctx context.Context, node string) error {
	for {
		_, err := n.callWhile(ctx, node, request(callFlush), func() bool { return n.isMember(node) })
		if err == nil || !n.isMember(node) {
			return nil
		}
		select {
		case <-time.After(homePause):
		case <-ctx.Done():
			return fmt.Errorf("wait for what node %s has sent: %w", node, errors.Join(ctx.Err(), err))
		}
	}
}

// flushTo returns when everything routed to a node before has been accepted there.
func (n *clusterNode) flushTo(ctx context.Context, node string) error {
	if err := n.gate.pass(ctx); err != nil {
		return err
	}
	for _, lost := range n.lost() { // what comes back from there may be for the caller
		if err := n.peer(lost).drain(ctx); err != nil {
			return err
		}
	}
	p := n.peer(node)
	if err := p.await(ctx, func() bool { return p.holds == 0 }); err != nil {
		return err
	}
	p.flush()
	return p.drain(ctx)
}

// lost returns the nodes that were lost and are not back.
func (n *clusterNode) lost() []string {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	var names []string
	for name := range n.state.heirs {
		if !n.state.isUp(name) && name != n.self.Name {
			names = append(names, name)
		}
	}
	return names
}

// fence takes the connection of a client that was claimed by another node. It is called on Apply's goroutine.
//
// On a clean start the session there ends, which its will must know.
func (n *clusterNode) fence(id string, cleanStart bool) {
	s := n.b.sessions.get(id)
	if s == nil || !n.up.Load() {
		return
	}
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c == nil {
		return
	}
	n.wg.Go(func() { n.b.evictConn(n.life, s, c, cleanStart) })
}

// handedOver forgets a session that has moved. It is called on Apply's goroutine.
func (n *clusterNode) handedOver(id string) {
	s := n.b.sessions.get(id)
	if s == nil || !n.up.Load() {
		return
	}
	s.disown(phaseMoved)
	n.state.origins.forgetSession(id)
	n.wg.Go(s.end)
}
