package raftlog

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// TestTakeAlong holds that a request which is full has everything that follows, within bounds, and nothing of another leader's; others stay as they are.
func TestTakeAlong(t *testing.T) {
	logs := func(n uint64, size int, termOf func(i uint64) uint64) raft.LogStore {
		s := raft.NewInmemStore()
		for i := uint64(1); i <= n; i++ {
			require.NoError(t, s.StoreLog(&raft.Log{Index: i, Term: termOf(i), Data: make([]byte, size)}))
		}
		return s
	}
	same := func(uint64) uint64 { return 3 }
	request := func(s raft.LogStore, from uint64, n int) *raft.AppendEntriesRequest {
		req := &raft.AppendEntriesRequest{Term: 3}
		for i := range n {
			e := new(raft.Log)
			require.NoError(t, s.GetLog(from+uint64(i), e))
			req.Entries = append(req.Entries, e)
		}
		return req
	}
	for name, tc := range map[string]struct {
		logs raft.LogStore
		n    int
		want int
	}{
		"not full":              {logs(100, 10, same), maxAppend - 1, maxAppend - 1},
		"full":                  {logs(100, 10, same), maxAppend, 100},
		"nothing follows":       {logs(maxAppend, 10, same), maxAppend, maxAppend},
		"too many":              {logs(catchUpEntries+100, 1, same), maxAppend, catchUpEntries},
		"too large":             {logs(100, 100<<10, same), maxAppend, catchUpBytes / (100 << 10)},
		"large already":         {logs(40, 1<<20, same), maxAppend, maxAppend},
		"the next leader's end": {logs(100, 10, func(i uint64) uint64 { return 3 + i/50 }), maxAppend, 49},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(tc.logs, 1, tc.n)
			takeAlong(tc.logs, req)
			require.Len(t, req.Entries, tc.want)
			for i, e := range req.Entries {
				require.Equal(t, uint64(i+1), e.Index)
			}
		})
	}
	compacted := logs(100, 10, same)
	require.NoError(t, compacted.DeleteRange(1, 50)) // while the request was on its way
	req := &raft.AppendEntriesRequest{Term: 3, Entries: make([]*raft.Log, maxAppend)}
	for i := range req.Entries {
		req.Entries[i] = &raft.Log{Index: uint64(i + 1), Term: 3}
	}
	takeAlong(compacted, req)
	require.Len(t, req.Entries, maxAppend)
}
