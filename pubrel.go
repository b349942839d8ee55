package shoal

import (
	"time"

	"github.com/shoalmq/shoal/internal/outbox"
	"github.com/shoalmq/shoal/packets"
)

// heldRel is a PUBREL that waits until what its PUBREC changed is kept.
type heldRel struct {
	packet []byte
	more   [][]byte // what follows it, on a new connection
	ready  bool     // guarded by the connection's lock
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

// resumeRels sends the PUBRELs again whose PUBCOMP has not come [MQTT-4.4.0-1]. The PUBRECs before
// them may have come on the last connection a moment ago, and not be kept yet, if they are to be.
func (c *conn) resumeRels(ids []uint16, kept bool) {
	if len(ids) == 0 {
		return
	}
	rel := new(heldRel)
	for _, id := range ids {
		rel.more = append(rel.more, packets.AppendAck(nil, packets.TypePubRel, c.version, id, packets.Success))
	}
	rel.packet, rel.more = rel.more[0], rel.more[1:]
	c.mu.Lock()
	c.rels = append(c.rels, rel)
	c.mu.Unlock()
	if kept {
		c.awaitResumed(rel)
	} else {
		c.s.release(c, rel, packets.Success)
	}
}

// awaitResumed sends what resumeRels holds when the store has what came before. While the store
// fails, it is asked again and again: the client is served otherwise.
func (c *conn) awaitResumed(rel *heldRel) {
	a := newAcceptance()
	a.then = func(code packets.ReasonCode) {
		if !code.IsError() {
			c.s.release(c, rel, code)
			return
		}
		time.AfterFunc(resumedRetry, func() {
			c.s.mu.Lock()
			current := c.s.conn == c && c.s.phase.lives()
			c.s.mu.Unlock()
			if current {
				c.awaitResumed(rel)
			}
		})
	}
	c.b.journal.await(a, c.durability)
	a.finish(packets.Success)
}

const resumedRetry = 100 * time.Millisecond

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
		for _, packet := range c.rels[n].more {
			c.out.Append(packet)
		}
	}
	rest := c.rels[:copy(c.rels, c.rels[n:])]
	clear(c.rels[len(rest):])
	c.rels = rest
	if len(rest) == 0 && cap(rest) > 256 {
		c.rels = nil
	}
}
