package shoal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
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
// If the new node is lost on the way, the session is still where it was.

// Requests between nodes. Each begins with the version and its kind.
const (
	callOffer byte = iota + 1 // the subscriptions of a session
	callFetch                 // the session
	callFlush                 // let what was routed to the caller arrive
)

// Answers about a session begin with the version and one of these.
const (
	answerNone       byte = iota // there is no such session, or not any more
	answerSession                // what was asked for follows
	answerOutclaimed             // somebody else has claimed the client since
)

func answer(kind byte) []byte { return append(versioned(nil), kind) }

func request(kind byte) []byte { return append(versioned(nil), kind) }

// claim makes this node the owner of a client and brings its session here, if it is elsewhere and not to be discarded. The caller has the
// local claim on the ClientID.
func (n *clusterNode) claim(ctx context.Context, id string, cleanStart bool, expiry uint32, w *will) (epoch uint64, err error) {
	cmd := codec.AppendString(command(cmdClaim), id)
	cmd = codec.AppendBytes(cmd, encodeWill(w, expiry))
	result, err := n.c.Propose(ctx, cmd)
	if err != nil {
		return 0, fmt.Errorf("claim client: %w", err)
	}
	c, ok := result.(claimResult)
	if !ok {
		return 0, fmt.Errorf("claim client: %w", asError(result))
	}
	if w != nil {
		w.epoch = c.epoch
	}
	if c.home != "" && c.home != n.self.Name {
		if err := n.bring(ctx, id, c, cleanStart); err != nil {
			return 0, err
		}
	}
	if c.home == n.self.Name {
		return c.epoch, nil
	}
	cmd = codec.AppendUint(codec.AppendString(command(cmdMoved), id), c.epoch)
	result, err = n.c.Propose(ctx, cmd)
	if err == nil && result != true {
		err = errOutclaimed
	}
	if err != nil {
		n.discard(id)
		return 0, err
	}
	return c.epoch, nil
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

// bring fetches a session from its home.
func (n *clusterNode) bring(ctx context.Context, id string, c claimResult, cleanStart bool) error {
	if err := n.c.Barrier(ctx); err != nil { // the home knows of the claim
		return err
	}
	ask := func(kind byte) (*codec.Reader, error) {
		req := codec.AppendUint(codec.AppendString(request(kind), id), c.epoch)
		b, err := n.callHome(ctx, c.home, codec.AppendBool(req, cleanStart))
		if err != nil || b == nil {
			return nil, err
		}
		return openRecord(b)
	}
	offer, err := ask(callOffer)
	if err != nil || offer == nil {
		return err
	}
	switch offer.Byte() {
	case answerOutclaimed:
		return errOutclaimed
	case answerNone:
		return nil
	}
	// This node may have other subscribers of the same filters, or have had this one a moment ago. What it was sent for their sake
	// before the old connection was fenced, that connection may have had and acknowledged: it must not be collected here.
	n.gather(ctx)
	s, subs, err := n.prepare(id, offer)
	if err != nil {
		n.discard(id)
		return err
	}
	if err := n.routes.settle(ctx, subs); err != nil {
		n.discard(id)
		return err
	}
	whole, err := ask(callFetch)
	if err != nil {
		n.discard(id)
		return err
	}
	kind := answerNone // its node was lost in between
	if whole != nil {
		kind = whole.Byte()
	}
	switch kind {
	case answerSession:
		n.gather(ctx) // what came with the session may be on its way here, too
		return n.install(s, whole)
	case answerOutclaimed:
		err = errOutclaimed
	}
	n.discard(id)
	return err
}

// callHome asks the home of a session. It returns nil without an error if that node was lost, and the session with it.
func (n *clusterNode) callHome(ctx context.Context, home string, req []byte) ([]byte, error) {
	for {
		b, err := n.c.Call(ctx, home, req)
		if err == nil {
			return b, nil
		}
		if r, _ := openRecord(req); r != nil {
			r.Byte()
			if o := n.state.owner(r.String()); o == nil || o.home != home {
				return nil, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bring session from node %s: %w", home, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// prepare makes a session that collects, with the subscriptions offered.
func (n *clusterNode) prepare(id string, offer *codec.Reader) (*session, []*subscription, error) {
	b := n.b
	s := b.newSession(id)
	s.expiry = offer.Uint32()
	s.collecting = true
	var subs []*subscription
	for range offer.Count() {
		sub, err := b.readSubscription(offer)
		if err != nil {
			return nil, nil, err
		}
		if sub == nil {
			continue
		}
		sub.s = s
		subs = append(subs, sub)
	}
	if old := b.sessions.get(id); old != nil { // left behind by an earlier move
		old.mu.Lock()
		old.moved = true
		old.mu.Unlock()
		old.end()
	}
	b.sessions.put(s)
	for _, sub := range subs {
		if _, err := s.subscribe(sub); err != nil {
			return nil, nil, err
		}
	}
	s.endCatching()
	return s, subs, offer.Err()
}

// install puts what came from the home in front of what was collected here meanwhile.
func (n *clusterNode) install(s *session, whole *codec.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := make(map[msgID]struct{})
	for range whole.Count() {
		e := readEntry(whole)
		if whole.Err() != nil {
			return whole.Err()
		}
		had[e.Msg.ID] = struct{}{}
		s.core.Resume(e)
	}
	for range whole.Count() {
		s.core.ResumeReceived(uint16(whole.Uint()))
	}
	s.collecting = false
	for _, e := range s.collected {
		if _, twice := had[e.Msg.ID]; !twice {
			s.core.Push(e)
		}
	}
	s.collected = nil
	return whole.Err()
}

// discard ends a session that could not be brought here, without a word to the cluster, which never had it here.
func (n *clusterNode) discard(id string) {
	if s := n.b.sessions.get(id); s != nil {
		s.mu.Lock()
		s.moved = true
		s.mu.Unlock()
		s.end()
	}
}

// Serve implements StateMachine.
func (sm *stateMachine) Serve(ctx context.Context, node string, req []byte) ([]byte, error) {
	n := (*clusterNode)(sm)
	r, err := openRecord(req)
	if err != nil {
		return nil, err
	}
	switch kind := r.Byte(); kind {
	case callOffer, callFetch:
		id, epoch, cleanStart := r.String(), r.Uint(), r.Bool()
		if r.Err() != nil {
			return nil, r.Err()
		}
		if kind == callOffer {
			return n.offer(ctx, id, epoch, cleanStart)
		}
		return n.handOver(ctx, id, epoch)
	case callFlush:
		return versioned(nil), n.flushTo(ctx, node)
	default:
		return nil, fmt.Errorf("shoal: unknown request %d", kind)
	}
}

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
	s := n.b.sessions.get(id)
	if s == nil {
		return answer(answerNone), nil
	}
	if n.b.evict(ctx, s, cleanStart, packets.SessionTakenOver) {
		_ = n.routes.settleAll(ctx) // a session that is over has no routes when the client hears of it; or a little later
		return answer(answerNone), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return answer(answerNone), nil
	}
	b := codec.AppendUint(answer(answerSession), uint64(s.expiry))
	b = codec.AppendUint(b, uint64(len(s.subs)))
	for _, sub := range s.subs {
		b = appendSubscription(b, sub)
	}
	return b, nil
}

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
	s := n.b.sessions.get(id)
	if s == nil {
		return answer(answerNone), nil
	}
	n.gather(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn != nil {
		return answer(answerNone), nil
	}
	s.moving = true
	b := answer(answerSession)
	count := 0
	var entries []byte
	s.core.Entries(func(e *core.Entry) {
		count++
		entries = appendEntry(entries, e)
	})
	b = append(codec.AppendUint(b, uint64(count)), entries...)
	ids := s.core.Unreleased()
	b = codec.AppendUint(b, uint64(len(ids)))
	for _, id := range ids {
		b = codec.AppendUint(b, uint64(id))
	}
	return b, nil
}

// gather lets everything that any node has routed to this one arrive. A node that does not answer holds nothing up for long: it is being given up.
func (n *clusterNode) gather(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	nodes := n.otherNodes()
	done := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() {
			_, err := n.c.Call(ctx, node, request(callFlush))
			done <- err
		}()
	}
	_ = n.gate.pass(ctx)
	for range nodes {
		if err := <-done; err != nil {
			n.b.log.Debug("a node did not say that everything has arrived", "node", n.self.Name, "error", err)
		}
	}
	_ = n.gate.pass(ctx) // what arrived is with its sessions
}

const gatherTimeout = 2 * time.Second

func (n *clusterNode) otherNodes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name := range n.live {
		if name != n.self.Name {
			names = append(names, name)
		}
	}
	return names
}

// flushTo returns when everything routed to a node before has been accepted there.
func (n *clusterNode) flushTo(ctx context.Context, node string) error {
	if err := n.gate.pass(ctx); err != nil {
		return err
	}
	p := n.peer(node)
	p.flush()
	return p.drain(ctx)
}

// fence takes the connection of a client that was claimed by another node. It is called on Apply's goroutine.
func (n *clusterNode) fence(id string) {
	s := n.b.sessions.get(id)
	if s == nil || !n.up.Load() {
		return
	}
	s.mu.Lock()
	had := s.conn != nil
	s.mu.Unlock()
	if !had || s.letGo() == nil {
		return
	}
	n.wg.Go(func() { n.b.evict(n.life, s, false, packets.SessionTakenOver) })
}

// handedOver forgets a session that has moved. It is called on Apply's goroutine.
func (n *clusterNode) handedOver(id string) {
	s := n.b.sessions.get(id)
	if s == nil || !n.up.Load() {
		return
	}
	s.mu.Lock()
	s.moved = true
	s.mu.Unlock()
	n.wg.Go(s.end)
}

// announceSessions tells the cluster the sessions this node has, after it joined. Those that were claimed elsewhere meanwhile end here.
func (n *clusterNode) announceSessions() {
	all := n.b.sessions.all()
	const chunk = 1000
	for len(all) > 0 {
		some := all[:min(chunk, len(all))]
		all = all[len(some):]
		cmd := command(cmdSessions)
		for _, s := range some {
			cmd = codec.AppendString(cmd, s.clientID)
		}
		result, err := n.c.Propose(n.life, cmd)
		epochs, ok := result.([]uint64)
		if err != nil || !ok || len(epochs) != len(some) {
			return // this node was given up again; it will come back here
		}
		for i, s := range some {
			s.mu.Lock()
			s.epoch = epochs[i]
			c := s.conn
			s.mu.Unlock()
			if epochs[i] != 0 {
				continue
			}
			if c != nil {
				c.kick(kicked{code: packets.SessionTakenOver, reason: "the client has connected to another node meanwhile"})
			}
			s.end()
		}
	}
}

// sessionEnded tells the cluster that a session is over.
func (n *clusterNode) sessionEnded(id string, epoch uint64) {
	if epoch != 0 {
		n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdRelease), id), epoch), nil)
	}
}

// willDone tells the cluster that a will was published or is void.
func (n *clusterNode) willDone(id string, epoch uint64) {
	n.c.ProposeAsync(codec.AppendUint(codec.AppendString(command(cmdWillDone), id), epoch), nil)
}
