package shoal

import (
	"context"
	"fmt"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// A message for a shared group that comes to a node whose last member has just left, or is away while others are online, is passed on. That
// is asked of the other node and not forwarded to it: a node that accepted what it received only when another had accepted what it passed on
// would wait, with two of them, for ever, since nodes accept in order.

// passing is a message to be passed on.
type passing struct {
	msg   *core.Message
	group string
	wait  *acceptance
}

const (
	passPause   = 50 * time.Millisecond
	passTimeout = 5 * time.Second // of one question
	passTries   = 100
)

// Answers to callPass.
const (
	passNone  byte = iota // this node has no member of the group
	passTaken             // one has the message
)

// passOn passes messages on, one after another, so that they stay in order.
func (n *clusterNode) passOn(list []passing) {
	for i := range list {
		list[i].wait.finish(n.passOne(list[i].msg, list[i].group))
	}
}

func (n *clusterNode) passOne(m *core.Message, group string) packets.ReasonCode {
	for range passTries {
		if n.life.Err() != nil {
			return packets.ServerShuttingDown
		}
		rt := n.state.pickNode(group, n.self.Name)
		if rt == nil || rt.online == 0 {
			if taken, code := n.giveToGroup(n.life, m, group); taken {
				return code
			}
		}
		if rt == nil {
			n.b.drop(DroppedEvent{TopicName: m.TopicName, QoS: m.QoS, Reason: DropSessionEnded})
			return packets.Success
		}
		if n.askToTake(rt.node, m, group) {
			return packets.Success
		}
		select {
		case <-time.After(passPause):
		case <-n.life.Done():
		}
	}
	return packets.ImplementationSpecificError
}

// askToTake asks a node to give a message to a member of a group.
func (n *clusterNode) askToTake(node string, m *core.Message, group string) bool {
	ctx, cancel := context.WithTimeout(n.life, passTimeout)
	defer cancel()
	req := codec.AppendFixed64(request(callPass), n.adoptions.taken.Load())
	b, err := n.c.Call(ctx, node, appendMessage(codec.AppendString(req, group), m))
	if err != nil {
		n.b.log.Debug("a message for a shared group was not passed on", "node", node, "topic", m.TopicName, "error", err)
		return false
	}
	r, err := openRecord(b)
	return err == nil && r.Byte() == passTaken
}

// takePassed answers callPass.
func (n *clusterNode) takePassed(ctx context.Context, node string, r *codec.Reader) ([]byte, error) {
	step, group := r.Fixed64(), r.String()
	m := readMessage(r)
	if r.Err() != nil {
		return nil, r.Err()
	}
	m.Payload = append([]byte(nil), m.Payload...) // the request is not kept
	if err := n.adoptions.awaitStep(ctx, step); err != nil {
		return nil, err
	}
	if !n.state.current(node, step) {
		return nil, errGivenUp
	}
	taken, code := n.giveToGroup(ctx, m, group)
	switch {
	case code.IsError():
		return nil, fmt.Errorf("shoal: pass message on: %w", &Error{ReasonCode: code})
	case !taken:
		return answer(passNone), nil
	}
	return answer(passTaken), nil
}

// giveToGroup gives a message to a member of a group on this node, and returns when it is kept. It reports whether there was one.
func (n *clusterNode) giveToGroup(ctx context.Context, m *core.Message, name string) (taken bool, code packets.ReasonCode) {
	g := n.b.groups.get(name)
	if g == nil {
		return false, packets.Success
	}
	sc := n.b.scratch()
	p := publishOfMessage(m)
	r := &sc.r
	r.again(&p, m, sc.nano)
	r.origin = m.Origin
	taken = n.b.deliverShared(sc, g)
	n.b.awaitStored(r)
	a := r.wait
	sc.release()
	if a == nil {
		return taken, packets.Success
	}
	done := make(chan packets.ReasonCode, 1)
	a.then = func(code packets.ReasonCode) { done <- code }
	a.finish(packets.Success)
	select {
	case code = <-done:
		return taken, code
	case <-ctx.Done():
		return taken, packets.ImplementationSpecificError
	}
}
