package shoal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Flapping says when a client that connects again and again is banned for a while; see WithFlapping.
type Flapping struct {
	// Connections is how many connections a ClientID may have accepted within Window. The next one is refused with Banned (0x8A), and the
	// ClientID is banned for the time of Ban.
	Connections int
	Window      time.Duration
	Ban         time.Duration
}

// WithFlapping bans clients that connect too often. Connections are counted once the client is authenticated, so that nobody can have others banned
// by guessing, and on each node of a cluster for itself; the ban holds on all. Of at most 100,000 ClientIDs the count is kept; when more
// come within one Window, counting begins anew. By default nobody is banned so.
func WithFlapping(f Flapping) Option { return func(c *config) { c.flapping = &f } }

func (f *Flapping) validate() error {
	if f == nil {
		return nil
	}
	if f.Connections < 1 || f.Window <= 0 || f.Ban <= 0 {
		return fmt.Errorf("shoal: WithFlapping: Connections is %d, Window %v, Ban %v; all must be greater than 0", f.Connections, f.Window, f.Ban)
	}
	return nil
}

// flaps counts connections by ClientID.
type flaps struct {
	Flapping

	mu    sync.Mutex
	count map[string]flap
}

type flap struct {
	since time.Time
	n     int
}

const mostFlaps = 100_000

// connected counts a connection and reports whether it is one too many.
func (f *flaps) connected(id string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, known := f.count[id]
	if !known || now.Sub(c.since) >= f.Window {
		c = flap{since: now}
	}
	if c.n++; c.n > f.Connections {
		delete(f.count, id)
		return true
	}
	if !known && len(f.count) >= mostFlaps {
		f.makeRoom(now)
	}
	if f.count == nil {
		f.count = make(map[string]flap)
	}
	f.count[id] = c
	return false
}

// makeRoom forgets whose window is over, or everybody. The caller holds f.mu.
func (f *flaps) makeRoom(now time.Time) {
	for id, c := range f.count {
		if now.Sub(c.since) >= f.Window {
			delete(f.count, id)
		}
	}
	if len(f.count) >= mostFlaps {
		clear(f.count)
	}
}

// checkFlapping refuses, and bans, a client that connects too often.
func (c *conn) checkFlapping() error {
	f := c.b.flaps
	now := time.Now()
	if f == nil || !f.connected(c.clientID, now) {
		return nil
	}
	ban := Ban{ClientID: c.clientID, Until: now.Add(f.Flapping.Ban), Reason: fmt.Sprintf("it connected more than %d times in %v", f.Connections, f.Window)}
	c.b.log.Warn("a client that connects too often is banned", "client_id", c.clientID, "until", ban.Until)
	c.b.banLater(ban, now)
	return ban.refusal()
}

// banLater bans without waiting until everybody knows.
func (b *Broker) banLater(ban Ban, now time.Time) {
	if b.cluster != nil {
		b.cluster.c.ProposeAsync(banCommand(ban, false, now), func(_ any, err error) {
			if err != nil && !errors.Is(err, context.Canceled) {
				b.log.Warn("a ban was not agreed on", "client_id", ban.ClientID, "error", err)
			}
		})
		return
	}
	if _, err := b.applyBan(ban, false, now); err != nil {
		b.log.Warn("a ban was not possible", "client_id", ban.ClientID, "error", err)
	}
}
