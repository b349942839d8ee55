package shoal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shoalmq/shoal/packets"
)

// DrainOptions say how Drain sends clients away. The zero value is good.
type DrainOptions struct {
	// Rate is how many connections are ended per second, so that the other nodes can take them: each is a handshake, an authentication and a
	// session that moves there. It is exceeded if there would not be time for all in the first half of what ctx leaves. Default DefaultDrainRate.
	Rate int
}

// DefaultDrainRate is how many connections per second a node that drains ends: about what one other node takes over TLS, on one core.
const DefaultDrainRate = 1000

// Drain sends all clients to the other nodes of the cluster, so that Shutdown has nothing left to interrupt: it closes the listeners, gives up the
// leadership of the cluster, if this node has it, and ends the connections at a pace, those of v5 clients with Use Another Server and the Server
// Reference of a node that is up, each of these in turn. It returns when the last connection is over. Until its turn comes each client is
// served as ever; what the broker itself publishes and subscribes to goes on. Sessions move when their clients come back elsewhere; what is left of them
// when the node leaves goes to another node, with everything in it.
//
// When ctx ends first, Drain returns its error, and those who are connected stay. There is no way back but a restart. Shutdown does the same with
// the zero DrainOptions and then leaves. Alone, or with no other node to go to, all connections are ended at once.
func (b *Broker) Drain(ctx context.Context, o DrainOptions) error {
	if o.Rate < 0 {
		return fmt.Errorf("shoal: DrainOptions.Rate is %d; use connections per second, or 0 for %d", o.Rate, DefaultDrainRate)
	}
	if err := b.running(); err != nil {
		return err
	}
	b.closeListeners()
	err := b.sendAway(ctx, o, b.hurry)
	if err != nil {
		return err
	}
	return b.running() // or Shutdown has taken over
}

// closeListeners lets nobody in any more.
func (b *Broker) closeListeners() {
	b.mu.Lock()
	b.closing = true
	listeners := b.listeners
	b.mu.Unlock()
	for _, l := range slices.Concat(listeners, b.cfg.listeners) { // if Start failed, some of these were not listened on
		_ = l.Close() // nothing is lost with a listener
	}
}

// sendAway ends all connections, at a pace if there is somewhere to go, and waits for their end. It returns early when hurry is closed.
func (b *Broker) sendAway(ctx context.Context, o DrainOptions, hurry <-chan struct{}) error {
	paced := false
	if n := b.cluster; n != nil {
		n.yield(ctx)
		paced = n.serverReference() != ""
	}
	conns := b.allConns()
	rate := float64(o.Rate)
	if rate == 0 {
		rate = DefaultDrainRate
	}
	began := time.Now()
	if end, ok := ctx.Deadline(); ok {
		rate = max(rate, float64(len(conns))/max(end.Sub(began)/2, time.Millisecond).Seconds())
	}
	b.log.Info("draining", "connections", len(conns), "rate", rate)
	t := time.NewTimer(0)
	defer t.Stop()
	for i, c := range conns {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if wait := time.Until(due); paced && wait > 0 {
			t.Reset(wait)
			select {
			case <-t.C:
			case <-c.stopped:
				continue // it ended by itself
			case <-hurry:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c.kick(b.farewell())
	}
	for _, c := range conns { // their wills are published before the end of everything
		select {
		case <-c.stopped:
		case <-hurry:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// farewell ends the connection of a client because the node is going, and says where to go instead.
func (b *Broker) farewell() kicked {
	k := kicked{code: packets.ServerShuttingDown, reason: "the server is shutting down"}
	if b.cluster != nil {
		if k.reference = b.cluster.serverReference(); k.reference != "" {
			k.code = packets.UseAnotherServer
		}
	}
	return k
}

// yield gives up the leadership of the cluster.
func (n *clusterNode) yield(ctx context.Context) {
	y, ok := n.c.(Yielder)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := y.Yield(ctx); err != nil {
		n.b.log.Debug("leadership is not given up", "node", n.self.Name, "error", err)
	}
}
