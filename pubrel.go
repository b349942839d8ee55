package shoal

import (
	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// heldRel is a PUBREL that waits until what its PUBREC changed is kept.
type heldRel struct {
	packet []byte
	ready  bool // guarded by the connection's lock
}

// handlePubRec answers with PUBREL [MQTT-4.3.3-4]. If the session is stored, that waits until the store knows: after a crash the PUBLISH
// would be sent again otherwise, to a client that has forgotten its identifier.
func (c *conn) handlePubRec(sc *scratch, id uint16, code packets.ReasonCode) {
	var rel *heldRel
	c.s.acknowledged(sc, func() {
		if !c.s.durable {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.s.core.PubRec(&c.out, id, code)
			return
		}
		held := outbox.Buffer{Pool: &c.b.pool}
		c.s.core.PubRec(&held, id, code)
		if held.Len() == 0 {
			return
		}
		rel = &heldRel{packet: held.Bytes()}
		held.Reset()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rels = append(c.rels, rel)
	})
	if rel == nil {
		return
	}
	a := newAcceptance()
	a.then = func(code packets.ReasonCode) { c.s.release(c, rel, code) }
	c.b.journal.await(a, c.durability)
	a.finish(packets.Success)
}

// release sends a PUBREL that waited, once those before it are sent [MQTT-4.6.0-4], if the connection is still the session's: what is kept
// is told by several goroutines, and not always in the order in which it was waited for.
func (s *session) release(c *conn, rel *heldRel, code packets.ReasonCode) {
	if code.IsError() {
		// The next connection gets it, when the store works again. This one would wait for it for ever, and so would what comes after it.
		c.kick(kicked{code: code})
		return
	}
	s.mu.Lock()
	current := s.conn == c && s.phase.lives()
	if current {
		c.mu.Lock()
		rel.ready = true
		c.releaseRels()
		c.mu.Unlock()
	}
	s.mu.Unlock()
	if current {
		c.flush()
		c.wakeReader()
	}
}

// releaseRels appends the PUBRELs at the front that are ready to the outbox. The caller holds s.mu and c.mu.
func (c *conn) releaseRels() {
	n := 0
	for ; n < len(c.rels) && c.rels[n].ready; n++ {
		c.out.Append(c.rels[n].packet)
	}
	rest := c.rels[:copy(c.rels, c.rels[n:])]
	clear(c.rels[len(rest):])
	c.rels = rest
	if len(rest) == 0 && cap(rest) > 256 {
		c.rels = nil
	}
}
