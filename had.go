package shoal

import (
	"sync"
	"time"

	core "github.com/shoalmq/shoal/internal/session"
)

// hads has sessions forget what they had when they were adopted, when nothing can come any more that was on its way to the lost node: also those to which nothing
// comes at all.
type hads struct {
	n *clusterNode

	mu      sync.Mutex
	list    []*session // in the order in which they are due
	running bool
}

// add is called by a session that begins to remember. The caller holds s.mu, or has the session alone.
func (h *hads) add(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, s)
	if !h.running {
		h.running = true
		h.n.wg.Go(h.run)
	}
}

// run goes on for as long as there are any.
func (h *hads) run() {
	for {
		h.mu.Lock()
		if len(h.list) == 0 {
			h.list, h.running = nil, false
			h.mu.Unlock()
			return
		}
		s := h.list[0]
		h.list[0] = nil
		h.list = h.list[1:]
		h.mu.Unlock()
		for {
			s.mu.Lock()
			wait := s.forgetHad(h.n.b.nano())
			s.mu.Unlock()
			if wait == 0 {
				break
			}
			select {
			case <-time.After(wait):
			case <-h.n.life.Done():
				return
			}
		}
	}
}

// forgetHad forgets what the session had when it was adopted, if its time is over; or returns how long that may be useful yet. The caller holds s.mu.
func (s *session) forgetHad(now int64) time.Duration {
	switch {
	case s.had == nil:
		return 0
	case now <= s.hadUntil:
		return time.Duration(s.hadUntil-now) + 1
	}
	s.had, s.upTo = nil, nil
	return 0
}

// rerouteTime is how long after the loss of a node messages may come that were on their way there. It is a matter of moments: every node sends them
// on when it hears of the loss.
const rerouteTime = time.Minute

// inherit remembers a message that the session had when it was adopted: should it come from another node, too, the client may have completed it
// by then, and the session not know it any more. The caller holds s.mu, or has the session alone.
func (s *session) inherit(id msgID) {
	if s.had == nil {
		s.had = make(map[msgID]struct{})
		s.hadUntil = s.b.now().Add(rerouteTime).UnixNano()
		s.b.cluster.hads.add(s)
	}
	s.had[id] = struct{}{}
}

// stream is what one publisher sent by one node. A node gets it in order.
type stream struct {
	origin    uint64
	publisher string
}

// hadUpTo notes an entry that the lost node had put into the session: it had dealt with everything before that in the same stream. What is not here of that
// has been completed, or came before the subscription that it matches now. A retained message tells nothing: it is sent for a SUBSCRIBE, whenever that comes.
// The caller has the session alone.
func (s *session) hadUpTo(e *core.Entry) {
	m := e.Msg
	if e.Share != "" || e.Retain || m.Publisher == "" {
		return
	}
	if s.upTo == nil {
		s.upTo = make(map[stream]uint64)
	}
	k := stream{m.ID.Origin, m.Publisher}
	s.upTo[k] = max(s.upTo[k], m.ID.Number)
}

// passedBy reports whether the lost node had dealt with a message that was on its way to it. The caller holds s.mu.
func (s *session) passedBy(m *core.Message) bool {
	return m.Publisher != "" && m.ID.Number <= s.upTo[stream{m.ID.Origin, m.Publisher}]
}

// hadBefore reports whether an adopted session has had a message: by way of a lost node, or from whoever had sent it there. The caller holds s.mu.
func (s *session) hadBefore(r *routing, e *core.Entry) bool {
	_, had := s.had[e.Msg.ID]
	if r.inherited == 0 {
		return had && e.Share == ""
	}
	return had || s.passedBy(e.Msg) || s.core.Has(e.Msg.ID)
}
