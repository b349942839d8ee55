package raftlog

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout bounds one exchange of raft's, a snapshot's by its size.
	rpcTimeout = 5 * time.Second
	// appendRetryMax is the longest pause between attempts to reach a follower.
	appendRetryMin = 20 * time.Millisecond
	appendRetryMax = 500 * time.Millisecond
	dialTimeout    = time.Second
)

var errNoVote = errors.New("this node has restarted without its log, or with less than it had, and does not vote before it has caught up")

// transport is raft's network transport, and adds to it:
//   - when a quorum last answered, which is what the leader's own lease rests on;
//   - an early word to followers of what is committed;
//   - steady attempts to reach a lost follower. raft alone would pause for up to 10 s after a long absence, and a
//     node that comes back would wait for that;
//   - no vote of a node that has forgotten its votes, nor its candidacy.
type transport struct {
	*raft.NetworkTransport
	layer    *streamLayer
	logs     raft.LogStore
	consumer chan raft.RPC
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	noVotes  atomic.Bool
	// leads reports whether this node leads in term and id is one of its servers.
	leads func(term uint64, id raft.ServerID) bool

	mu        sync.Mutex
	closed    bool
	followers map[raft.ServerID]*follower
}

// follower is what the leader's transport knows of one follower.
type follower struct {
	id   raft.ServerID
	wake chan struct{} // capacity 1

	mu        sync.Mutex
	addr      raft.ServerAddress
	term      uint64    // what follows belongs to it, but for committed
	confirmed time.Time // when the last request went out that was answered in term
	told      uint64    // the commit index that an entry or a word of ours carried in term
	committed uint64
	// matched is an empty append behind the last entry that the follower has confirmed in term.
	matched raft.AppendEntriesRequest
}

func newTransport(nt *raft.NetworkTransport, layer *streamLayer, logs raft.LogStore, leads func(uint64, raft.ServerID) bool) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &transport{
		NetworkTransport: nt, layer: layer, logs: logs, consumer: make(chan raft.RPC), ctx: ctx, cancel: cancel,
		leads: leads, followers: make(map[raft.ServerID]*follower),
	}
	t.wg.Go(t.consume)
	return t
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.consumer }

// consume passes requests on, except for votes that this node must not cast.
func (t *transport) consume() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			switch rpc.Command.(type) {
			case *raft.RequestVoteRequest, *raft.RequestPreVoteRequest:
				if t.noVotes.Load() {
					rpc.Respond(nil, errNoVote)
					continue
				}
			}
			select {
			case t.consumer <- rpc:
			case <-t.ctx.Done():
				rpc.Respond(nil, raft.ErrTransportShutdown)
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if t.noVotes.Load() {
		return errNoVote
	}
	return t.NetworkTransport.RequestVote(id, addr, req, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.noVotes.Load() {
		return errNoVote
	}
	return t.NetworkTransport.RequestPreVote(id, addr, req, resp)
}

// stop ends what waits for other nodes, so that raft can stop.
func (t *transport) stop() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.layer.hangUp()
}

// Close implements raft.WithClose. raft calls it when it has stopped.
func (t *transport) Close() error {
	t.stop()
	err := t.NetworkTransport.Close()
	t.NetworkTransport.CloseStreams()
	t.wg.Wait()
	return err
}

func (t *transport) follower(id raft.ServerID, addr raft.ServerAddress) *follower {
	t.mu.Lock()
	f := t.followers[id]
	if f == nil {
		f = &follower{id: id, wake: make(chan struct{}, 1)}
		t.followers[id] = f
		if !t.closed {
			t.wg.Go(func() { t.tellCommitted(f) })
		}
	}
	t.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addr = addr
	return f
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, addr raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	f := t.follower(id, addr)
	heartbeat := req.PrevLogEntry == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
	if !heartbeat {
		f.sending(req)
	}
	for pause := appendRetryMin; ; pause = min(2*pause, appendRetryMax) {
		sent := time.Now()
		err := t.NetworkTransport.AppendEntries(id, addr, req, resp)
		if err == nil {
			f.answered(sent, req, resp)
			if !heartbeat {
				f.matches(req, resp)
			}
			return nil
		}
		if heartbeat || !t.leads(req.Term, id) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-t.ctx.Done():
			return err
		}
		if !t.leads(req.Term, id) {
			return err
		}
	}
}

// AppendEntriesPipeline implements raft.Transport.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, addr)
	if err != nil {
		return nil, err
	}
	q := &pipeline{
		AppendPipeline: p, logs: t.logs, follower: t.follower(id, addr), answers: make(chan raft.AppendFuture), closed: make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errors.Join(raft.ErrTransportShutdown, p.Close())
	}
	t.wg.Go(q.passOn)
	return q, nil
}

// pipeline takes answers out of raft's pipeline whether or not anybody waits for them. Raft stops waiting when it steps down, while
// it may still be handing over a request; with nobody to take the answers, both ends would wait for ever, and with them
// raft's shutdown. What is kept is bounded by the requests in flight, since none is sent after raft has stopped waiting.
type pipeline struct {
	raft.AppendPipeline
	logs     raft.LogStore
	follower *follower
	answers  chan raft.AppendFuture
	closed   chan struct{}
	once     sync.Once
}

// passOn passes answers on until Close.
func (p *pipeline) passOn() {
	var waiting []raft.AppendFuture
	for {
		var out chan raft.AppendFuture
		var next raft.AppendFuture
		if len(waiting) > 0 {
			out, next = p.answers, waiting[0]
		}
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() == nil {
				p.follower.matches(f.Request(), f.Response())
			}
			waiting = append(waiting, f)
		case out <- next:
			waiting = waiting[1:]
		case <-p.closed:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.AppendPipeline.Close()
}

func (p *pipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	takeAlong(p.logs, req)
	future, err := p.AppendPipeline.AppendEntries(req, resp)
	if err == nil {
		p.follower.sending(req)
	}
	return future, err
}

// sending notes what a request tells of the commit index.
func (f *follower) sending(req *raft.AppendEntriesRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enter(req.Term)
	index, _ := lastEntry(req)
	f.told = max(f.told, min(req.LeaderCommitIndex, index))
}

// enter forgets what belongs to an earlier term. Called with f.mu held.
func (f *follower) enter(term uint64) {
	if f.term < term {
		f.term, f.confirmed, f.told, f.matched = term, time.Time{}, 0, raft.AppendEntriesRequest{}
	}
}

// lastEntry returns index and term of the last entry that a request is about.
func lastEntry(req *raft.AppendEntriesRequest) (index, term uint64) {
	if n := len(req.Entries); n > 0 {
		return req.Entries[n-1].Index, req.Entries[n-1].Term
	}
	return req.PrevLogEntry, req.PrevLogTerm
}

// matches notes that the follower has what a request was about.
func (f *follower) matches(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	if !resp.Success || resp.Term != req.Term {
		return
	}
	index, term := lastEntry(req)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enter(req.Term)
	if f.term != req.Term || index <= f.matched.PrevLogEntry {
		return
	}
	f.matched = raft.AppendEntriesRequest{
		RPCHeader: req.RPCHeader, Term: req.Term, PrevLogEntry: index, PrevLogTerm: term,
	}
	f.pokeIfNews()
}

// news returns the commit index to tell, and whether it is worth telling. Called with f.mu held.
func (f *follower) news() (index uint64, worth bool) {
	index = min(f.committed, f.matched.PrevLogEntry)
	return index, index > f.told
}

// pokeIfNews is called with f.mu held.
func (f *follower) pokeIfNews() {
	if _, worth := f.news(); worth {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

func (f *follower) answered(sent time.Time, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	if !resp.Success || resp.Term != req.Term {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enter(req.Term)
	if f.term == req.Term && sent.After(f.confirmed) {
		f.confirmed = sent
	}
}

// confirmed returns a time after which a quorum of voters was in the leader's term. ok is false if there was none yet.
func (t *transport) confirmed(term uint64, self raft.ServerID, servers []raft.Server) (at time.Time, ok bool) {
	var times []time.Time
	voters := 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == self {
			times = append(times, time.Now())
			continue
		}
		t.mu.Lock()
		f := t.followers[s.ID]
		t.mu.Unlock()
		if f == nil {
			continue
		}
		f.mu.Lock()
		if f.term == term && !f.confirmed.IsZero() {
			times = append(times, f.confirmed)
		}
		f.mu.Unlock()
	}
	quorum := voters/2 + 1
	if voters == 0 || len(times) < quorum {
		return time.Time{}, false
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return times[quorum-1], true
}

// committed is called by the leader when it has applied an entry.
func (t *transport) committed(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.followers {
		f.mu.Lock()
		f.committed = index
		f.pokeIfNews()
		f.mu.Unlock()
	}
}

// tellCommitted sends one follower empty appends that carry the commit index, as far as the follower has confirmed the log.
func (t *transport) tellCommitted(f *follower) {
	for {
		select {
		case <-f.wake:
		case <-t.ctx.Done():
			return
		}
		f.mu.Lock()
		req, addr := f.matched, f.addr
		index, worth := f.news()
		if worth {
			f.told = index
		}
		f.mu.Unlock()
		req.LeaderCommitIndex = index
		if !worth || !t.leads(req.Term, f.id) {
			continue
		}
		sent := time.Now()
		var resp raft.AppendEntriesResponse
		if t.NetworkTransport.AppendEntries(f.id, addr, &req, &resp) == nil {
			f.answered(sent, &req, &resp)
		}
	}
}
