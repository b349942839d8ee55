package shoal

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// A message for a shared group that comes to a node whose last member has just left, or is on its way to another node, or is away while others are
// online, is passed on. That is asked of the other node and not forwarded to it: a node that accepted what it received only when another had accepted what it passed on
// would wait, with two of them, for ever, since nodes accept in order.

// passing is a message to be passed on.
type passing struct {
	msg   *core.Message
	group string
	wait  *acceptance
	until time.Time // then it is given up
	step  uint64    // of the agreed order, which this node had taken when it got the message
	// doubtful: somebody of the group may have had it.
	doubtful bool
	// patient: whoever has sent it here hands on what the group had before, and is to hear for certain what became of it.
	patient bool
}

const (
	passPause   = 50 * time.Millisecond
	passTimeout = 5 * time.Second // of one question
	// passPatience is how long a node tries to pass a message on before its publisher is told that it could not.
	passPatience = 5 * time.Second
)

// Answers to callPass.
const (
	passNone  byte = iota // this node has no member of the group
	passTaken             // one has the message
)

// passLater passes the message in r on, behind those for the same group that are being passed on. What waits is bounded as its publishers are, which are
// not answered before.
func (n *clusterNode) passLater(r *routing, group string) {
	a := r.acceptance()
	a.add()
	n.mu.Lock()
	list, busy := n.passing[group]
	n.passing[group] = append(list, passing{
		msg: r.message(), group: group, wait: a, until: time.Now().Add(passPatience), step: n.adoptions.taken.Load(), doubtful: r.doubtful,
		patient: r.groupsOnly,
	})
	n.mu.Unlock()
	if !busy {
		n.wg.Go(func() { n.passOn(group) })
	}
}

// passOn passes messages for one group on, one after another, so that they stay in order.
func (n *clusterNode) passOn(group string) {
	for {
		n.mu.Lock()
		list := n.passing[group]
		if len(list) == 0 {
			delete(n.passing, group)
			n.mu.Unlock()
			return
		}
		p := list[0]
		list[0] = passing{}
		n.passing[group] = list[1:]
		n.mu.Unlock()
		p.wait.finish(n.passOne(&p))
	}
}

func (n *clusterNode) passOne(p *passing) packets.ReasonCode {
	m, group := p.msg, p.group
	for {
		if n.life.Err() != nil {
			return packets.ServerShuttingDown
		}
		if !n.state.current(n.self.Name, p.step) { // whoever has sent it here has sent it elsewhere since
			return packets.ServerUnavailable
		}
		rt, leaving := n.state.pickNode(group, n.self.Name, m.QoS), false
		if rt == nil || rt.members.online == 0 {
			var g *giving
			if g, leaving = n.giveToGroup(passedKey{m.ID, group}, m, p.doubtful); g != nil {
				return p.await(n.life, g)
			}
		}
		switch {
		case rt != nil:
			if taken, code := n.passTo(rt.node, p); taken {
				return code
			}
		case !leaving:
			n.b.drop(DroppedEvent{TopicName: m.TopicName, QoS: m.QoS, Reason: DropSessionEnded})
			return packets.Success
		}
		if time.Now().After(p.until) {
			return packets.ServerUnavailable // that is certain: nobody has it
		}
		n.passLull()
	}
}

// over reports whether nobody waits any more for what has become of a message that somebody was asked to take.
func (p *passing) over() bool { return !p.patient && time.Now().After(p.until) }

// await returns what has become of the message, which a member here has got.
func (p *passing) await(ctx context.Context, g *giving) packets.ReasonCode {
	if !p.patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.until)
		defer cancel()
	}
	return g.wait(ctx)
}

func (n *clusterNode) passLull() {
	select {
	case <-time.After(passPause):
	case <-n.life.Done():
	}
}

// passTo has a node give a message to a member of a group. While the node does not say what has become of it, nobody else is asked: a member there may
// have it. taken: there is nothing more to be done, with that code.
func (n *clusterNode) passTo(node string, p *passing) (taken bool, code packets.ReasonCode) {
	for {
		answered, taken := n.askToTake(node, p)
		switch {
		case answered:
			return taken, packets.Success
		case !n.isMember(node):
			p.doubtful = true
			return false, packets.Success
		case p.over() || n.life.Err() != nil || !n.state.current(n.self.Name, p.step):
			return true, packets.ServerUnavailable
		}
		n.passLull()
	}
}

// askToTake asks a node to give a message to a member of a group.
func (n *clusterNode) askToTake(node string, p *passing) (answered, taken bool) {
	m := p.msg
	ctx, cancel := context.WithTimeout(n.life, passTimeout)
	defer cancel()
	req := codec.AppendFixed64(request(callPass), n.adoptions.taken.Load())
	req = codec.AppendUint(req, p.step)
	req = codec.AppendBool(codec.AppendString(req, p.group), p.doubtful)
	b, err := n.c.Call(ctx, node, appendMessage(req, m))
	if err != nil {
		n.b.log.Debug("a message for a shared group was not passed on", "node", node, "topic", m.TopicName, "error", err)
		return false, false
	}
	r, err := openRecord(b)
	if err != nil {
		return false, false
	}
	taken = r.Byte() == passTaken
	return r.Err() == nil, taken
}

// takePassed answers callPass.
func (n *clusterNode) takePassed(ctx context.Context, node string, r *codec.Reader) ([]byte, error) {
	step, from, group, doubtful := r.Fixed64(), r.Uint(), r.String(), r.Bool()
	m := readMessage(r)
	if r.Err() != nil {
		return nil, r.Err()
	}
	m.Payload = append([]byte(nil), m.Payload...) // the request is not kept
	if err := n.adoptions.awaitStep(ctx, step); err != nil {
		return nil, err
	}
	if !n.state.current(node, from) || !n.state.current(n.self.Name, step) {
		return nil, errGivenUp
	}
	key := passedKey{m.ID, group}
	if n.passed.has(key) { // the answer was lost
		return answer(passTaken), nil
	}
	g := n.givingOf(key)
	if g == nil {
		if g, _ = n.giveToGroup(key, m, doubtful); g == nil {
			return answer(passNone), nil
		}
	}
	if code := g.wait(ctx); code.IsError() {
		return nil, fmt.Errorf("shoal: pass message on: %w", &Error{ReasonCode: code})
	}
	return answer(passTaken), nil
}

// passedKey is a message for a shared group; it tells those that were passed on to this node. If the node that had passed it on is lost before it can say so, who had
// sent it there chooses another member, which may be here.
type passedKey struct {
	id    msgID
	group string
}

// noteAnswered notes that a member of a group has answered a message that another of the group may have had, or has let go of. Whoever had it then may leave
// without having answered it, or be lost before whoever had sent the message there knows that it had it, so that it comes to the group again; not to this
// connection, which has been done with it.
func (n *clusterNode) noteAnswered(e *core.Entry, why core.Why) {
	if (e.Doubtful || e.Handed) && e.Share != "" && (why == core.Acknowledged || why == core.Refused) {
		n.answered.add(passedKey{e.Msg.ID, e.Share})
	}
}

// wasAnswered reports whether a message has come to its group here before, as noteAnswered tells.
func (n *clusterNode) wasAnswered(e *core.Entry) bool {
	return n.answered.has(passedKey{e.Msg.ID, e.Share})
}

// giving is a message that a member of a group here has got, and that is not certain to be kept yet: its store may fail for long.
type giving struct {
	done chan struct{}
	code packets.ReasonCode
}

// wait returns what has become of it, or ServerUnavailable when ctx ends.
func (g *giving) wait(ctx context.Context) packets.ReasonCode {
	select {
	case <-g.done:
	case <-ctx.Done():
		select {
		case <-g.done:
		default:
			return packets.ServerUnavailable
		}
	}
	return g.code
}

// givingOf returns the giving of a message that was passed on to this node before, or nil.
func (n *clusterNode) givingOf(key passedKey) *giving {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.givings[key]
}

// giveToGroup gives a message to a member of a group on this node. It returns nil if there is none; leaving: there is one that is on its way to another node.
func (n *clusterNode) giveToGroup(key passedKey, m *core.Message, doubtful bool) (given *giving, leaving bool) {
	g := n.b.groups.get(key.group)
	if g == nil {
		return nil, false
	}
	sc := n.b.scratch()
	defer sc.release()
	tenure := n.tenure.Load()
	p := publishOfMessage(m)
	r := &sc.r
	r.again(&p, m, sc.nano)
	r.origin, r.groupsOnly, r.doubtful = m.Origin, true, doubtful
	taken := n.b.deliverShared(sc, g)
	n.b.awaitStored(r)
	if n.tenure.Load() != tenure {
		r.refuse(packets.ServerUnavailable) // it may have come to a session that is not this node's any more
	}
	a := r.acceptance()
	if !taken {
		a.begin(func(packets.ReasonCode) {})
		return nil, sc.leaving
	}
	given = &giving{done: make(chan struct{})}
	n.mu.Lock()
	n.givings[key] = given
	n.mu.Unlock()
	a.begin(func(code packets.ReasonCode) {
		if !code.IsError() {
			n.passed.add(key)
		}
		n.mu.Lock()
		delete(n.givings, key)
		n.mu.Unlock()
		given.code = code
		close(given.done)
	})
	return given, false
}
