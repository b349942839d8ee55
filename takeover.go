package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	"github.com/shoalmq/shoal/packets"
)

// A session moves to the node its client connects to, in these steps (guarantees 3, 4 and 8):
//
//  1. The new node claims the client. When the old one applies the claim, it fences its connection: from then on it neither delivers nor
//     acknowledges. The session there goes on collecting.
//  2. The new node asks for the session's subscriptions, lets what is on its way to it arrive, makes them its own and waits until every node
//     routes to it.
//  3. It asks for the session. The old node first lets every node finish what it routed before step 2, so that the
//     session holds all of that, in order; then it hands everything over.
//  4. The new node again lets what is on its way to it arrive, puts what it collected itself since step 2 behind, without what came both
//     ways, and has the move agreed. Then the old node forgets the session.
//
// If a node is lost between steps 2 and 4, what it had sent the old node before may not have arrived, and be sent again, and what it has sent the new one
// since would be in front of that. The new node throws away what it has collected, and goes back to step 2.
//
// If the new node is lost on the way, the session is still where it was.

// Requests between nodes. Each begins with the version and its kind.
const (
	callOffer byte = iota + 1 // the subscriptions of a session
	callFetch                 // the session
	callFlush                 // let what was routed to the caller arrive
	callPass                  // a message for a shared group
	callKept                  // write what belongs to all nodes
	callHas                   // whether a shared group has a message
	callOwn                   // whether a session of the broker's own is connected
)

// Answers about a session begin with the version and one of these.
const (
	answerNone       byte = iota // there is no such session, or not any more
	answerSession                // what was asked for follows
	answerOutclaimed             // somebody else has claimed the client since
	answerAway                   // the store that all nodes share does not have all of the session
)

func request(kind byte) []byte { return append(newRecord(), kind) }

// claim makes this node the owner of a client and brings its session here, if it is elsewhere and not to be discarded. It returns the session, nil if
// there is none. The caller has the local claim on the ClientID.
func (n *clusterNode) claim(ctx context.Context, id string, by maker, cleanStart bool, expiry uint32, w *will) (epoch uint64, s *session, err error) {
	cmd := codec.AppendString(command(cmdClaim), id)
	cmd = by.append(codec.AppendBool(codec.AppendBytes(cmd, encodeWill(w, expiry)), cleanStart))
	result, err := n.c.Propose(ctx, cmd)
	if err != nil {
		return 0, nil, fmt.Errorf("claim client: %w", err)
	}
	c, ok := result.(claimResult)
	if !ok {
		return 0, nil, fmt.Errorf("claim client: %w", asError(result))
	}
	if w != nil {
		w.epoch = c.epoch
	}
	for c.home != "" && c.home != n.self.Name {
		home, brought, err := n.bring(ctx, id, c, cleanStart)
		if err != nil {
			return 0, nil, err
		}
		if home == c.home {
			s = brought
			break
		}
		c.home = home // its node was lost, and another has adopted it
	}
	if c.home == n.self.Name {
		s, err := n.stillHere(ctx, id, cleanStart)
		return c.epoch, s, err
	}
	settle := n.settleHere
	if n.b.journal.common != nil {
		settle = n.settleCommon
	}
	m := movedCommand{id: id, claimResult: c, what: movedWhole, expiry: expiry}
	if s == nil {
		m.what = movedNone
		if cleanStart {
			m.what = movedDiscarded
		}
	}
	if err := settle(ctx, s, m); err != nil {
		return 0, nil, err
	}
	return c.epoch, s, nil
}

// atHome returns a session whose home this node is, when it can be taken; nil if it is over. It may be kept alone: the CONNECT that was to bring it here
// gave up before the move was agreed.
func (n *clusterNode) atHome(ctx context.Context, id string) (*session, error) {
	if err := n.adoptions.await(ctx); err != nil {
		return nil, err
	}
	if s := n.b.sessions.get(id); s != nil && !s.isElsewhere() {
		if s.isOver() {
			s = nil
		}
		return s, nil
	}
	a := &n.state
	a.mu.Lock()
	k, o := a.kept[id], a.owners[id]
	if k == nil || o == nil || o.home != n.self.Name {
		a.mu.Unlock()
		return nil, nil
	}
	in := inherited{id, k.share(), *o, false}
	a.mu.Unlock()
	if n.b.journal.common != nil {
		return n.atHomeInStore(ctx, &in)
	}
	s := n.makeInherited(&in)
	s.adoptionEnds()
	return s, nil
}

// isElsewhere reports whether what is here of a session is not to be gone on with: the session has moved, or is made anew of what all nodes keep.
func (s *session) isElsewhere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseMoved || s.phase == phaseLost
}

// isOver reports whether the session has ended here.
func (s *session) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cleared != nil
}

// errOutclaimed refuses a CONNECT that has lost a race. CONNACK knows no Session taken over, and a CONNACK of success without a session
// would make the client throw its own part of the session away.
var errOutclaimed = &Error{ReasonCode: packets.ServerBusy, Reason: "the client has connected to another node meanwhile"}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return errors.New("unexpected answer from the agreed order")
}

// bring fetches a session from its home. It returns where the session's home was, and the session, nil if it is over; if that node was lost meanwhile,
// where it is now.
func (n *clusterNode) bring(ctx context.Context, id string, c claimResult, cleanStart bool) (home string, s *session, err error) {
	if err := n.c.Barrier(ctx); err != nil { // the home knows of the claim
		return "", nil, err
	}
	ask := func(kind byte) (*codec.Reader, error) {
		req := codec.AppendUint(codec.AppendString(request(kind), id), c.epoch)
		// The home may not have heard yet that it has inherited the session.
		req = codec.AppendUint(codec.AppendBool(req, cleanStart), n.state.since(id))
		b, err := n.callHome(ctx, id, c.home, req)
		if err != nil || b == nil {
			return nil, err
		}
		return openRecord(b)
	}
	offer, err := ask(callOffer)
	if err != nil {
		return "", nil, err
	}
	if offer == nil {
		return n.homeNow(id, c)
	}
	switch offer.Byte() {
	case answerOutclaimed:
		return "", nil, errOutclaimed
	case answerNone:
		return n.homeNow(id, c)
	}
	// This node may have other subscribers of the same filters, or have had this one a moment ago. What it was sent for their sake
	// before the old connection was fenced, that connection may have had and acknowledged: it must not be collected here.
	if err := n.gather(ctx); err != nil {
		return "", nil, err
	}
	if n.state.isHome(n.self.Name, id) { // its node was lost in between, and this one is its heir
		return n.homeNow(id, c)
	}
	began := n.adoptions.taken.Load()
	s, subs, err := n.prepare(id, offer)
	if err != nil {
		n.discard(s)
		return "", nil, err
	}
	if err := n.routes.settle(ctx, subs); err != nil {
		n.discard(s)
		return "", nil, err
	}
	whole, err := ask(callFetch)
	if err != nil {
		n.discard(s)
		return "", nil, err
	}
	if whole == nil { // its node was lost in between
		n.discard(s)
		return n.homeNow(id, c)
	}
	switch whole.Byte() {
	case answerSession:
		step := whole.Uint()
		if err = n.adoptions.awaitStep(ctx, step); err != nil {
			break
		}
		if step > began && s.hasCollected() {
			n.discard(s) // of what has come here and was accepted, its home has all
			return n.bring(ctx, id, c, cleanStart)
		}
		if err = n.gather(ctx); err == nil { // what came with the session may be on its way here, too
			if err = n.install(s, whole); err == nil {
				return c.home, s, nil
			}
		}
	case answerOutclaimed:
		err = errOutclaimed
	case answerAway:
		err = errStoreAway
	}
	n.discard(s)
	return c.home, nil, err
}

// homeNow returns where the home of a session is, "" if it has none: the last one may have been lost. As for bring, there is no session to go with it.
func (n *clusterNode) homeNow(id string, c claimResult) (home string, s *session, err error) {
	o := n.state.owner(id)
	if o == nil || o.epoch != c.epoch {
		return "", nil, errOutclaimed
	}
	return o.home, nil, nil
}

// callHome asks the home of a session. It returns nil without an error if that node was lost, and the session with it.
func (n *clusterNode) callHome(ctx context.Context, id, home string, req []byte) ([]byte, error) {
	for {
		b, err := n.callWhile(ctx, home, req, func() bool { return n.state.isHome(home, id) })
		if err == nil {
			return b, nil
		}
		if !n.state.isHome(home, id) {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bring session from node %s: %w", home, errors.Join(ctx.Err(), err))
		case <-time.After(homePause):
		}
	}
}

// homePause is how long it takes at most to notice that the home of a session that is being fetched was lost.
const homePause = 50 * time.Millisecond

// callWhile is Call that ends when a condition does not hold any more, such as that the node is the session's home: it may not answer for long.
func (n *clusterNode) callWhile(ctx context.Context, node string, req []byte, holds func() bool) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch func()
	watch = func() {
		if !holds() {
			cancel()
		} else if ctx.Err() == nil {
			time.AfterFunc(homePause, watch)
		}
	}
	time.AfterFunc(homePause, watch)
	return n.c.Call(ctx, node, req)
}

// prepare makes a session that collects, with the subscriptions offered.
func (n *clusterNode) prepare(id string, offer *codec.Reader) (*session, []*subscription, error) {
	b := n.b
	s := b.newSession(id)
	s.expiry = offer.Uint32()
	s.enter(phaseGathering)
	var subs []*subscription
	for range offer.Count() {
		sub, err := b.readSubscription(offer)
		if err != nil {
			return s, nil, err
		}
		if sub == nil {
			continue
		}
		sub.s = s
		subs = append(subs, sub)
	}
	if old := b.sessions.get(id); old != nil { // left behind by an earlier move
		old.abandon()
	}
	s.enrol()
	b.sessions.put(s)
	for _, sub := range subs {
		if _, err := s.subscribe(sub); err != nil {
			return s, nil, err
		}
	}
	s.endCatching()
	return s, subs, offer.Err()
}

// hasCollected reports whether something came for a session that is being brought here.
func (s *session) hasCollected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.collected) > 0
}

// install puts what came from the home in front of what was collected here meanwhile.
func (n *clusterNode) install(s *session, whole *codec.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.brought, s.doubtful = whole.Uint(), whole.Bool()
	had := make(map[msgID]struct{})
	for range whole.Count() {
		e := readEntry(whole)
		if whole.Err() != nil {
			return whole.Err()
		}
		had[e.Msg.ID] = struct{}{}
		s.core.Resume(e)
	}
	s.core.Skip(whole.Uint())
	if n.b.journal.common != nil { // all that came is in the store
		s.brought = s.core.Last()
	}
	for range whole.Count() {
		s.core.ResumeReceived(uint16(whole.Uint()))
	}
	known := n.state.origins.readHadBy(whole, s.clientID)
	for range whole.Count() {
		had[msgID{Origin: whole.Uint(), Number: whole.Uint()}] = struct{}{}
	}
	if !s.enter(phaseSettling) {
		return errOutclaimed
	}
	for i := range s.collected {
		c := &s.collected[i]
		if _, twice := had[c.Msg.ID]; !twice && !known.has(c) {
			s.core.Push(c.Entry)
		}
	}
	s.collected = nil
	return whole.Err()
}

// discard ends a session that could not be brought here, without a word to the cluster, which never had it here.
func (n *clusterNode) discard(s *session) {
	if s != nil {
		s.moveEnds(packets.Success) // of what has come here, its home has all
		s.abandon()
	}
}
