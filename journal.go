package shoal

import (
	"context"

	"github.com/shoalmq/shoal/packets"
)

// journal is the one place that decides where a durable change goes: to the broker's own store when it is alone; through the cluster's agreed order to
// all nodes; to both, on a node of a cluster that was given a store of its own; or to the store that all nodes share, when the agreed order has only
// that there is such a session.
//
// What gathers is bounded by its users: readers stop reading from their connection while more than journalHigh bytes wait (admit).
type journal struct {
	store       *storeLog    // nil: nothing goes to the store
	replication *replication // nil: nothing goes to the other nodes
	common      *commonLog   // nil: there is no store that all nodes share
}

// await makes a wait until everything written so far is as durable as that.
func (j *journal) await(a *acceptance, d Durability) {
	switch {
	case d == DurabilityMemory:
	case j.common != nil:
		j.common.await(a)
		j.replication.await(a, false)
	case j.replication != nil: // the store of its own is for the node's next start without the others
		j.replication.await(a, d == DurabilityFsync)
	default:
		j.store.await(a)
	}
}

// later calls fn when everything written so far is as durable as that, or is not to be; DurabilityMemory is taken for DurabilityQuorum. It
// never calls it before it returns, so that the caller may hold a lock that fn takes.
func (j *journal) later(fn func(packets.ReasonCode), d Durability) {
	a := newAcceptance()
	a.then = fn
	switch {
	case j.common != nil:
		a.add()
		j.common.enqueue(a)
		j.replication.enqueue(a, false)
	case j.replication != nil:
		j.replication.enqueue(a, d == DurabilityFsync)
	default:
		j.store.enqueue(a)
	}
}

// flush returns when everything written so far is as durable as that.
func (j *journal) flush(ctx context.Context, d Durability) error {
	return flush(ctx, func(a *acceptance) { j.await(a, d) })
}

func flush(ctx context.Context, await func(*acceptance)) error {
	done := make(chan packets.ReasonCode, 1)
	a := newAcceptance()
	a.then = func(c packets.ReasonCode) { done <- c }
	await(a)
	a.finish(packets.Success)
	select {
	case c := <-done:
		if c.IsError() {
			return &Error{ReasonCode: c, Reason: "the broker could not store the change; try again"}
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit returns when the journal has room, or ctx ended.
func (j *journal) admit(ctx context.Context) {
	if j.store != nil {
		j.store.admit(ctx)
	}
	if j.replication != nil {
		j.replication.admit(ctx)
	}
	if j.common != nil {
		j.common.admit(ctx)
	}
}

// refuses reports whether messages for sessions that last cannot be taken now.
func (j *journal) refuses() bool { return j.common != nil && j.common.refuses() }
