package shoal

import (
	"time"

	"github.com/shoalmq/shoal/packets"
)

// scratch is the working memory of one batch of packets, borrowed while the batch is handled: it makes routing a
// message allocate nothing, and collects whom the batch has given something to send.
type scratch struct {
	b    *Broker
	own  *conn // whose batch it is; nil for other sources
	now  time.Time
	nano int64

	pub     packets.Publish // decoded into
	reason  string          // of the refusal of pub
	size    int             // of the packet, in bytes
	drain   time.Duration   // how long full queues need for what was sent; see awaitDrain
	far     bool            // they have far too much
	gives   bool            // the batch has packets that others must take or keep; see awaitRoom
	r       routing
	matches []target
	remote  []*route
	overlap []*subscription
	untaken []string   // shared groups of this node whose members are on their way to other nodes
	leaving bool       // one is; see deliverShared
	crowd   bool       // a member of a group may take the message although its queue is full, if it gets on
	full    DropReason // why members of a group did not take a message that another may take, "" if none was asked in vain
	locals  []*Subscription
	soiled  []*conn
	peers   []*peerQueue
	sends   []send
	shares  []shareNode
}

// scratch borrows working memory as of now.
func (b *Broker) scratch() *scratch {
	sc, ok := b.scratches.Get().(*scratch)
	if !ok {
		sc = &scratch{b: b}
	}
	sc.lookAtClock()
	return sc
}

// lookAtClock makes it now what the time is.
func (sc *scratch) lookAtClock() { sc.now, sc.nano = time.Now(), sc.b.nano() }

// release flushes what is left and gives the memory back.
func (sc *scratch) release() {
	sc.flush()
	sc.own, sc.reason, sc.drain, sc.gives = nil, "", 0, false
	sc.r.reset()
	clear(sc.matches[:cap(sc.matches)])
	clear(sc.remote[:cap(sc.remote)])
	clear(sc.shares[:cap(sc.shares)])
	clear(sc.overlap[:cap(sc.overlap)])
	clear(sc.locals[:cap(sc.locals)])
	if cap(sc.matches) > 4096 {
		sc.matches, sc.overlap = nil, nil
	}
	sc.b.scratches.Put(sc)
}

// soil notes that c has something to write.
func (sc *scratch) soil(c *conn) {
	c.mu.Lock()
	first := c.soil()
	c.mu.Unlock()
	if first {
		sc.soiled = append(sc.soiled, c)
	}
}

// flush hands everything that gathered to the connections and to the other nodes. The caller holds no lock.
func (sc *scratch) flush() {
	for i, p := range sc.peers {
		p.flush()
		sc.peers[i] = nil
	}
	sc.peers = sc.peers[:0]
	for i, c := range sc.soiled {
		c.flush()
		sc.soiled[i] = nil
	}
	sc.soiled = sc.soiled[:0]
}
