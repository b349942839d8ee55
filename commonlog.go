package shoal

import (
	"context"
	"log/slog"

	"github.com/shoalmq/shoal/packets"
)

// commonLog is the journal of a node whose cluster shares one store. It collects what the node's sessions change, as the storeLog does that it is made of, and
// commits it under each session's Fence, so that what this node writes late, when another has gone on with a session, changes nothing. What is
// stored is in commonsession.go; how a session leaves one node and comes to another, in commonmove.go.
//
// While the store is away, changes gather and publishers wait. When that has lasted for storePatience, or too much has gathered, messages
// for sessions that last are refused; everything else goes on. It recovers by itself.
type commonLog struct {
	storeLog
	store FencedStorage
	// stale is called with the Spaces that others have gone on with. It calls done once, with the code for those who wait; it may do so later.
	stale func(spaces []staleSpace, done func(packets.ReasonCode))
	// note has it agreed what the store has now, in the order of the calls, and gives back counts of wait; see commonnotes.go.
	note func(notes [][]byte, wait *acceptance)

	noting *noting // on its way; nil if there is nothing to be agreed. Guarded by mu
}

// noting is what is being agreed of one commit, and who waits for that besides the commit's own waiters.
type noting struct{ waits []*acceptance }

// staleSpace is a Space that this node may not write to any more, and with which Fence it tried.
type staleSpace struct {
	space string
	fence Fence
}

func newCommonLog(s FencedStorage, log *slog.Logger) *commonLog {
	j := &commonLog{store: s}
	j.init(log, storePatience, storePatience)
	j.put, j.settle = j.putFenced, func(wait *acceptance) { j.agree(nil, wait) }
	j.unsettled = func() bool { return j.noting != nil }
	return j
}

// write adds changes of one Space, which are committed together, and what is to be agreed after that. It never blocks. The journal keeps note and ops.
func (j *commonLog) write(space string, fence Fence, note []byte, ops ...Op) {
	u := storeUnit{space: space, fence: fence, ops: ops, note: note, bytes: len(note) + sizeOf(ops)}
	j.mu.Lock()
	j.add(u)
	j.mu.Unlock()
	j.signal()
}

// putFenced commits units. When they are committed, what others have gone on with is looked into, and the rest is agreed.
func (j *commonLog) putFenced(ctx context.Context, units []storeUnit) (then func(wait *acceptance), err error) {
	ops, fences := together(units)
	names, err := j.store.CommitFenced(ctx, ops, fences)
	if err != nil {
		return nil, err
	}
	var stale []staleSpace
	for _, name := range names {
		stale = append(stale, staleSpace{name, fences[name]})
		delete(fences, name)
	}
	notes := notesOf(units, fences)
	return func(wait *acceptance) {
		if len(stale) > 0 {
			wait.add()
			j.stale(stale, wait.finish)
		}
		j.agree(notes, wait)
	}, nil
}

// notesOf returns what is to be agreed of units that were committed. What has no Fence was not.
func notesOf(units []storeUnit, fences map[string]Fence) (notes [][]byte) {
	for i := range units {
		if f, committed := fences[units[i].space]; committed && len(units[i].note) > 0 && units[i].fence == f {
			notes = append(notes, units[i].note)
		}
	}
	return notes
}

// agree makes a wait until notes are agreed, and all before them.
func (j *commonLog) agree(notes [][]byte, wait *acceptance) {
	j.mu.Lock()
	if len(notes) == 0 {
		if j.noting != nil {
			wait.add()
			j.noting.waits = append(j.noting.waits, wait)
		}
		j.mu.Unlock()
		return
	}
	mine := new(noting)
	j.noting = mine
	j.mu.Unlock()
	agreed := newAcceptance()
	agreed.then = func(code packets.ReasonCode) {
		j.mu.Lock()
		if j.noting == mine {
			j.noting = nil
		}
		waits := mine.waits
		j.mu.Unlock()
		wait.finish(code)
		for _, w := range waits {
			w.finish(code)
		}
	}
	wait.add()
	j.note(notes, agreed)
	agreed.finish(packets.Success)
}

// together makes one commit of units. What was written to a Space before this node had it the last time is void.
func together(units []storeUnit) ([]Op, map[string]Fence) {
	fences := make(map[string]Fence)
	for i := range units {
		u := &units[i]
		if f, known := fences[u.space]; !known || u.fence.Compare(f) > 0 {
			fences[u.space] = u.fence
		}
	}
	var ops []Op
	for i := range units {
		if u := &units[i]; u.fence == fences[u.space] {
			ops = append(ops, u.ops...)
		}
	}
	return ops, fences
}
