package shoal

import (
	"context"
	"slices"
	"time"

	"github.com/shoalmq/shoal/internal/codec"
)

// Whose turn it is. In a cluster, programs on several nodes may have a Subscription of one name, of
// which one at a time gets the session. The others wait: until the session is at their own node,
// which is so after the loss of the node that had it, or until nobody at its node wants it any more.

const (
	// turnInterval is how often those who wait look again.
	turnInterval = 250 * time.Millisecond
	// turnPatience is how long a session stays at a node where it is wanted and, at the moment, not
	// connected: whoever has it there may be starting anew.
	turnPatience = 10 * time.Second
	// turnHeadStart is what one node has before the next, where all begin at the same time.
	turnHeadStart = 500 * time.Millisecond
)

// What a node answers about one of the broker's own sessions.
const (
	ownUnwanted byte = iota // nobody there subscribes by that name
	ownWanted               // somebody does, and is not connected
	ownConnected
	ownUnknown // the node did not answer
)

// awaitTurn returns when this node may connect to a session of the broker's own.
func (b *Broker) awaitTurn(ctx context.Context, id string) error {
	if b.cluster == nil {
		return nil
	}
	began := time.Now()
	free := began // since when the session is not connected anywhere
	timer := time.NewTimer(turnInterval)
	defer timer.Stop()
	for {
		if err := b.cluster.awaitServing(ctx); err != nil {
			return err
		}
		patience := time.Duration(0)
		switch home := b.cluster.whereOwn(id); home {
		case b.cluster.self.Name:
			return nil
		case "":
			patience = b.cluster.headStart()
		default:
			switch b.cluster.askOwn(ctx, home, id) {
			case ownUnwanted:
				return nil
			case ownWanted:
				patience = turnPatience
			case ownConnected, ownUnknown:
				free, patience = time.Now(), turnPatience
			}
		}
		if time.Since(free) >= patience {
			return nil
		}
		timer.Reset(turnInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.hurry:
			return ErrClosed
		}
	}
}

// whereOwn returns the node that has a session, or is about to; "" if there is none.
func (n *clusterNode) whereOwn(id string) string {
	o := n.state.owner(id)
	switch {
	case o == nil:
		return ""
	case o.home != "":
		return o.home
	}
	return o.node
}

// headStart is how long this node lets others begin first.
func (n *clusterNode) headStart() time.Duration {
	n.state.mu.RLock()
	defer n.state.mu.RUnlock()
	names := make([]string, 0, len(n.state.up))
	for name := range n.state.up {
		names = append(names, name)
	}
	slices.Sort(names)
	return time.Duration(max(0, slices.Index(names, n.self.Name))) * turnHeadStart
}

// askOwn asks a node what it knows of a session of the broker's own.
func (n *clusterNode) askOwn(ctx context.Context, node, id string) byte {
	ctx, cancel := context.WithTimeout(ctx, servingPatience)
	defer cancel()
	answer, err := n.c.Call(ctx, node, codec.AppendString(request(callOwn), id))
	if err != nil {
		return ownUnknown
	}
	r, err := openRecord(answer)
	if err != nil {
		return ownUnknown
	}
	state := r.Byte()
	if r.Err() != nil {
		return ownUnknown
	}
	return state
}

// serveOwnState answers callOwn.
func (n *clusterNode) serveOwnState(id string) []byte {
	state := ownUnwanted
	if n.b.own.has(id) {
		state = ownWanted
	}
	if s := n.b.sessions.get(id); s != nil {
		s.mu.Lock()
		if s.conn != nil {
			state = ownConnected
		}
		s.mu.Unlock()
	}
	return answer(state)
}
