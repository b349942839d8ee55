package raftlog

import "github.com/hashicorp/raft"

// Raft sends a follower one request each time it is woken, and is woken once for all entries that came meanwhile; a request has maxAppend entries at
// most. A follower that fell behind by more than that in a burst would stay behind when the burst is over, and come nearer by one request for each
// CommitTimeout. So a request that is full takes along what else there is: raft goes on behind the last entry of the request, as it was sent.
const (
	catchUpEntries = 4096
	catchUpBytes   = 4 << 20
)

// takeAlong adds the entries of the log that follow those of a full request.
func takeAlong(logs raft.LogStore, req *raft.AppendEntriesRequest) {
	n := len(req.Entries)
	if n < maxAppend {
		return
	}
	size := 0
	for _, e := range req.Entries {
		size += len(e.Data)
	}
	last, err := logs.LastIndex()
	if err != nil {
		return
	}
	for i := req.Entries[n-1].Index + 1; i <= last && len(req.Entries) < catchUpEntries; i++ {
		e := new(raft.Log)
		// An entry of a later term is one of the next leader's, which has replaced this one's.
		if logs.GetLog(i, e) != nil || e.Index != i || e.Term > req.Term {
			return
		}
		if size += len(e.Data); size > catchUpBytes {
			return
		}
		req.Entries = append(req.Entries, e)
	}
}
