package shoal

import (
	"sync"
	"time"
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
