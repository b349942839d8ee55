package shoal

import (
	"context"

	core "github.com/shoalmq/shoal/internal/session"
	"github.com/shoalmq/shoal/packets"
)

// sessionStore is where the sessions are kept that outlive their connections. A broker has exactly one, so that there is
// one truth for each session:
//
//   - ownStore: the Storage of a broker that is alone;
//   - replication: the replicated log of a cluster, which all its nodes have;
//   - commonStore: a store that all nodes of a cluster share, with a word in the replicated log that there is a session.
//
// Changes are recorded under the session's lock, in order, and without waiting. Those who must know that a change is kept
// wait for everything that was recorded before.
type sessionStore interface {
	meta(s *session)  // its Session Expiry Interval changed, or its client came or went
	whole(s *session) // it is kept from here on, with all it has now, in place of what was kept
	forget(s *session)
	subscribed(s *session, sub *subscription)
	unsubscribed(s *session, filter string)
	enqueued(s *session, e *core.Entry)
	sent(s *session, e *core.Entry)
	pubRecReceived(s *session, e *core.Entry)
	entryEnded(s *session, e *core.Entry)
	received(s *session, packetID uint16)
	completed(s *session, packetID uint16)

	// await makes a wait until everything recorded so far is as durable as that, if it is not yet.
	await(a *acceptance, d Durability)
	// awaitPatient is await for what is not refused while the store fails: it waits until the store has it, however long that takes.
	awaitPatient(a *acceptance, d Durability)
	// enqueue has one of a's counts given back, always on another goroutine, when await would end.
	enqueue(a *acceptance, d Durability)
	// admit returns when there is room for more changes, or ctx ended.
	admit(ctx context.Context)
	// enter is admit for what comes by no connection. It takes room for so many bytes, until they are given back; its error is ctx's.
	enter(ctx context.Context, bytes int) error
	giveBack(bytes int)
	// refuses reports whether messages for sessions that last cannot be taken now.
	refuses() bool
}

// journal is the broker's sessionStore, and what it is made of, for those who have more to do with that.
//
// What gathers in it is bounded by its users: readers stop reading from their connection while more than journalHigh bytes wait (admit), and the program
// takes room for what it publishes (enter).
type journal struct {
	sessionStore
	own         *storeLog    // nil in a cluster
	replication *replication // nil without a cluster
	common      *commonLog   // nil: there is no store that all nodes share
}

func newOwnJournal(own *storeLog) *journal { return &journal{sessionStore: &ownStore{own}, own: own} }

// newClusterJournal makes the journal of a node. common is nil if the nodes share no store.
func newClusterJournal(r *replication, common *commonLog) *journal {
	j := &journal{sessionStore: r, replication: r, common: common}
	if common != nil {
		j.sessionStore = &commonStore{common, r}
	}
	return j
}

// later calls fn when everything recorded so far is as durable as that, or is not to be; DurabilityMemory is taken for
// DurabilityQuorum. It never calls it before it returns, so that the caller may hold a lock that fn takes.
func (j *journal) later(fn func(packets.ReasonCode), d Durability) {
	a := newAcceptance()
	a.then = fn
	j.enqueue(a, d)
}

// flush returns when everything recorded so far is as durable as that.
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
