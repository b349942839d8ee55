package shoal

import (
	"context"

	"github.com/shoalmq/shoal/packets"
)

// journal is the one place that decides where a durable change goes: to the broker's own store when it is alone or all nodes share the
// store, or through the cluster's agreed order to all nodes; or both, on a node of a cluster that was given a store of its own.
//
// What gathers is bounded by its users: readers stop reading from their connection while more than journalHigh bytes wait (admit).
type journal struct {
	store       *storeLog    // nil: nothing goes to the store
	replication *replication // nil: nothing goes to the other nodes
}

// await makes a wait until everything written so far is as durable as that.
func (j *journal) await(a *acceptance, d Durability) {
	switch {
	case d == DurabilityMemory:
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
	if j.replication != nil {
		j.replication.enqueue(a, d == DurabilityFsync)
		return
	}
	j.store.enqueue(a)
}

// flush returns when everything written so far is as durable as that.
func (j *journal) flush(ctx context.Context, d Durability) error {
	done := make(chan packets.ReasonCode, 1)
	a := newAcceptance()
	a.then = func(c packets.ReasonCode) { done <- c }
	j.await(a, d)
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
}
